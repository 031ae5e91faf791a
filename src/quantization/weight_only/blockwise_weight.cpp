#include "quantization/weight_only/blockwise_weight.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/float16.h"
#include "core/mapped_pages.h"
#include "core/temporary_directory.h"
#include "onnxport/error.h"
#include "quantization/weight_only/half_quadratic.h"

namespace onnxport::quantization {
namespace {

/// Weights that a thread converts and quantizes at once; they stay in the processor's cache.
constexpr std::int64_t kRun = 8192;
/// Columns that are gathered at once: a run of each row of the weight long enough for the memory system.
constexpr std::int64_t kColumns = 256;

std::int64_t divide_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

/// Scales and zero points that were found while integers were written.
struct Found {
  Found(std::int64_t blocks, bool has_zero_points)
      : scales(static_cast<std::size_t>(blocks)), zero_points(static_cast<std::size_t>(has_zero_points ? blocks : 0)) {}
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;
  std::atomic<std::int64_t> missing = 0;
  std::atomic<std::int64_t> unread = 0;  ///< scales and zero points
};

/// Some blocks and what becomes of them.
struct Batch {
  explicit Batch(const BlockSettings& settings, std::int64_t blocks)
      : values(static_cast<std::size_t>(blocks * settings.block_size)),
        packed(static_cast<std::size_t>(blocks * settings.block_size * settings.bits / 8)),
        reciprocals(static_cast<std::size_t>(blocks)),
        scales(static_cast<std::size_t>(blocks)),
        zero_points(static_cast<std::size_t>(blocks)),
        given_zero_points(static_cast<std::size_t>(blocks)),
        errors(static_cast<std::size_t>(blocks)) {}

  std::span<const float> values_of(const BlockSettings& settings, std::int64_t blocks) const {
    return std::span(values).first(static_cast<std::size_t>(blocks * settings.block_size));
  }

  void quantize(const BlockSettings& settings, std::int64_t blocks) {
    quantize_blocks(settings, values_of(settings, blocks),
                    {packed.data(), scales.data(), zero_points.data(), errors.data()});
  }

  /// The blocks are `first`, `first` + `stride`, ... of the weight that was solved.
  void quantize_with(const BlockSettings& settings, const SolvedScales& solved, std::int64_t blocks, std::int64_t first,
                     std::int64_t stride) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const auto from = static_cast<std::size_t>(first + b * stride);
      const auto to = static_cast<std::size_t>(b);
      reciprocals[to] = solved.reciprocals[from];
      scales[to] = 1.0F / solved.reciprocals[from];
      given_zero_points[to] = solved.zero_points[from];
    }
    const auto count = static_cast<std::size_t>(blocks);
    quantize_blocks_with(settings, values_of(settings, blocks),
                         {std::span(reciprocals).first(count), std::span(scales).first(count),
                          std::span(given_zero_points).first(count)},
                         packed.data(), errors.data());
  }

  std::vector<float> values;
  std::vector<std::uint8_t> packed;
  std::vector<float> reciprocals;
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;
  std::vector<float> given_zero_points;
  std::vector<BlockError> errors;
};

WeightError as_weight_error(const BlockError& block) {
  return {block.signal, block.noise, block.product, block.maximum};
}

/// A file that has no name any more, and goes when nothing reads it.
std::shared_ptr<const MappedFile> write_temporary(std::span<const std::uint8_t> bytes) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "integers";
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw Error(ErrorKind::OutputFailed, "cannot write " + path.string() + ": is the disk full?");
  return MappedFile::open(path);
}

void store_scales(std::span<const float> values, DataType type, std::span<std::byte> out) {
  if (type == DataType::Float32) {
    std::memcpy(out.data(), values.data(), out.size());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t bits =
        type == DataType::Float16 ? float32_to_float16(values[i]) : float32_to_bfloat16(values[i]);
    std::memcpy(out.data() + i * sizeof bits, &bits, sizeof bits);
  }
}

}  // namespace

