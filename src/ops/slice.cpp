#include <limits>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "onnxport/error.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Slice {
  static constexpr std::string_view name = "slice";
  int axis;
  Dim begin;
  Dim end;
  int step;
};

std::vector<TensorType> infer(const Slice& op, std::span<const TensorType> inputs) {
  TensorType type = inputs[0];
  Dim& dim = type.shape[static_cast<std::size_t>(op.axis)];
  if (op.begin.is_constant() && op.end.is_constant() && dim.is_constant() &&
      (op.begin.constant() < 0 || op.end.constant() > dim.constant() || op.begin.constant() > op.end.constant()))
    mismatch("elements " + op.begin.to_string() + " to " + op.end.to_string() + " of an axis of size " +
             dim.to_string());
  dim = ceil_div(op.end - op.begin, op.step);
  return {type};
}

void lower(const Slice& op, LowerContext& context) {
  // An end that is the axis' own size needs no computation: ONNX clamps it.
  const bool to_the_end = op.end == context.input_type(0).shape[static_cast<std::size_t>(op.axis)];
  const std::string end =
      to_the_end ? context.int64s({std::numeric_limits<std::int64_t>::max()}) : context.shape({op.end});
  std::vector<std::string> inputs{context.input(0), context.shape({op.begin}), end, context.int64s({op.axis})};
  if (op.step != 1) inputs.push_back(context.int64s({op.step}));
  context.output(context.emit("Slice", std::move(inputs)));
}

template <typename T>
void copy_slice(const Array& x, const Slice& op, std::int64_t begin, Array& out) {
  const std::vector<std::int64_t> strides = row_major_strides(x.shape());
  std::vector<std::int64_t> steps = strides;
  steps[static_cast<std::size_t>(op.axis)] *= op.step;
  const T* data = x.data<T>() + begin * strides[static_cast<std::size_t>(op.axis)];
  T* z = out.mutable_data<T>();
  for_each_row(out.shape(), {steps}, [&](std::int64_t first, std::int64_t count, const auto& offset, const auto& step) {
    for (std::int64_t i = 0; i < count; ++i) z[first + i] = data[offset[0] + i * step[0]];
  });
}

void evaluate(const Slice& op, EvaluateContext& context) {
  const std::int64_t begin = context.size(op.begin);
  const std::int64_t end = context.size(op.end);
  Array out = context.new_output();
  if (const TensorSource* weight = context.weight(0); weight && op.axis == 0 && op.step == 1 && end <= weight->shape[0])
    return context.output(materialize(cast(slice(*weight, 0, begin, end), out.data_type())));
  const Array x = context.input(0);
  const std::int64_t size = x.shape()[static_cast<std::size_t>(op.axis)];
  if (begin < 0 || end > size || begin > end)
    throw Error(ErrorKind::ShapeMismatch, "elements " + std::to_string(begin) + " to " + std::to_string(end) +
                                              " of an axis of size " + std::to_string(size));
  switch (size_of(x.data_type())) {
    case 8:
      copy_slice<std::int64_t>(x, op, begin, out);
      break;
    case 4:
      copy_slice<float>(x, op, begin, out);
      break;
    default:
      copy_slice<std::uint8_t>(x, op, begin, out);
      break;
  }
  context.output(std::move(out));
}

}  // namespace

Tensor slice(Tensor a, int axis, Dim begin, Dim end, int step) {
  const int index = normalize_axis(axis, a.rank());
  if (step == 1 && begin == Dim(0) && end == a.dim(index)) return a;
  return a.graph().add(Slice{index, std::move(begin), std::move(end), step}, {a});
}

Tensor select(Tensor a, int axis, Dim index) { return squeeze(slice(a, axis, index, index + 1), axis); }

}  // namespace onnxport::ops
