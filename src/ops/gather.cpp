#include <cstring>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "onnxport/error.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Gather {
  static constexpr std::string_view name = "gather";
  int axis;
};

struct GatherElements {
  static constexpr std::string_view name = "gather_elements";
  int axis;
};

void check_index(std::int64_t index, std::int64_t size) {
  if (index < 0 || index >= size)
    throw Error(ErrorKind::ShapeMismatch,
                "index " + std::to_string(index) + " is out of range for an axis of size " + std::to_string(size));
}

std::vector<TensorType> infer(const Gather& op, std::span<const TensorType> inputs) {
  if (inputs[1].data_type != DataType::Int64) mismatch("indices must be int64");
  TensorType type{inputs[0].data_type, {}};
  const auto axis = inputs[0].shape.begin() + op.axis;
  type.shape.assign(inputs[0].shape.begin(), axis);
  type.shape.insert(type.shape.end(), inputs[1].shape.begin(), inputs[1].shape.end());
  type.shape.insert(type.shape.end(), axis + 1, inputs[0].shape.end());
  return {type};
}

void lower(const Gather& op, LowerContext& context) {
  context.output(context.emit("Gather", {context.input(0), context.input(1)}, {{"axis", std::int64_t{op.axis}}}));
}

void evaluate(const Gather& op, EvaluateContext& context) {
  const Array indices = context.input(1);
  Array out = context.new_output();
  const std::size_t element = size_of(out.data_type());
  if (const TensorSource* weight = context.weight(0); weight && op.axis == 0) {
    // Rows of an embedding are read where they lie; the table is never converted as a whole.
    const TensorSource table = cast(*weight, out.data_type());
    const std::int64_t row = view_axis(table.shape, 0).inner;
    for (std::int64_t i = 0; i < indices.element_count(); ++i) {
      const std::int64_t index = indices.data<std::int64_t>()[i];
      check_index(index, table.shape[0]);
      read_elements(table, index * row,
                    out.mutable_bytes().subspan(static_cast<std::size_t>(i * row) * element,
                                                static_cast<std::size_t>(row) * element));
    }
    return context.output(std::move(out));
  }
  const Array x = context.input(0);
  const AxisView view = view_axis(x.shape(), op.axis);
  const std::size_t block = static_cast<std::size_t>(view.inner) * element;
  for (std::int64_t i = 0; i < view.outer; ++i) {
    for (std::int64_t k = 0; k < indices.element_count(); ++k) {
      const std::int64_t index = indices.data<std::int64_t>()[k];
      check_index(index, view.size);
      std::memcpy(out.mutable_data<std::byte>() + static_cast<std::size_t>(i * indices.element_count() + k) * block,
                  x.data<std::byte>() + static_cast<std::size_t>(i * view.size + index) * block, block);
    }
  }
  context.output(std::move(out));
}

std::vector<TensorType> infer(const GatherElements& op, std::span<const TensorType> inputs) {
  if (inputs[1].data_type != DataType::Int64) mismatch("indices must be int64");
  if (inputs[0].shape.size() != inputs[1].shape.size()) mismatch("indices must have the rank of the data");
  for (std::size_t i = 0; i < inputs[0].shape.size(); ++i)
    if (static_cast<int>(i) != op.axis && !(inputs[0].shape[i] == inputs[1].shape[i]))
      mismatch("indices must agree with the data beside the axis");
  return {{inputs[0].data_type, inputs[1].shape}};
}

void lower(const GatherElements& op, LowerContext& context) {
  context.output(
      context.emit("GatherElements", {context.input(0), context.input(1)}, {{"axis", std::int64_t{op.axis}}}));
}

template <typename T>
void pick(const Array& x, const Array& indices, int axis, Array& out) {
  const AxisView from = view_axis(x.shape(), axis);
  const AxisView to = view_axis(out.shape(), axis);
  T* z = out.mutable_data<T>();
  const std::int64_t* index = indices.data<std::int64_t>();
  parallel_for(to.outer, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t k = 0; k < to.size; ++k)
        for (std::int64_t j = 0; j < to.inner; ++j) {
          const std::int64_t position = (i * to.size + k) * to.inner + j;
          check_index(index[position], from.size);
          z[position] = x.data<T>()[(i * from.size + index[position]) * from.inner + j];
        }
  });
}

void evaluate(const GatherElements& op, EvaluateContext& context) {
  Array out = context.new_output();
  switch (size_of(out.data_type())) {
    case 8:
      pick<std::int64_t>(context.input(0), context.input(1), op.axis, out);
      break;
    case 4:
      pick<float>(context.input(0), context.input(1), op.axis, out);
      break;
    default:
      pick<std::uint8_t>(context.input(0), context.input(1), op.axis, out);
      break;
  }
  context.output(std::move(out));
}

}  // namespace

Tensor gather(Tensor a, Tensor indices, int axis) {
  return a.graph().add(Gather{normalize_axis(axis, a.rank())}, {a, indices});
}

Tensor gather_elements(Tensor a, Tensor indices, int axis) {
  return a.graph().add(GatherElements{normalize_axis(axis, a.rank())}, {a, indices});
}

}  // namespace onnxport::ops
