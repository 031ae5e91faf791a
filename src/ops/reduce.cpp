#include <algorithm>
#include <limits>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

enum class ReduceKind { Sum, Mean, Max, Min };

struct Reduce {
  static constexpr std::string_view name = "reduce";
  ReduceKind kind;
  std::vector<int> axes;  // sorted, in range
  bool keep_dims;
};

std::vector<TensorType> infer(const Reduce& op, std::span<const TensorType> inputs) {
  TensorType type = inputs[0];
  for (std::size_t i = op.axes.size(); i-- > 0;) {
    const auto axis = type.shape.begin() + op.axes[i];
    if (op.keep_dims) {
      *axis = Dim(1);
    } else {
      type.shape.erase(axis);
    }
  }
  return {type};
}

void lower(const Reduce& op, LowerContext& context) {
  constexpr std::string_view names[] = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"};
  const std::vector<std::int64_t> axes(op.axes.begin(), op.axes.end());
  std::vector<std::string> inputs{context.input(0)};
  std::vector<onnx::Attribute> attributes{{"keepdims", std::int64_t{op.keep_dims}}};
  // Axes became an input in opset 13 for sums, in 18 for the others.
  if (op.kind == ReduceKind::Sum || context.target().opset >= 18) {
    inputs.push_back(context.int64s(axes));
  } else {
    attributes.push_back({"axes", axes});
  }
  context.output(context.emit(names[static_cast<std::size_t>(op.kind)], std::move(inputs), std::move(attributes)));
}

/// Sums are kept in double, so that the order of summation does not matter for float32 results.
template <typename T, typename Accumulator>
void reduce(const Reduce& op, const Array& x, Array& out) {
  // The output's strides in the input's axes: 0 where an axis is reduced.
  std::vector<std::int64_t> kept = x.shape();
  for (int axis : op.axes) kept[static_cast<std::size_t>(axis)] = 1;
  const std::vector<std::int64_t> strides = broadcast_strides(kept, x.shape());
  const bool extreme = op.kind == ReduceKind::Max || op.kind == ReduceKind::Min;
  const T start = op.kind == ReduceKind::Max   ? std::numeric_limits<T>::lowest()
                  : op.kind == ReduceKind::Min ? std::numeric_limits<T>::max()
                                               : T{};
  std::vector<Accumulator> result(static_cast<std::size_t>(out.element_count()), static_cast<Accumulator>(start));
  std::int64_t rows = 1;
  const std::size_t rank = x.shape().size();
  const std::int64_t count = rank == 0 ? 1 : x.shape()[rank - 1];
  for (std::size_t i = 0; i + 1 < rank; ++i) rows *= x.shape()[i];
  const T* p = x.data<T>();
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t offset = 0;
    std::int64_t rest = row;
    for (std::size_t axis = rank < 2 ? 0 : rank - 1; axis-- > 0;) {
      offset += rest % x.shape()[axis] * strides[axis];
      rest /= x.shape()[axis];
    }
    const std::int64_t step = rank == 0 ? 0 : strides[rank - 1];
    for (std::int64_t i = 0; i < count; ++i) {
      const Accumulator value = static_cast<Accumulator>(p[row * count + i]);
      Accumulator& target = result[static_cast<std::size_t>(offset + i * step)];
      if (!extreme) {
        target += value;
      } else if (op.kind == ReduceKind::Max ? value > target : value < target) {
        target = value;
      }
    }
  }
  const std::int64_t divisor =
      op.kind == ReduceKind::Mean && out.element_count() > 0 ? x.element_count() / out.element_count() : 1;
  for (std::int64_t i = 0; i < out.element_count(); ++i)
    out.mutable_data<T>()[i] = static_cast<T>(result[static_cast<std::size_t>(i)] / static_cast<Accumulator>(divisor));
}

void evaluate(const Reduce& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  switch (x.data_type()) {
    case DataType::Float32:
      reduce<float, double>(op, x, out);
      break;
    case DataType::Int64:
      reduce<std::int64_t, std::int64_t>(op, x, out);
      break;
    default:
      mismatch("reductions take float or int64");
  }
  context.output(std::move(out));
}

Tensor add_reduce(ReduceKind kind, Tensor a, std::vector<int> axes, bool keep_dims) {
  for (int& axis : axes) axis = normalize_axis(axis, a.rank());
  std::sort(axes.begin(), axes.end());
  return a.graph().add(Reduce{kind, std::move(axes), keep_dims}, {a});
}

}  // namespace

Tensor reduce_sum(Tensor a, std::vector<int> axes, bool keep_dims) {
  return add_reduce(ReduceKind::Sum, a, std::move(axes), keep_dims);
}
Tensor reduce_mean(Tensor a, std::vector<int> axes, bool keep_dims) {
  return add_reduce(ReduceKind::Mean, a, std::move(axes), keep_dims);
}
Tensor reduce_max(Tensor a, std::vector<int> axes, bool keep_dims) {
  return add_reduce(ReduceKind::Max, a, std::move(axes), keep_dims);
}
Tensor reduce_min(Tensor a, std::vector<int> axes, bool keep_dims) {
  return add_reduce(ReduceKind::Min, a, std::move(axes), keep_dims);
}

}  // namespace onnxport::ops
