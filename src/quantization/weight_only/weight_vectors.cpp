#include "quantization/weight_only/weight_vectors.h"

#include <algorithm>
#include <vector>

namespace onnxport::quantization {

WeightVectors::WeightVectors(const TensorSource& weight, WeightLayout layout)
    : weight_(cast(weight, DataType::Float32)),
      layout_(layout),
      vectors_(weight.shape[layout == WeightLayout::Rows ? 0 : 1]),
      vector_size_(weight.shape[layout == WeightLayout::Rows ? 1 : 0]) {}

void WeightVectors::read(std::int64_t first, std::int64_t last, std::span<float> values) const {
  const std::int64_t count = last - first;
  if (layout_ == WeightLayout::Columns) {
    for (std::int64_t k = 0; k < vector_size_; ++k)
      read_elements(
          weight_, k * vectors_ + first,
          std::as_writable_bytes(values.subspan(static_cast<std::size_t>(k * count), static_cast<std::size_t>(count))));
    return;
  }
  // As many vectors at once as there are elements of a cache line, so that columns are written in whole lines.
  constexpr std::int64_t kTogether = 16;
  std::vector<float> together(static_cast<std::size_t>(kTogether * vector_size_));
  for (std::int64_t begin = 0; begin < count; begin += kTogether) {
    const std::int64_t width = std::min(kTogether, count - begin);
    read_elements(weight_, (first + begin) * vector_size_,
                  std::as_writable_bytes(std::span(together).first(static_cast<std::size_t>(width * vector_size_))));
    for (std::int64_t k = 0; k < vector_size_; ++k)
      for (std::int64_t i = 0; i < width; ++i)
        values[static_cast<std::size_t>(k * count + begin + i)] =
            together[static_cast<std::size_t>(i * vector_size_ + k)];
  }
}

}  // namespace onnxport::quantization