void WeightError::add(const WeightError& other) {
  signal += other.signal;
  noise += other.noise;
  product += other.product;
  // In this order a NaN stays.
  if (!(other.maximum <= maximum)) maximum = other.maximum;
}

void WeightError::add(double value, double quantized) {
  const double lost = value - quantized;
  add({value * value, lost * lost, value * lost, std::fabs(lost)});
}

struct BlockwiseWeight::State {
  State(TensorSource source, const WeightSettings& weight_settings)
      : settings(weight_settings),
        type(source.data_type),
        mapped(source.file ? source.bytes : std::span<const std::byte>{}),
        weight(cast(std::move(source), DataType::Float32)) {
    const bool is_rows = settings.layout == WeightLayout::Rows;
    vectors = weight.shape[is_rows ? 0 : 1];
    vector_size = weight.shape[is_rows ? 1 : 0];
    blocks = divide_up(vector_size, settings.block.block_size);
    block_bytes = settings.block.block_size * settings.block.bits / 8;
    vector_bytes = settings.is_padded ? blocks * block_bytes : divide_up(vector_size * settings.block.bits, 8);
    if (settings.block.method != BlockMethod::HalfQuadratic) return;
    solved = solve_half_quadratic(
        settings.block, vectors * blocks, [this](std::int64_t first, std::int64_t last, const UseBlock& use) {
          read_blocks(first, last, [&](Batch& batch, std::int64_t count, std::int64_t index, std::int64_t stride) {
            const auto size = static_cast<std::size_t>(settings.block.block_size);
            for (std::int64_t b = 0; b < count; ++b, index += stride)
              if (index >= first && index < last)
                use(index, std::span(batch.values).subspan(static_cast<std::size_t>(b) * size, size));
          });
        });
    release_pages(mapped);
  }

  /// Quantizes blocks [first, last), counted over all vectors, and gives them to
  /// use(block, packed bytes, scale, zero point, error), in any order.
  template <typename Use>
  void quantize(std::int64_t first, std::int64_t last, const Use& use) const {
    read_blocks(first, last, [&](Batch& batch, std::int64_t count, std::int64_t index, std::int64_t stride) {
      if (solved) {
        batch.quantize_with(settings.block, *solved, count, index, stride);
      } else {
        batch.quantize(settings.block, count);
      }
      for (std::int64_t b = 0; b < count; ++b, index += stride)
        if (index >= first && index < last) hand_over(batch, b, index, use);
    });
  }

  /// Reads blocks [first, last), and perhaps some beside them, and gives them to use(batch, count, index, stride): the
  /// batch holds the values of the blocks index, index + stride, ...
  template <typename Use>
  void read_blocks(std::int64_t first, std::int64_t last, const Use& use) const {
    if (settings.layout == WeightLayout::Rows) {
      read_rows(first, last, use);
    } else {
      read_columns(first, last, use);
    }
  }

  template <typename Use>
  void read_rows(std::int64_t first, std::int64_t last, const Use& use) const {
    const std::int64_t size = settings.block.block_size;
    Batch batch(settings.block, std::max<std::int64_t>(kRun / size, 1));
    const auto capacity = static_cast<std::int64_t>(batch.scales.size());
    while (first < last) {
      const std::int64_t vector = first / blocks;
      const std::int64_t block = first % blocks;
      const std::int64_t count = std::min({capacity, last - first, blocks - block});
      const std::int64_t elements = std::min(count * size, vector_size - block * size);
      read(vector * vector_size + block * size, std::span(batch.values).first(static_cast<std::size_t>(elements)));
      std::fill(batch.values.begin() + elements, batch.values.begin() + count * size, 0.0F);
      use(batch, count, first, std::int64_t{1});
      first += count;
    }
  }

