#include "ops/gemm.h"

#include <algorithm>

#include <blis.h>

#include "core/parallel_for.h"

namespace onnxport::ops {

void gemm(float alpha, const MatrixView& a, const MatrixView& b, float beta, float* c, std::int64_t c_row_stride) {
  if (a.rows == 0 || b.columns == 0) return;
  if (a.columns == 0) {
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t j = 0; j < b.columns; ++j) c[i * c_row_stride + j] *= beta;
    return;
  }
  // BLIS takes pointers to mutable data but only reads the operands.
  bli_sgemm(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, a.rows, b.columns, a.columns, &alpha, const_cast<float*>(a.data),
            a.row_stride, a.column_stride, const_cast<float*>(b.data), b.row_stride, b.column_stride, &beta, c,
            c_row_stride, 1);
}

void parallel_gemm(float alpha, const MatrixView& a, const MatrixView& b, float beta, float* c,
                   std::int64_t c_row_stride) {
  // The longer side of the result is divided; each part is at least a few register tiles wide.
  const bool by_rows = a.rows >= b.columns;
  const std::int64_t grain =
      std::max<std::int64_t>(32, (1 << 20) / std::max<std::int64_t>(1, a.columns * std::min(a.rows, b.columns)));
  parallel_for(by_rows ? a.rows : b.columns, grain, [&](std::int64_t begin, std::int64_t end) {
    MatrixView part_a = a;
    MatrixView part_b = b;
    float* part_c = c;
    if (by_rows) {
      part_a.data += begin * a.row_stride;
      part_a.rows = end - begin;
      part_c += begin * c_row_stride;
    } else {
      part_b.data += begin * b.column_stride;
      part_b.columns = end - begin;
      part_c += begin;
    }
    gemm(alpha, part_a, part_b, beta, part_c, c_row_stride);
  });
}

}  // namespace onnxport::ops
