#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/gemm.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Conv {
  static constexpr std::string_view name = "conv";
  ConvOptions options;  // complete: strides, pads and dilations of every axis
  std::vector<std::int64_t> kernel;
};

std::vector<TensorType> infer(const Conv& op, std::span<const TensorType> inputs) {
  const Shape& x = inputs[0].shape;
  const Shape& weight = inputs[1].shape;
  if (x.size() < 3 || weight.size() != x.size()) mismatch("input and weight must have the same rank of 3 or more");
  if (!(x[1] == weight[1] * Dim(op.options.groups)))
    mismatch("the weight takes " + (weight[1] * Dim(op.options.groups)).to_string() + " channels, the input has " +
             x[1].to_string());
  TensorType type{inputs[0].data_type, {x[0], weight[0]}};
  const std::size_t axes = op.kernel.size();
  for (std::size_t i = 0; i < axes; ++i) {
    const std::int64_t extent = op.options.dilations[i] * (op.kernel[i] - 1) + 1;
    type.shape.push_back(
        floor_div(x[2 + i] + op.options.pads[i] + op.options.pads[axes + i] - extent, op.options.strides[i]) + 1);
  }
  return {type};
}

void lower(const Conv& op, LowerContext& context) {
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < context.input_count(); ++i) inputs.push_back(context.input(i));
  context.output(context.emit("Conv", std::move(inputs),
                              {{"dilations", op.options.dilations},
                               {"group", op.options.groups},
                               {"kernel_shape", op.kernel},
                               {"pads", op.options.pads},
                               {"strides", op.options.strides}}));
}

/// Columns of one image and group: (channels * kernel, positions), zeros where the kernel stands outside.
void image_to_columns(const float* x, const std::vector<std::int64_t>& in, const std::vector<std::int64_t>& out_shape,
                      const Conv& op, std::int64_t channels, float* columns) {
  const std::size_t axes = op.kernel.size();
  const std::int64_t positions = onnxport::element_count(out_shape);
  const std::int64_t taps = onnxport::element_count(op.kernel);
  const std::int64_t area = onnxport::element_count(in);
  const std::vector<std::int64_t> in_strides = row_major_strides(in);
  parallel_for(
      channels * taps, 1 + 16384 / std::max<std::int64_t>(1, positions), [&](std::int64_t begin, std::int64_t end) {
        std::vector<std::int64_t> tap(axes);
        for (std::int64_t row = begin; row < end; ++row) {
          std::int64_t rest = row % taps;
          for (std::size_t i = axes; i-- > 0; rest /= op.kernel[i]) tap[i] = rest % op.kernel[i];
          const float* channel = x + row / taps * area;
          for (std::int64_t position = 0; position < positions; ++position) {
            std::int64_t index = position;
            std::int64_t offset = 0;
            bool inside = true;
            for (std::size_t i = axes; i-- > 0; index /= out_shape[i]) {
              const std::int64_t at =
                  index % out_shape[i] * op.options.strides[i] + tap[i] * op.options.dilations[i] - op.options.pads[i];
              inside = inside && at >= 0 && at < in[i];
              offset += at * in_strides[i];
            }
            columns[row * positions + position] = inside ? channel[offset] : 0.0F;
          }
        }
      });
}

void evaluate(const Conv& op, EvaluateContext& context) {
  const Array x = context.input(0);
  const Array weight = context.input(1);
  Array out = context.new_output();
  const std::vector<std::int64_t> in(x.shape().begin() + 2, x.shape().end());
  const std::vector<std::int64_t> spatial(out.shape().begin() + 2, out.shape().end());
  const std::int64_t positions = onnxport::element_count(spatial);
  const std::int64_t area = onnxport::element_count(in);
  const std::int64_t channels = weight.shape()[1];
  const std::int64_t maps = weight.shape()[0] / op.options.groups;
  const std::int64_t depth = channels * onnxport::element_count(op.kernel);
  Array columns(DataType::Float32, {depth, positions});
  for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
    for (std::int64_t group = 0; group < op.options.groups; ++group) {
      image_to_columns(x.data<float>() + (n * x.shape()[1] + group * channels) * area, in, spatial, op, channels,
                       columns.mutable_data<float>());
      float* y = out.mutable_data<float>() + (n * weight.shape()[0] + group * maps) * positions;
      parallel_gemm(1.0F, {weight.data<float>() + group * maps * depth, maps, depth, depth, 1},
                    {columns.data<float>(), depth, positions, positions, 1}, 0.0F, y, positions);
    }
  }
  if (context.input_count() > 2) {
    const Array bias = context.input(2);
    for (std::int64_t i = 0; i < out.shape()[0] * out.shape()[1]; ++i) {
      const float value = bias.data<float>()[i % out.shape()[1]];
      for (std::int64_t k = 0; k < positions; ++k) out.mutable_data<float>()[i * positions + k] += value;
    }
  }
  context.output(std::move(out));
}

}  // namespace

Tensor conv(Tensor x, Tensor weight, std::optional<Tensor> bias, ConvOptions options) {
  if (weight.rank() < 3) mismatch("the weight " + to_string(weight.shape()) + " has no spatial axes");
  Conv op{std::move(options), {}};
  for (int axis = 2; axis < weight.rank(); ++axis) op.kernel.push_back(weight.dim(axis).constant());
  const std::size_t axes = op.kernel.size();
  if (op.options.strides.empty()) op.options.strides.assign(axes, 1);
  if (op.options.dilations.empty()) op.options.dilations.assign(axes, 1);
  if (op.options.pads.empty()) op.options.pads.assign(2 * axes, 0);
  return bias ? x.graph().add(std::move(op), {x, weight, *bias}) : x.graph().add(std::move(op), {x, weight});
}

}  // namespace onnxport::ops
