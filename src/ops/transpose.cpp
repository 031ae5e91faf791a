#include <algorithm>
#include <numeric>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Transpose {
  static constexpr std::string_view name = "transpose";
  std::vector<int> permutation;
};

std::vector<TensorType> infer(const Transpose& op, std::span<const TensorType> inputs) {
  std::vector<int> sorted = op.permutation;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int> identity(inputs[0].shape.size());
  std::iota(identity.begin(), identity.end(), 0);
  if (sorted != identity) mismatch("the permutation does not fit the rank of " + to_string(inputs[0].shape));
  TensorType type{inputs[0].data_type, {}};
  for (int axis : op.permutation) type.shape.push_back(inputs[0].shape[static_cast<std::size_t>(axis)]);
  return {type};
}

void lower(const Transpose& op, LowerContext& context) {
  context.output(context.transpose(context.input(0), {op.permutation.begin(), op.permutation.end()}));
}

template <typename T>
void permute(const Array& x, const std::vector<int>& permutation, Array& out) {
  const std::vector<std::int64_t> own = row_major_strides(x.shape());
  std::vector<std::int64_t> strides;
  for (int axis : permutation) strides.push_back(own[static_cast<std::size_t>(axis)]);
  T* z = out.mutable_data<T>();
  const T* data = x.data<T>();
  for_each_row(out.shape(), {strides},
               [&](std::int64_t first, std::int64_t count, const auto& offset, const auto& step) {
                 const T* p = data + offset[0];
                 for (std::int64_t i = 0; i < count; ++i) z[first + i] = p[i * step[0]];
               });
}

void evaluate(const Transpose& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  switch (size_of(x.data_type())) {
    case 8:
      permute<std::int64_t>(x, op.permutation, out);
      break;
    case 4:
      permute<float>(x, op.permutation, out);
      break;
    default:
      permute<std::uint8_t>(x, op.permutation, out);
      break;
  }
  context.output(std::move(out));
}

}  // namespace

Tensor transpose(Tensor a, std::vector<int> permutation) {
  return a.graph().add(Transpose{std::move(permutation)}, {a});
}

Tensor swap_axes(Tensor a, int axis1, int axis2) {
  std::vector<int> permutation(static_cast<std::size_t>(a.rank()));
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[static_cast<std::size_t>(normalize_axis(axis1, a.rank()))],
            permutation[static_cast<std::size_t>(normalize_axis(axis2, a.rank()))]);
  return transpose(a, std::move(permutation));
}

}  // namespace onnxport::ops
