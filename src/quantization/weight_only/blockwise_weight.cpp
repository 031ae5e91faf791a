#include "quantization/weight_only/blockwise_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

#include "core/float16.h"
#include "core/temporary_directory.h"
#include "onnxport/error.h"
#include "quantization/weight_only/blockwise_state.h"

namespace onnxport::quantization {
namespace {

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

}  // namespace

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

DataType plain_type(const BlockSettings& settings) {
  if (settings.method == BlockMethod::Float) return settings.bits == 8 ? DataType::Float8E4M3FN : DataType::Float4E2M1;
  if (settings.bits == 8) return settings.is_symmetric ? DataType::Int8 : DataType::UInt8;
  return settings.is_symmetric ? DataType::Int4 : DataType::UInt4;
}

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
             add_finding(finding.get(), block, scale, zero_point);
             sum.add(as_weight_error(block_error));
             ++count;
           });
  if (finding) finish_finding(*finding, count, sum);
}

void BlockwiseWeight::State::add_finding(Found* finding, std::int64_t block, float scale,
                                         std::uint8_t zero_point) const {
  finding->scales[static_cast<std::size_t>(block)] = scale;
  if (!settings.block.is_symmetric) finding->zero_points[static_cast<std::size_t>(block)] = zero_point;
}

void BlockwiseWeight::State::finish_finding(Found& finding, std::int64_t count, const WeightError& sum) {
  const bool is_last = finding.missing.fetch_sub(count) == count;
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
  if (state_->settings.is_plain) {
    source.data_type = plain_type(state_->settings.block);
    source.shape = {state_->vector_size, state_->vectors};
    source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) { state->write_plain(first, out); };
    return source;
  }
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
  source.shape = state_->scales_shape();
  source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) {
    state->settings.is_plain ? state->write_plain_scales(first, out) : state->write_scales(first, out);
  };
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
  if (state_->settings.is_plain) {
    source.data_type = plain_type(state_->settings.block);
    source.shape = state_->scales_shape();
    source.compute = [state = state_](std::int64_t first, std::span<std::byte> out) {
      state->write_plain_zero_points(first, out);
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
