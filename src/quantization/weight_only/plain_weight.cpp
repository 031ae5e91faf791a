// The tensors of a weight as blocked DequantizeLinear takes them.
#include <algorithm>
#include <limits>

#include "quantization/weight_only/blockwise_state.h"

namespace onnxport::quantization {

/// Quantizes the blocks that have an element in the interval, and perhaps some beside them.
template <typename Use>
void BlockwiseWeight::State::quantize_plain(Interval elements, const Use& use) const {
  const std::int64_t size = settings.block.block_size;
  const std::int64_t last = elements.end - 1;
  const Interval rows{elements.begin / vectors, last / vectors + 1};
  const bool is_within_row = rows.end - rows.begin == 1;
  const Interval of_vectors =
      is_within_row ? Interval{elements.begin % vectors, last % vectors + 1} : Interval{0, vectors};
  const Interval of_blocks{rows.begin / size, (rows.end - 1) / size + 1};
  if (settings.layout == WeightLayout::Rows) {
    for (std::int64_t vector = of_vectors.begin; vector < of_vectors.end; ++vector)
      quantize(vector * blocks + of_blocks.begin, vector * blocks + of_blocks.end, use);
    return;
  }
  read_columns(of_vectors, of_blocks, [&](Batch& batch, std::int64_t count, std::int64_t index, std::int64_t stride) {
    quantize_batch(batch, count, index, stride);
    for (std::int64_t b = 0; b < count; ++b, index += stride) hand_over(batch, b, index, use);
  });
}

void BlockwiseWeight::State::write_plain(std::int64_t first, std::span<std::byte> out) {
  const int bits = settings.block.bits;
  const std::int64_t size = settings.block.block_size;
  const std::int64_t per_byte = 8 / bits;
  const Interval elements{first * per_byte, std::min((first + std::ssize(out)) * per_byte, vectors * vector_size)};
  const bool is_signed_integer = settings.block.is_symmetric && settings.block.method != BlockMethod::Float;
  const unsigned sign = is_signed_integer ? 1U << (bits - 1) : 0U;
  const unsigned mask = (1U << bits) - 1;
  std::fill(out.begin(), out.end(), std::byte{0});
  const std::shared_ptr<Found> finding = given ? nullptr : begin_finding();
  WeightError sum;
  std::int64_t count = 0;
  const auto place = [&](std::int64_t block, const std::uint8_t* packed, float scale, std::uint8_t zero_point,
                         const BlockError& block_error) {
    const std::int64_t vector = block / blocks;
    const std::int64_t begin = block % blocks * size;
    const std::int64_t begin_of_block = begin * vectors + vector;
    const std::int64_t in_block = std::min(size, vector_size - begin);
    for (std::int64_t k = 0, element = begin_of_block; k < in_block; ++k, element += vectors) {
      if (element < elements.begin || element >= elements.end) continue;
      const std::int64_t at = element - elements.begin;
      const unsigned value = packed[k / per_byte] >> (k % per_byte * bits) & mask;
      out[static_cast<std::size_t>(at / per_byte)] |= static_cast<std::byte>((value ^ sign) << (at % per_byte * bits));
    }
    // A block that several runs share belongs to the one with its first element.
    if (!finding || begin_of_block < elements.begin || begin_of_block >= elements.end) return;
    add_finding(finding.get(), block, scale, zero_point);
    sum.add(as_weight_error(block_error));
    ++count;
  };
  if (given) {
    const auto* integers = reinterpret_cast<const std::uint8_t*>(given->bytes().data());
    const std::int64_t last = (elements.end - 1) / (vectors * size);
    for (std::int64_t vector = 0; vector < vectors; ++vector) {
      for (std::int64_t b = elements.begin / (vectors * size); b <= last; ++b)
        place(vector * blocks + b, integers + (vector * blocks + b) * block_bytes, 0, 0, {});
    }
    return;
  }
  quantize_plain(elements, place);
  if (finding) finish_finding(*finding, count, sum);
}

/// What was found of all blocks, found now if need be: the integers of plain tensors are not always read before.
std::shared_ptr<Found> BlockwiseWeight::State::found_or_computed() {
  if (std::shared_ptr<Found> known = found_by_now()) return known;
  auto computed = std::make_shared<Found>(vectors * blocks, !settings.block.is_symmetric);
  computed->unread = std::numeric_limits<std::int64_t>::max();
  quantize(0, vectors * blocks,
           [&](std::int64_t block, const std::uint8_t*, float scale, std::uint8_t zero_point, const BlockError&) {
             add_finding(computed.get(), block, scale, zero_point);
           });
  return computed;
}

void BlockwiseWeight::State::write_plain_scales(std::int64_t first, std::span<std::byte> out) {
  const std::shared_ptr<Found> known = found_or_computed();
  std::vector<float> scales(out.size() / size_of(type));
  for (std::size_t i = 0; i < scales.size(); ++i)
    scales[i] = known->scales[static_cast<std::size_t>(block_of_scale(first + static_cast<std::int64_t>(i)))];
  store_scales(scales, type, out);
  count_read(known, std::ssize(scales));
}

void BlockwiseWeight::State::write_plain_zero_points(std::int64_t first, std::span<std::byte> out) {
  const int bits = settings.block.bits;
  const std::int64_t per_byte = 8 / bits;
  const std::shared_ptr<Found> known = found_or_computed();
  const std::int64_t begin = first * per_byte;
  std::vector<std::uint8_t> values(
      static_cast<std::size_t>(std::min(std::ssize(out) * per_byte, vectors * blocks - begin)));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = known->zero_points[static_cast<std::size_t>(block_of_scale(begin + static_cast<std::int64_t>(i)))];
  pack_bits(values, bits, reinterpret_cast<std::uint8_t*>(out.data()));
  count_read(known, std::ssize(values));
}

}  // namespace onnxport::quantization
