#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/parallel_for.h"
#include "graph/graph.h"
#include "onnxport/array.h"

/// What the operators' infer and evaluate functions share.
namespace onnxport::ops {

/// Axis in [0, rank); throws Error(ShapeMismatch).
int normalize_axis(int axis, int rank);
/// numpy's broadcasting of two shapes; a symbolic size broadcasts with itself and with 1. Throws Error(ShapeMismatch).
Shape broadcast(const Shape& a, const Shape& b);
[[noreturn]] void mismatch(const std::string& message);

/// Row-major strides in elements; 0 for axes of size 1 that broadcast to `shape`, aligned at the last axis.
std::vector<std::int64_t> broadcast_strides(std::span<const std::int64_t> from, std::span<const std::int64_t> shape);
std::vector<std::int64_t> row_major_strides(std::span<const std::int64_t> shape);

/// A shape seen from one axis: `outer` blocks of `size` rows of `inner` elements.
struct AxisView {
  std::int64_t outer = 1;
  std::int64_t size = 1;
  std::int64_t inner = 1;
};
AxisView view_axis(std::span<const std::int64_t> shape, int axis);

/// Calls body(offset of a, offset of b, ...) for every element of `shape` in row-major order, in parallel over rows of
/// the last axis: body(out_begin, count, a_offset, a_step, b_offset, b_step).
template <typename Body>
void for_each_row(std::span<const std::int64_t> shape, const std::vector<std::vector<std::int64_t>>& strides,
                  Body body) {
  const std::size_t rank = shape.size();
  const std::int64_t count = rank == 0 ? 1 : shape[rank - 1];
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < rank; ++i) rows *= shape[i];
  if (count == 0 || rows == 0) return;
  const std::int64_t grain = 1 + 16384 / count;
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> offsets(strides.size());
    std::vector<std::int64_t> steps(strides.size());
    for (std::size_t k = 0; k < strides.size(); ++k) steps[k] = rank == 0 ? 0 : strides[k][rank - 1];
    for (std::int64_t row = begin; row < end; ++row) {
      std::fill(offsets.begin(), offsets.end(), 0);
      std::int64_t rest = row;
      for (std::size_t axis = rank < 2 ? 0 : rank - 1; axis-- > 0;) {
        const std::int64_t index = rest % shape[axis];
        rest /= shape[axis];
        for (std::size_t k = 0; k < strides.size(); ++k) offsets[k] += index * strides[k][axis];
      }
      body(row * count, count, offsets, steps);
    }
  });
}

/// Softmax of `count` elements that lie `stride` apart; x and y may be the same.
void softmax_row(const float* x, float* y, std::int64_t count, std::int64_t stride);

/// y = f(x) over the elements, in parallel.
template <typename T, typename R, typename F>
void map_elements(std::span<const T> x, R* y, F f) {
  parallel_for(static_cast<std::int64_t>(x.size()), 8192, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = f(x[static_cast<std::size_t>(i)]);
  });
}

}  // namespace onnxport::ops