  /// Blocks of neighbouring vectors at once, since those lie beside each other.
  template <typename Use>
  void read_columns(std::int64_t first, std::int64_t last, const Use& use) const {
    const std::int64_t size = settings.block.block_size;
    const std::int64_t first_vector = first / blocks;
    const std::int64_t last_vector = divide_up(last, blocks);
    const std::int64_t columns = std::min(kColumns, last_vector - first_vector);
    Batch batch(settings.block, columns);
    std::vector<float> rows(static_cast<std::size_t>(size * columns));
    for (std::int64_t vector = first_vector; vector < last_vector; vector += columns) {
      const std::int64_t width = std::min(columns, last_vector - vector);
      for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t height = std::min(size, vector_size - block * size);
        for (std::int64_t row = 0; row < height; ++row)
          read((block * size + row) * vectors + vector,
               std::span(rows).subspan(static_cast<std::size_t>(row * width), static_cast<std::size_t>(width)));
        transpose_into(rows.data(), height, width, size, batch.values.data());
        use(batch, width, vector * blocks + block, blocks);
      }
    }
  }

  template <typename Use>
  void hand_over(Batch& batch, std::int64_t position, std::int64_t block, const Use& use) const {
    const auto at = static_cast<std::size_t>(position);
    // MLAS leaves the bytes behind the end of a vector zero; k-quant fills them with the integer that stands for 0.
    if (const std::int64_t size = vector_size - block % blocks * settings.block.block_size;
        size < settings.block.block_size && rounds_to_nearest(settings.block)) {
      const std::int64_t used = divide_up(size * settings.block.bits, 8);
      std::fill_n(batch.packed.begin() + position * block_bytes + used, block_bytes - used, std::uint8_t{0});
    }
    use(block, batch.packed.data() + position * block_bytes, batch.scales[at], batch.zero_points[at], batch.errors[at]);
  }

  void read(std::int64_t first, std::span<float> values) const {
    read_elements(weight, first, std::as_writable_bytes(values));
  }

  static void transpose_into(const float* rows, std::int64_t height, std::int64_t width, std::int64_t size,
                             float* columns) {
    constexpr std::int64_t kTile = 8;
    for (std::int64_t begin = 0; begin < width; begin += kTile) {
      const std::int64_t end = std::min(begin + kTile, width);
      for (std::int64_t row = 0; row < height; ++row)
        for (std::int64_t column = begin; column < end; ++column)
          columns[column * size + row] = rows[row * width + column];
      for (std::int64_t column = begin; column < end; ++column)
        std::fill(columns + column * size + height, columns + (column + 1) * size, 0.0F);
    }
  }

  /// Bytes of the vector in which a block lies, from its own first one on.
  std::int64_t bytes_of_block(std::int64_t block) const {
    return std::min(block_bytes, vector_bytes - block % blocks * block_bytes);
  }
  std::int64_t offset_of_block(std::int64_t block) const {
    return block / blocks * vector_bytes + block % blocks * block_bytes;
  }
  std::int64_t block_at(std::int64_t offset) const {
    return offset / vector_bytes * blocks + offset % vector_bytes / block_bytes;
  }

  void write_packed(std::int64_t offset, std::span<std::byte> out);
  void write_scales(std::int64_t first, std::span<std::byte> out);
  void write_zero_points(std::int64_t first, std::span<std::byte> out);
  std::shared_ptr<Found> begin_finding();
  /// What was found, if it is complete.
  std::shared_ptr<Found> found_by_now();
  void count_read(const std::shared_ptr<Found>& read_from, std::int64_t count);

  WeightSettings settings;
  DataType type;
  std::span<const std::byte> mapped;  ///< the weight in its file, which `weight` keeps
  std::weak_ptr<const State> next;    ///< the weight that will be read after this one
  TensorSource weight;                ///< as Float32
  std::int64_t vectors = 0;
  std::int64_t vector_size = 0;
  std::int64_t blocks = 0;  ///< of a vector
  std::int64_t block_bytes = 0;
  std::int64_t vector_bytes = 0;

  std::mutex mutex;
  std::shared_ptr<Found> found;  ///< while integers are written, and until scales and zero points are
  bool is_found = false;         ///< once and for all: a second reading leaves `found` and `error` alone
  std::optional<SolvedScales> solved;
  std::shared_ptr<const MappedFile> given;  ///< the integers, if an algorithm has found them
  WeightError error;
};

