#include "quantization/weight_only/activation_statistics.h"

#include <algorithm>
#include <cmath>

#include "core/parallel_for.h"
#include "ops/gemm.h"

namespace onnxport::quantization {
namespace {

/// Sides of the squares in which products are computed in float, before they are added up.
constexpr std::int64_t kTile = 128;

}  // namespace

ActivationStatistics::ActivationStatistics(std::int64_t size)
    : size_(size), gram_(static_cast<std::size_t>(size * size)), magnitudes_(static_cast<std::size_t>(size)) {}

void ActivationStatistics::add(std::span<const float> values) {
  const std::int64_t rows = static_cast<std::int64_t>(values.size()) / size_;
  rows_ += rows;
  ++samples_;
  const std::int64_t tiles = (size_ + kTile - 1) / kTile;
  const auto view = [&](std::int64_t begin, std::int64_t end) {
    return ops::MatrixView{values.data() + begin, rows, end - begin, size_, 1};
  };
  parallel_for(tiles * (tiles + 1) / 2, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<float> product(static_cast<std::size_t>(kTile * kTile));
    // Tiles of the upper triangle, counted row by row.
    std::int64_t row = 0;
    std::int64_t begin_of_row = 0;
    for (std::int64_t tile = first; tile < last; ++tile) {
      for (; tile >= begin_of_row + (tiles - row); ++row) begin_of_row += tiles - row;
      const std::int64_t column = row + (tile - begin_of_row);
      const std::int64_t top = row * kTile;
      const std::int64_t bottom = std::min(top + kTile, size_);
      const std::int64_t left = column * kTile;
      const std::int64_t right = std::min(left + kTile, size_);
      ops::gemm(1.0F, view(top, bottom).transposed(), view(left, right), 0.0F, product.data(), kTile);
      for (std::int64_t i = top; i < bottom; ++i)
        for (std::int64_t j = left; j < right; ++j)
          gram_[static_cast<std::size_t>(i * size_ + j)] +=
              static_cast<double>(product[static_cast<std::size_t>((i - top) * kTile + (j - left))]);
    }
  });
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < size_; ++i)
      magnitudes_[static_cast<std::size_t>(i)] +=
          static_cast<double>(std::fabs(values[static_cast<std::size_t>(row * size_ + i)]));
}

bool ActivationStatistics::is_finite() const {
  // A value that is not finite makes the sum of its squares so.
  for (std::int64_t i = 0; i < size_; ++i)
    if (!std::isfinite(gram_[static_cast<std::size_t>(i * size_ + i)])) return false;
  return true;
}

std::vector<double> ActivationStatistics::mean_magnitudes() const {
  std::vector<double> means = magnitudes_;
  for (double& mean : means) mean /= static_cast<double>(std::max<std::int64_t>(rows_, 1));
  return means;
}

}  // namespace onnxport::quantization
