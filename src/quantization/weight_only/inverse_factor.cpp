#include "quantization/weight_only/inverse_factor.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel_for.h"
#include "ops/gemm.h"

namespace onnxport::quantization {
namespace {

/// Rows and columns of the blocks that are multiplied as matrices; what is inside a block is computed by loops.
constexpr std::int64_t kBlock = 64;

class UpperMatrix {
 public:
  UpperMatrix(double* data, std::int64_t size) : data_(data), size_(size) {}

  /// A = R Rᵀ.
  bool factor() {
    for (std::int64_t end = size_; end > 0;) {
      const std::int64_t begin = (end - 1) / kBlock * kBlock;
      if (!factor_block(begin, end)) return false;
      solve_above(begin, end);
      subtract_above(begin, end);
      end = begin;
    }
    return true;
  }

  /// R becomes R⁻¹, with zeros below the diagonal.
  void invert() {
    for (std::int64_t i = 1; i < size_; ++i) std::fill_n(row(i), i, 0.0);
    std::vector<double> above(static_cast<std::size_t>(size_ * kBlock));
    for (std::int64_t begin = 0; begin < size_; begin += kBlock) {
      const std::int64_t end = std::min(begin + kBlock, size_);
      invert_block(begin, end);
      invert_above(begin, end, above);
    }
  }

 private:
  double* row(std::int64_t i) { return data_ + i * size_; }
  ops::DoubleMatrixView view(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t columns) {
    return {row(i) + j, rows, columns, size_, 1};
  }

  static double dot(const double* a, const double* b, std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t k = begin; k < end; ++k) sum += a[k] * b[k];
    return sum;
  }

  bool factor_block(std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = end - 1; j >= begin; --j) {
      const double square = row(j)[j] - dot(row(j), row(j), j + 1, end);
      if (!(square > 0) || !std::isfinite(square)) return false;
      row(j)[j] = std::sqrt(square);
      for (std::int64_t i = begin; i < j; ++i) row(i)[j] = (row(i)[j] - dot(row(i), row(j), j + 1, end)) / row(j)[j];
    }
    return true;
  }

  /// The columns [begin, end) of R in the rows above.
  void solve_above(std::int64_t begin, std::int64_t end) {
    parallel_for(begin, kBlock, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i)
        for (std::int64_t j = end - 1; j >= begin; --j)
          row(i)[j] = (row(i)[j] - dot(row(i), row(j), j + 1, end)) / row(j)[j];
    });
  }

  /// What these columns contribute to the triangle that is still to be factored.
  void subtract_above(std::int64_t begin, std::int64_t end) {
    for_each_block(begin, [&](std::int64_t first, std::int64_t last) {
      ops::double_gemm(-1.0, view(first, last - first, begin, end - begin),
                       view(first, begin - first, begin, end - begin).transposed(), 1.0, row(first) + first, size_);
    });
  }

  void invert_block(std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      row(j)[j] = 1.0 / row(j)[j];
      for (std::int64_t i = begin; i < j; ++i) {
        double sum = 0;
        for (std::int64_t k = i; k < j; ++k) sum += row(i)[k] * row(k)[j];
        row(i)[j] = -sum * row(j)[j];
      }
    }
  }

  /// U₁₂ = -U₁₁ R₁₂ U₂₂, of which U₁₁ and U₂₂ are there.
  void invert_above(std::int64_t begin, std::int64_t end, std::vector<double>& above) {
    const std::int64_t width = end - begin;
    for (std::int64_t i = 0; i < begin; ++i) std::copy_n(row(i) + begin, width, above.begin() + i * width);
    for_each_block(begin, [&](std::int64_t first, std::int64_t last) {
      std::vector<double> product(static_cast<std::size_t>((last - first) * width));
      ops::double_gemm(1.0, view(first, last - first, first, begin - first),
                       {above.data() + first * width, begin - first, width, width, 1}, 0.0, product.data(), width);
      ops::double_gemm(-1.0, {product.data(), last - first, width, width, 1}, view(begin, width, begin, width), 0.0,
                       row(first) + begin, size_);
    });
  }

  /// Calls use(first, last) for the blocks of the rows above `end`, on all cores.
  template <typename Use>
  static void for_each_block(std::int64_t end, const Use& use) {
    parallel_for((end + kBlock - 1) / kBlock, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) use(block * kBlock, std::min((block + 1) * kBlock, end));
    });
  }

  double* data_;
  std::int64_t size_;
};

}  // namespace

bool factor_inverse(std::span<double> matrix, std::int64_t size) {
  UpperMatrix upper(matrix.data(), size);
  if (!upper.factor()) return false;
  upper.invert();
  return true;
}

}  // namespace onnxport::quantization
