#include <algorithm>
#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Softmax {
  static constexpr std::string_view name = "softmax";
  int axis;
};

std::vector<TensorType> infer(const Softmax&, std::span<const TensorType> inputs) { return {inputs[0]}; }

void lower(const Softmax& op, LowerContext& context) {
  context.output(context.emit("Softmax", {context.input(0)}, {{"axis", std::int64_t{op.axis}}}));
}

void evaluate(const Softmax& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  const AxisView view = view_axis(x.shape(), op.axis);
  parallel_for(view.outer, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t j = 0; j < view.inner; ++j) {
        const float* p = x.data<float>() + i * view.size * view.inner + j;
        float* z = out.mutable_data<float>() + i * view.size * view.inner + j;
        softmax_row(p, z, view.size, view.inner);
      }
  });
  context.output(std::move(out));
}

}  // namespace

void softmax_row(const float* x, float* y, std::int64_t count, std::int64_t stride) {
  float maximum = -INFINITY;
  for (std::int64_t k = 0; k < count; ++k) maximum = std::max(maximum, x[k * stride]);
  double sum = 0;
  for (std::int64_t k = 0; k < count; ++k) sum += y[k * stride] = std::exp(x[k * stride] - maximum);
  const float factor = static_cast<float>(1.0 / sum);
  for (std::int64_t k = 0; k < count; ++k) y[k * stride] *= factor;
}

Tensor softmax(Tensor a, int axis) { return a.graph().add(Softmax{normalize_axis(axis, a.rank())}, {a}); }

}  // namespace onnxport::ops
