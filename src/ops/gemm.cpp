#include "ops/gemm.h"

#include <algorithm>

#include <blis.h>

#include "core/parallel_for.h"

namespace onnxport::ops {
namespace {

// BLIS takes pointers to mutable data but only reads the operands.
void call_blis(const MatrixView& a, const MatrixView& b, float alpha, float beta, float* c, std::int64_t c_row_stride) {
  bli_sgemm(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, a.rows, b.columns, a.columns, &alpha, const_cast<float*>(a.data),
            a.row_stride, a.column_stride, const_cast<float*>(b.data), b.row_stride, b.column_stride, &beta, c,
            c_row_stride, 1);
}

void call_blis(const DoubleMatrixView& a, const DoubleMatrixView& b, double alpha, double beta, double* c,
               std::int64_t c_row_stride) {
  bli_dgemm(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, a.rows, b.columns, a.columns, &alpha, const_cast<double*>(a.data),
            a.row_stride, a.column_stride, const_cast<double*>(b.data), b.row_stride, b.column_stride, &beta, c,
            c_row_stride, 1);
}

template <typename Element>
void multiply(Element alpha, const BasicMatrixView<Element>& a, const BasicMatrixView<Element>& b, Element beta,
              Element* c, std::int64_t c_row_stride) {
  if (a.rows == 0 || b.columns == 0) return;
  if (a.columns == 0) {
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t j = 0; j < b.columns; ++j) c[i * c_row_stride + j] *= beta;
    return;
  }
  call_blis(a, b, alpha, beta, c, c_row_stride);
}

}  // namespace

void gemm(float alpha, const MatrixView& a, const MatrixView& b, float beta, float* c, std::int64_t c_row_stride) {
  multiply(alpha, a, b, beta, c, c_row_stride);
}

void double_gemm(double alpha, const DoubleMatrixView& a, const DoubleMatrixView& b, double beta, double* c,
                 std::int64_t c_row_stride) {
  multiply(alpha, a, b, beta, c, c_row_stride);
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

// BLIS brings kernels for fourteen kinds of x86 processors, most of a megabyte each, and chooses when the program
// starts. For seven kinds of 2008 to 2017 onnxport leaves them out: BLIS asks these functions, which the linker finds
// before those of its archive, and gets its portable kernels. They compute nothing but the reference of a validation,
// so that such a processor validates slower and exports as fast as any.
#ifdef BLIS_CONFIG_KNL

#define ONNXPORT_USE_PORTABLE_KERNELS(processor)                                                           \
  extern "C" void bli_cntx_init_##processor(cntx_t* context) { bli_cntx_init_generic(context); }           \
  extern "C" void bli_cntx_init_##processor##_ref(cntx_t* context) { bli_cntx_init_generic_ref(context); } \
  extern "C" void bli_cntx_init_##processor##_ind(ind_t method, cntx_t* context) {                         \
    bli_cntx_init_generic_ind(method, context);                                                            \
  }

ONNXPORT_USE_PORTABLE_KERNELS(knl)
ONNXPORT_USE_PORTABLE_KERNELS(sandybridge)
ONNXPORT_USE_PORTABLE_KERNELS(penryn)
ONNXPORT_USE_PORTABLE_KERNELS(excavator)
ONNXPORT_USE_PORTABLE_KERNELS(steamroller)
ONNXPORT_USE_PORTABLE_KERNELS(piledriver)
ONNXPORT_USE_PORTABLE_KERNELS(bulldozer)

#endif
