#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/mapped_pages.h"
#include "core/tensor_source.h"
#include "quantization/weight_only/blockwise_weight.h"
#include "quantization/weight_only/half_quadratic.h"

/// What the parts of BlockwiseWeight share: the blocks of a weight are read, quantized and handed over here.
namespace onnxport::quantization {

/// Weights that a thread converts and quantizes at once; they stay in the processor's cache.
inline constexpr std::int64_t kRun = 8192;
/// Columns that are gathered at once: a run of each row of the weight long enough for the memory system.
inline constexpr std::int64_t kColumns = 256;

inline std::int64_t divide_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

/// [begin, end)
struct Interval {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

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

inline WeightError as_weight_error(const BlockError& block) {
  return {block.signal, block.noise, block.product, block.maximum};
}

/// Scales, or zero points that are no integers, in the type of the weight.
void store_scales(std::span<const float> values, DataType type, std::span<std::byte> out);

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
      quantize_batch(batch, count, index, stride);
      for (std::int64_t b = 0; b < count; ++b, index += stride)
        if (index >= first && index < last) hand_over(batch, b, index, use);
    });
  }

  void quantize_batch(Batch& batch, std::int64_t count, std::int64_t index, std::int64_t stride) const {
    if (solved) {
      batch.quantize_with(settings.block, *solved, count, index, stride);
    } else {
      batch.quantize(settings.block, count);
    }
  }

  /// Reads blocks [first, last), and perhaps some beside them, and gives them to use(batch, count, index, stride): the
  /// batch holds the values of the blocks index, index + stride, ...
  template <typename Use>
  void read_blocks(std::int64_t first, std::int64_t last, const Use& use) const {
    if (settings.layout == WeightLayout::Rows) {
      read_rows(first, last, use);
    } else {
      read_columns({first / blocks, divide_up(last, blocks)}, {0, blocks}, use);
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

  /// Blocks of neighbouring vectors at once, since those lie beside each other: those of each vector in `of_vectors`
  /// that are in `of_blocks`.
  template <typename Use>
  void read_columns(Interval of_vectors, Interval of_blocks, const Use& use) const {
    const std::int64_t size = settings.block.block_size;
    const std::int64_t columns = std::min(kColumns, of_vectors.end - of_vectors.begin);
    Batch batch(settings.block, columns);
    std::vector<float> rows(static_cast<std::size_t>(size * columns));
    for (std::int64_t vector = of_vectors.begin; vector < of_vectors.end; vector += columns) {
      const std::int64_t width = std::min(columns, of_vectors.end - vector);
      for (std::int64_t block = of_blocks.begin; block < of_blocks.end; ++block) {
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
  /// What is found of each block, while an algorithm that has solved the weight has found it already.
  void add_finding(Found* finding, std::int64_t block, float scale, std::uint8_t zero_point) const;
  void finish_finding(Found& finding, std::int64_t count, const WeightError& sum);
  template <typename Use>
  void quantize_plain(Interval elements, const Use& use) const;
  void write_plain(std::int64_t first, std::span<std::byte> out);
  void write_plain_scales(std::int64_t first, std::span<std::byte> out);
  void write_plain_zero_points(std::int64_t first, std::span<std::byte> out);
  std::shared_ptr<Found> found_or_computed();
  /// Which block the scale at a place of the plain tensor belongs to.
  std::int64_t block_of_scale(std::int64_t place) const { return place % vectors * blocks + place / vectors; }
  std::vector<std::int64_t> scales_shape() const {
    if (settings.is_plain) return {blocks, vectors};
    return {vectors, blocks};
  }
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

}  // namespace onnxport::quantization