std::shared_ptr<Found> BlockwiseWeight::State::begin_finding() {
  const std::scoped_lock lock(mutex);
  if (is_found) return nullptr;
  if (!found) {
    // The next one as well: the kernel reads it while the processors are at this one.
    read_ahead(mapped);
    if (const std::shared_ptr<const State> after = next.lock()) read_ahead(after->mapped);
    found = std::make_shared<Found>(vectors * blocks, !settings.block.is_symmetric);
    found->missing = vectors * blocks;
    // Zero points that were solved are not among what is found.
    found->unread = vectors * blocks * (settings.block.is_symmetric || solved ? 1 : 2);
  }
  return found;
}

std::shared_ptr<Found> BlockwiseWeight::State::found_by_now() {
  const std::scoped_lock lock(mutex);
  return is_found ? found : nullptr;
}

void BlockwiseWeight::State::count_read(const std::shared_ptr<Found>& read_from, std::int64_t count) {
  if (!read_from || read_from->unread.fetch_sub(count) > count) return;
  const std::scoped_lock lock(mutex);
  found = nullptr;
}

void BlockwiseWeight::State::write_packed(std::int64_t offset, std::span<std::byte> out) {
  if (given) {
    std::memcpy(out.data(), given->bytes().data() + offset, out.size());
    return;
  }
  const std::int64_t end = offset + static_cast<std::int64_t>(out.size());
  const std::shared_ptr<Found> finding = begin_finding();
  WeightError sum;
  std::int64_t count = 0;
  quantize(block_at(offset), block_at(end - 1) + 1,
           [&](std::int64_t block, const std::uint8_t* packed, float scale, std::uint8_t zero_point,
               const BlockError& block_error) {
             const std::int64_t begin_of_block = offset_of_block(block);
             const std::int64_t from = std::max(offset, begin_of_block);
             const std::int64_t to = std::min(end, begin_of_block + bytes_of_block(block));
             if (to > from)
               std::memcpy(out.data() + (from - offset), packed + (from - begin_of_block),
                           static_cast<std::size_t>(to - from));
             // A block that two runs share belongs to the one with its first byte.
             if (!finding || begin_of_block < offset) return;
             finding->scales[static_cast<std::size_t>(block)] = scale;
             if (!settings.block.is_symmetric) finding->zero_points[static_cast<std::size_t>(block)] = zero_point;
             sum.add(as_weight_error(block_error));
             ++count;
           });
  if (!finding) return;
  const bool is_last = finding->missing.fetch_sub(count) == count;
  const std::scoped_lock lock(mutex);
  error.add(sum);
  if (is_last) is_found = true;
}

void BlockwiseWeight::State::write_scales(std::int64_t first, std::span<std::byte> out) {
  const std::int64_t count = static_cast<std::int64_t>(out.size()) / static_cast<std::int64_t>(size_of(type));
  if (const std::shared_ptr<Found> known = found_by_now()) {
    store_scales(std::span(known->scales).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                 type, out);
    count_read(known, count);
    return;
  }
  std::vector<float> scales(static_cast<std::size_t>(count));
  quantize(first, first + count,
           [&](std::int64_t block, const std::uint8_t*, float scale, std::uint8_t, const BlockError&) {
             scales[static_cast<std::size_t>(block - first)] = scale;
           });
  store_scales(scales, type, out);
}

