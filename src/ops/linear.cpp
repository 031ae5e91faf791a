#include <algorithm>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/gemm.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Linear {
  static constexpr std::string_view name = "linear";
  WeightLayout layout;
};

std::vector<TensorType> infer(const Linear& op, std::span<const TensorType> inputs) {
  const Shape& weight = inputs[1].shape;
  if (weight.size() != 2) mismatch("the weight must have two axes");
  const bool out_in = op.layout == WeightLayout::OutIn;
  const Dim& in = weight[out_in ? 1 : 0];
  const Dim& out = weight[out_in ? 0 : 1];
  if (inputs[0].shape.empty() || !(inputs[0].shape.back() == in))
    mismatch("the weight takes " + in.to_string() + " features, the input is " + to_string(inputs[0].shape));
  if (inputs.size() > 2 && !(inputs[2].shape == Shape{out}))
    mismatch("the bias must have " + out.to_string() + " elements");
  TensorType type = inputs[0];
  type.shape.back() = out;
  return {type};
}

/// Gemm takes weights as the checkpoint has them, so that they can be copied or referenced as they lie.
void lower(const Linear& op, LowerContext& context) {
  const Shape& x = context.input_type(0).shape;
  const Shape flat{element_count(Shape(x.begin(), x.end() - 1)), x.back()};
  std::vector<std::string> inputs{context.reshape(context.input(0), x, flat), context.input(1)};
  if (context.input_count() > 2) inputs.push_back(context.input(2));
  std::vector<onnx::Attribute> attributes;
  if (op.layout == WeightLayout::OutIn) attributes.push_back({"transB", std::int64_t{1}});
  const std::string product = context.emit("Gemm", std::move(inputs), std::move(attributes));
  const Shape& out = context.output_type().shape;
  context.output(context.reshape(product, {flat[0], out.back()}, out));
}

void evaluate(const Linear& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  const std::int64_t in = x.shape().back();
  const std::int64_t features = out.shape().back();
  const std::int64_t rows = in == 0 ? 0 : x.element_count() / in;
  float* y = out.mutable_data<float>();
  const bool biased = context.input_count() > 2;
  if (biased) {
    const Array bias = context.input(2);
    for (std::int64_t i = 0; i < rows; ++i) std::copy_n(bias.data<float>(), features, y + i * features);
  }
  const MatrixView left{x.data<float>(), rows, in, in, 1};
  const auto multiply = [&](const Array& weight, std::int64_t begin) {
    const bool out_in = op.layout == WeightLayout::OutIn;
    const MatrixView stored{weight.data<float>(), weight.shape()[0], weight.shape()[1], weight.shape()[1], 1};
    parallel_gemm(1.0F, left, out_in ? stored.transposed() : stored, biased ? 1.0F : 0.0F, y + begin, features);
  };
  const TensorSource* weight = context.weight(1);
  if (weight && op.layout == WeightLayout::OutIn && weight->data_type != DataType::Float32) {
    // Narrow weights are widened in blocks of rows, so that memory stays small.
    const TensorSource wide = cast(*weight, DataType::Float32);
    const std::int64_t block = std::max<std::int64_t>(1, (std::int64_t{16} << 20) / std::max<std::int64_t>(1, in));
    for (std::int64_t begin = 0; begin < features; begin += block) {
      const std::int64_t count = std::min(block, features - begin);
      multiply(materialize(slice(wide, 0, begin, begin + count)), begin);
    }
  } else {
    multiply(context.input(1), 0);
  }
  context.output(std::move(out));
}

}  // namespace

Tensor linear(Tensor x, Tensor weight, std::optional<Tensor> bias, WeightLayout layout) {
  return bias ? x.graph().add(Linear{layout}, {x, weight, *bias}) : x.graph().add(Linear{layout}, {x, weight});
}

}  // namespace onnxport::ops
