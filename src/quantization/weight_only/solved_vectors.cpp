#include "quantization/weight_only/solved_vectors.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace onnxport::quantization {

SolvedVectors::SolvedVectors(std::int64_t vectors, std::int64_t vector_size, const BlockSettings& settings)
    : settings_(settings),
      vector_size_(vector_size),
      blocks_((vector_size + settings.block_size - 1) / settings.block_size) {
  const auto count = static_cast<std::size_t>(vectors * blocks_);
  solved_.packed.resize(count * static_cast<std::size_t>(settings.block_size * settings.bits / 8));
  solved_.scales.resize(count);
  if (!settings.is_symmetric) solved_.zero_points.resize(count);
}

void SolvedVectors::store(std::int64_t first, std::int64_t last, std::span<const float> values,
                          std::span<const std::uint8_t> integers, std::span<const SolvedScale> scales) {
  const std::int64_t columns = last - first;
  const std::int64_t vector_bytes = blocks_ * settings_.block_size * settings_.bits / 8;
  std::vector<std::uint8_t> vector(static_cast<std::size_t>(blocks_ * settings_.block_size));
  WeightError error;
  for (std::int64_t column = 0; column < columns; ++column) {
    for (std::int64_t block = 0; block < blocks_; ++block) {
      const SolvedScale& scale = scales[static_cast<std::size_t>(block * columns + column)];
      const auto at = static_cast<std::size_t>((first + column) * blocks_ + block);
      solved_.scales[at] = scale.scale;
      if (!settings_.is_symmetric) solved_.zero_points[at] = static_cast<std::uint8_t>(scale.zero_point);
      const std::int64_t begin = block * settings_.block_size;
      const std::int64_t end = std::min(begin + settings_.block_size, vector_size_);
      for (std::int64_t k = begin; k < end; ++k) {
        const auto from = static_cast<std::size_t>(k * columns + column);
        vector[static_cast<std::size_t>(k)] = integers[from];
        error.add(static_cast<double>(values[from]),
                  static_cast<double>(scale.scale * (static_cast<float>(integers[from]) - scale.zero_point)));
      }
      // What is behind the end stands for 0.
      std::fill(vector.begin() + end, vector.begin() + begin + settings_.block_size,
                static_cast<std::uint8_t>(scale.zero_point));
    }
    pack_bits(vector, settings_.bits, solved_.packed.data() + (first + column) * vector_bytes);
  }
  const std::scoped_lock lock(mutex_);
  solved_.error.add(error);
}

}  // namespace onnxport::quantization