void BlockwiseWeight::State::write_zero_points(std::int64_t first, std::span<std::byte> out) {
  const int bits = settings.block.bits;
  const std::int64_t row_bytes = divide_up(blocks * bits, 8);
  const std::int64_t per_byte = 8 / bits;
  const std::shared_ptr<Found> known = found_by_now();
  std::int64_t done = 0;
  std::vector<std::uint8_t> values;
  while (done < static_cast<std::int64_t>(out.size())) {
    const std::int64_t vector = (first + done) / row_bytes;
    const std::int64_t byte = (first + done) % row_bytes;
    const std::int64_t bytes = std::min(row_bytes - byte, static_cast<std::int64_t>(out.size()) - done);
    const std::int64_t begin = byte * per_byte;
    const std::int64_t count = std::min(blocks - begin, bytes * per_byte);
    values.resize(static_cast<std::size_t>(count));
    if (known) {
      std::copy_n(known->zero_points.begin() + vector * blocks + begin, count, values.begin());
    } else {
      quantize(vector * blocks + begin, vector * blocks + begin + count,
               [&](std::int64_t block, const std::uint8_t*, float, std::uint8_t zero_point, const BlockError&) {
                 values[static_cast<std::size_t>(block - vector * blocks - begin)] = zero_point;
               });
    }
    // MLAS writes the middle for blocks that a byte has room for and the vector has not.
    if (rounds_to_nearest(settings.block))
      values.resize(static_cast<std::size_t>(bytes * per_byte), static_cast<std::uint8_t>(1 << (bits - 1)));
    pack_bits(values, bits, reinterpret_cast<std::uint8_t*>(out.data()) + done);
    count_read(known, count);
    done += bytes;
  }
}

BlockwiseWeight::BlockwiseWeight(TensorSource weight, const WeightSettings& settings)
    : state_(std::make_shared<State>(std::move(weight), settings)) {}

void BlockwiseWeight::set_solved(SolvedWeight solved) {
  State& state = *state_;
  const std::scoped_lock lock(state.mutex);
  state.given = write_temporary(solved.packed);
  state.found = std::make_shared<Found>(0, false);
  state.found->scales = std::move(solved.scales);
  state.found->zero_points = std::move(solved.zero_points);
  // They could not be computed again, so they stay.
  state.found->unread = std::numeric_limits<std::int64_t>::max();
  state.is_found = true;
  state.error = solved.error;
}

void BlockwiseWeight::set_next(const BlockwiseWeight& weight) { state_->next = weight.state_; }

std::int64_t BlockwiseWeight::vectors() const { return state_->vectors; }
std::int64_t BlockwiseWeight::vector_size() const { return state_->vector_size; }
std::int64_t BlockwiseWeight::block_count() const { return state_->blocks; }
const WeightSettings& BlockwiseWeight::settings() const { return state_->settings; }
const TensorSource& BlockwiseWeight::weight() const { return state_->weight; }

TensorSource BlockwiseWeight::packed() const {
  TensorSource source;
  source.data_type = DataType::UInt8;
  source.shape = state_->settings.is_padded
                     ? std::vector<std::int64_t>{state_->vectors, state_->blocks, state_->block_bytes}
                     : std::vector<std::int64_t>{state_->vectors, state_->vector_bytes};
  source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) { state->write_packed(first, out); };
  return source;
}

TensorSource BlockwiseWeight::scales() const {
  TensorSource source;
  source.data_type = state_->type;
  source.shape = {state_->vectors, state_->blocks};
  source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) { state->write_scales(first, out); };
  return source;
}

TensorSource BlockwiseWeight::zero_points() const {
  TensorSource source;
  if (state_->solved) {
    source.data_type = state_->type;
    source.shape = {state_->vectors, state_->blocks};
    source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) {
      store_scales(std::span(state->solved->zero_points)
                       .subspan(static_cast<std::size_t>(first), out.size() / size_of(state->type)),
                   state->type, out);
    };
    return source;
  }
  source.data_type = DataType::UInt8;
  source.shape = {state_->vectors, divide_up(state_->blocks * state_->settings.block.bits, 8)};
  source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) {
    state->write_zero_points(first, out);
  };
  return source;
}

WeightError BlockwiseWeight::error() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->error;
}

}  // namespace onnxport::quantization
