#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "onnxport/data_type.h"

namespace onnxport {

/// A dense row-major tensor in memory. Copies share the elements; treat them as immutable once shared.
/// The bytes are aligned to 64 unless borrowed.
class Array {
 public:
  Array() = default;
  /// Uninitialised elements. Throws Error(InvalidArgument) if the byte size overflows.
  Array(DataType type, std::vector<std::int64_t> shape);
  /// Elements that `owner` keeps alive.
  Array(DataType type, std::vector<std::int64_t> shape, std::shared_ptr<const void> owner, const std::byte* data);

  /// A copy of `values`. Throws Error(InvalidArgument) unless T has the size of `type` and the shape as many elements.
  template <typename T>
  static Array of(DataType type, std::vector<std::int64_t> shape, std::span<const T> values);
  static Array float32(std::vector<std::int64_t> shape, std::span<const float> values);
  static Array int64(std::vector<std::int64_t> shape, std::span<const std::int64_t> values);

  DataType data_type() const { return type_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }
  std::int64_t element_count() const { return element_count_; }
  std::span<const std::byte> bytes() const;
  std::span<std::byte> mutable_bytes();

  /// Elements as T; the caller knows that sizeof(T) is the size of an element. Bool is std::uint8_t.
  template <typename T>
  const T* data() const {
    return reinterpret_cast<const T*>(data_);
  }
  template <typename T>
  T* mutable_data() {
    return reinterpret_cast<T*>(const_cast<std::byte*>(data_));
  }
  template <typename T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<std::size_t>(element_count_)};
  }

  /// The same elements under another shape. Throws Error(InvalidArgument) unless it has as many of them.
  Array reshaped(std::vector<std::int64_t> shape) const;

  /// Keeps the elements alive; for views that outlive this object.
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  void assign(std::span<const std::byte> bytes, std::size_t element_size);

  DataType type_ = DataType::Float32;
  std::vector<std::int64_t> shape_{0};
  std::int64_t element_count_ = 0;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
};

/// Inputs or outputs of a model by name, in its order.
using NamedArrays = std::vector<std::pair<std::string, Array>>;

/// Product of the dimensions, 1 for a scalar. Throws Error(InvalidArgument) when one is negative or when the product of
/// those other than zero does not fit, so that the product of any of them does.
std::int64_t element_count(std::span<const std::int64_t> shape);

/// "(2, 16)" as Python prints a tuple; "(2,)" for one dimension.
std::string shape_to_string(std::span<const std::int64_t> shape);

template <typename T>
Array Array::of(DataType type, std::vector<std::int64_t> shape, std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  Array array(type, std::move(shape));
  array.assign(std::as_bytes(values), sizeof(T));
  return array;
}

}  // namespace onnxport
