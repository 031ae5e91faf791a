#include "ops/kernels.h"

#include "onnxport/error.h"

namespace onnxport::ops {

void mismatch(const std::string& message) { throw Error(ErrorKind::ShapeMismatch, message); }

int normalize_axis(int axis, int rank) {
  const int index = axis < 0 ? axis + rank : axis;
  if (index < 0 || index >= rank)
    mismatch("axis " + std::to_string(axis) + " is out of range for " + std::to_string(rank) + " dimensions");
  return index;
}

Shape broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const std::size_t offset = longer.size() - shorter.size();
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    Dim& dim = result[offset + i];
    if (dim == shorter[i] || shorter[i] == Dim(1)) continue;
    if (!(dim == Dim(1))) mismatch("shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast");
    dim = shorter[i];
  }
  return result;
}

std::vector<std::int64_t> row_major_strides(std::span<const std::int64_t> shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

std::vector<std::int64_t> broadcast_strides(std::span<const std::int64_t> from, std::span<const std::int64_t> shape) {
  const std::vector<std::int64_t> own = row_major_strides(from);
  std::vector<std::int64_t> strides(shape.size(), 0);
  const std::size_t offset = shape.size() - from.size();
  for (std::size_t i = 0; i < from.size(); ++i)
    if (from[i] != 1) strides[offset + i] = own[i];
  return strides;
}

AxisView view_axis(std::span<const std::int64_t> shape, int axis) {
  AxisView view;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (static_cast<int>(i) < axis) view.outer *= shape[i];
    if (static_cast<int>(i) == axis) view.size = shape[i];
    if (static_cast<int>(i) > axis) view.inner *= shape[i];
  }
  return view;
}

}  // namespace onnxport::ops
