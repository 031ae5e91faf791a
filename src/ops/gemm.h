#pragma once

#include <cstdint>

namespace onnxport::ops {

/// A row-major matrix with row and column strides in elements.
template <typename Element>
struct BasicMatrixView {
  const Element* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 1;

  BasicMatrixView transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};
using MatrixView = BasicMatrixView<float>;
using DoubleMatrixView = BasicMatrixView<double>;

/// c = alpha a b + beta c, c row-major and contiguous in its rows; in the calling thread.
void gemm(float alpha, const MatrixView& a, const MatrixView& b, float beta, float* c, std::int64_t c_row_stride);
void double_gemm(double alpha, const DoubleMatrixView& a, const DoubleMatrixView& b, double beta, double* c,
                 std::int64_t c_row_stride);
/// The same on all cores.
void parallel_gemm(float alpha, const MatrixView& a, const MatrixView& b, float beta, float* c,
                   std::int64_t c_row_stride);

}  // namespace onnxport::ops
