#include "checkpoint/strided.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "onnxport/error.h"

namespace onnxport {
namespace {

struct Axis {
  std::int64_t size;
  std::int64_t stride;
};

/// Axes without those of size 1, whose stride says nothing.
std::vector<Axis> significant_axes(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1) axes.push_back({shape[i], strides[i]});
  }
  return axes;
}

/// Whether the axes, in this order, step through a run of elements without a gap.
bool is_dense(const std::vector<Axis>& axes) {
  std::int64_t expected = 1;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    if (axis->stride != expected) return false;
    expected *= axis->size;  // no more than the storage has, as the view lies within it
  }
  return true;
}

bool can_be_counted(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  return std::all_of(shape.begin(), shape.end(), [&](std::int64_t size) {
    return size >= 0 && (size == 0 || !__builtin_mul_overflow(count, size, &count));
  });
}

/// The number of the view's last element in the storage, -1 if that does not fit into 64 bits.
std::int64_t last_element(std::int64_t offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
  std::int64_t last = offset;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    std::int64_t distance = 0;
    if (__builtin_mul_overflow(shape[i] - 1, strides[i], &distance)) return -1;
    if (__builtin_add_overflow(last, distance, &last)) return -1;
  }
  return last;
}

/// Computes runs of a view whose elements lie anywhere.
class Gather {
 public:
  Gather(TensorSource storage, std::int64_t offset, std::vector<Axis> axes)
      : storage_(std::move(storage)),
        offset_(offset),
        axes_(std::move(axes)),
        element_size_(size_of(storage_.data_type)) {}

  void compute(std::int64_t first, std::span<std::byte> out) const {
    // The last axis is one run of equal steps; where it begins follows from the indices of the others.
    const Axis last = axes_.back();
    while (!out.empty()) {
      const std::int64_t within = first % last.size;
      const std::int64_t run = std::min(last.size - within, static_cast<std::int64_t>(out.size() / element_size_));
      copy_run(row_offset(first / last.size) + within * last.stride, last.stride, run, out.data());
      first += run;
      out = out.subspan(static_cast<std::size_t>(run) * element_size_);
    }
  }

 private:
  std::int64_t row_offset(std::int64_t row) const {
    std::int64_t offset = offset_;
    for (std::size_t axis = axes_.size() - 1; axis-- > 0;) {
      offset += row % axes_[axis].size * axes_[axis].stride;
      row /= axes_[axis].size;
    }
    return offset;
  }

  void copy_run(std::int64_t from, std::int64_t stride, std::int64_t count, std::byte* out) const {
    const std::byte* source = storage_.bytes.data() + static_cast<std::size_t>(from) * element_size_;
    if (stride == 1) {
      std::memcpy(out, source, static_cast<std::size_t>(count) * element_size_);
      return;
    }
    const std::size_t step = static_cast<std::size_t>(stride) * element_size_;
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(out, source, element_size_);
      source += step;
      out += element_size_;
    }
  }

  TensorSource storage_;
  std::int64_t offset_;
  std::vector<Axis> axes_;
  std::size_t element_size_;
};

/// `size` elements of the storage, from `offset` on, in one piece.
TensorSource piece(const TensorSource& storage, std::int64_t offset, std::int64_t size) {
  return slice(storage, 0, offset, offset + size);
}

/// How many times the file's size all tensors together may have: tied weights have it twice.
constexpr std::uint64_t kMaximumRepetition = 64;
constexpr std::uint64_t kAlwaysAllowedBytes = std::uint64_t{64} << 20;

}  // namespace

void refuse_repetition(const std::map<std::string, TensorSource, std::less<>>& tensors, std::uint64_t file_size,
                       std::string_view origin) {
  std::uint64_t total = 0;
  for (const auto& [name, source] : tensors) {
    std::uint64_t size = 0;
    const bool is_huge = __builtin_mul_overflow(static_cast<std::uint64_t>(source.element_count()),
                                                std::uint64_t{size_of(source.data_type)}, &size) ||
                         __builtin_add_overflow(total, size, &total);
    if (is_huge || (total / kMaximumRepetition > file_size && total > kAlwaysAllowedBytes)) {
      throw Error(ErrorKind::InvalidCheckpoint, std::string(origin) +
                                                    ": is refused: its tensors would have more than " +
                                                    std::to_string(kMaximumRepetition) +
                                                    " times as many bytes as the file, as they repeat its bytes");
    }
  }
}

TensorSource strided_view(const TensorSource& storage, std::int64_t offset, std::vector<std::int64_t> shape,
                          std::vector<std::int64_t> strides, std::string_view subject) {
  const std::int64_t available = storage.element_count();
  const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  const std::int64_t last = is_empty ? 0 : last_element(offset, shape, strides);
  if (!can_be_counted(shape) || offset < 0 || offset > available || (!is_empty && (last < 0 || last >= available))) {
    throw Error(ErrorKind::InvalidCheckpoint, std::string(subject) + " of shape " + shape_to_string(shape) +
                                                  " and strides " + shape_to_string(strides) + " from element " +
                                                  std::to_string(offset) + " on does not lie within its storage of " +
                                                  std::to_string(available) + " elements");
  }
  if (is_empty) return reshape(piece(storage, 0, 0), std::move(shape));

  const std::vector<Axis> axes = significant_axes(shape, strides);
  if (is_dense(axes)) {
    const std::int64_t size = element_count(shape);
    return reshape(piece(storage, offset, size), std::move(shape));
  }
  // Axes in the order of their strides: if these are dense, the view is a transposed tensor.
  std::vector<int> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int left, int right) {
    return strides[static_cast<std::size_t>(left)] > strides[static_cast<std::size_t>(right)];
  });
  std::vector<std::int64_t> sorted_shape;
  std::vector<std::int64_t> sorted_strides;
  std::vector<int> permutation(shape.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto axis = static_cast<std::size_t>(order[i]);
    sorted_shape.push_back(shape[axis]);
    sorted_strides.push_back(strides[axis]);
    permutation[axis] = static_cast<int>(i);
  }
  if (is_dense(significant_axes(sorted_shape, sorted_strides))) {
    const std::int64_t size = element_count(sorted_shape);
    return transpose(reshape(piece(storage, offset, size), std::move(sorted_shape)), std::move(permutation));
  }

  TensorSource view;
  view.data_type = storage.data_type;
  view.shape = std::move(shape);
  view.compute = [gather = Gather(storage, offset, axes)](std::int64_t first, std::span<std::byte> out) {
    gather.compute(first, out);
  };
  return view;
}

}  // namespace onnxport
