#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/gemm.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct MatMul {
  static constexpr std::string_view name = "matmul";
};

std::vector<TensorType> infer(const MatMul&, std::span<const TensorType> inputs) {
  const Shape& a = inputs[0].shape;
  const Shape& b = inputs[1].shape;
  if (a.size() < 2 || b.size() < 2) mismatch("matrices have two axes or more");
  if (!(a.back() == b[b.size() - 2]))
    mismatch("inner sizes " + a.back().to_string() + " and " + b[b.size() - 2].to_string() + " differ");
  Shape shape = broadcast(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  return {{inputs[0].data_type, std::move(shape)}};
}

void lower(const MatMul&, LowerContext& context) {
  context.output(context.emit("MatMul", {context.input(0), context.input(1)}));
}

void evaluate(const MatMul&, EvaluateContext& context) {
  const Array a = context.input(0);
  const Array b = context.input(1);
  Array out = context.new_output();
  const auto leading = [](const std::vector<std::int64_t>& shape) {
    return std::vector<std::int64_t>(shape.begin(), shape.end() - 2);
  };
  const std::vector<std::int64_t> batch = leading(out.shape());
  const std::int64_t m = out.shape()[batch.size()];
  const std::int64_t n = out.shape()[batch.size() + 1];
  const std::int64_t k = a.shape().back();
  std::vector<std::int64_t> shape = batch;
  shape.push_back(1);  // for_each_row iterates over all but the last axis
  std::vector<std::int64_t> a_shape = leading(a.shape());
  std::vector<std::int64_t> b_shape = leading(b.shape());
  a_shape.push_back(1);
  b_shape.push_back(1);
  const auto strides = {broadcast_strides(a_shape, shape), broadcast_strides(b_shape, shape)};
  const bool single = onnxport::element_count(batch) == 1;
  for_each_row(shape, strides, [&](std::int64_t index, std::int64_t, const auto& offset, const auto&) {
    const MatrixView x{a.data<float>() + offset[0] * m * k, m, k, k, 1};
    const MatrixView y{b.data<float>() + offset[1] * k * n, k, n, n, 1};
    (single ? parallel_gemm : gemm)(1.0F, x, y, 0.0F, out.mutable_data<float>() + index * m * n, n);
  });
  context.output(std::move(out));
}

}  // namespace

Tensor matmul(Tensor a, Tensor b) { return a.graph().add(MatMul{}, {a, b}); }

}  // namespace onnxport::ops
