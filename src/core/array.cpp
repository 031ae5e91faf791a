#include "onnxport/array.h"

#include <cstring>
#include <limits>
#include <new>

#include "onnxport/error.h"

namespace onnxport {
namespace {

constexpr std::align_val_t kAlignment{64};

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

std::size_t checked_byte_size(DataType type, std::span<const std::int64_t> shape) {
  return static_cast<std::size_t>(byte_size(type, element_count(shape)));
}

std::shared_ptr<std::byte> allocate(std::size_t size) {
  // Never nullptr, so that the elements of an empty array can be passed to functions that refuse null.
  auto* data = static_cast<std::byte*>(::operator new(size == 0 ? 1 : size, kAlignment));
  return {data, [](std::byte* pointer) { ::operator delete(pointer, kAlignment); }};
}

}  // namespace

Array::Array(DataType type, std::vector<std::int64_t> shape)
    : type_(type), shape_(std::move(shape)), element_count_(onnxport::element_count(shape_)) {
  std::shared_ptr<std::byte> memory = allocate(checked_byte_size(type_, shape_));
  data_ = memory.get();
  owner_ = std::move(memory);
}

Array::Array(DataType type, std::vector<std::int64_t> shape, std::shared_ptr<const void> owner, const std::byte* data)
    : type_(type),
      shape_(std::move(shape)),
      element_count_(onnxport::element_count(shape_)),
      owner_(std::move(owner)),
      data_(data) {
  checked_byte_size(type_, shape_);
}

void Array::assign(std::span<const std::byte> source, std::size_t element_size) {
  if (element_size != size_of(type_)) {
    fail("Elements of " + std::to_string(element_size) + " bytes cannot be " + std::string(to_string(type_)));
  }
  if (source.size() != bytes().size()) {
    fail(std::to_string(source.size() / element_size) + " values do not fill the shape " + shape_to_string(shape_));
  }
  if (!source.empty()) std::memcpy(mutable_bytes().data(), source.data(), source.size());
}

Array Array::float32(std::vector<std::int64_t> shape, std::span<const float> values) {
  return of<float>(DataType::Float32, std::move(shape), values);
}

Array Array::int64(std::vector<std::int64_t> shape, std::span<const std::int64_t> values) {
  return of<std::int64_t>(DataType::Int64, std::move(shape), values);
}

std::span<const std::byte> Array::bytes() const {
  return {data_, static_cast<std::size_t>(byte_size(type_, element_count_))};
}

std::span<std::byte> Array::mutable_bytes() {
  return {const_cast<std::byte*>(data_), static_cast<std::size_t>(byte_size(type_, element_count_))};
}

Array Array::reshaped(std::vector<std::int64_t> shape) const {
  if (onnxport::element_count(shape) != element_count_) {
    fail("A tensor of shape " + shape_to_string(shape_) + " cannot be reshaped to " + shape_to_string(shape));
  }
  return {type_, std::move(shape), owner_, data_};
}

std::int64_t element_count(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0) fail("The shape " + shape_to_string(shape) + " has a negative dimension");
    empty = empty || dimension == 0;
    // Zeros are left out: callers multiply some of the dimensions and must not overflow then either.
    if (dimension != 0 && __builtin_mul_overflow(count, dimension, &count)) {
      fail("The shape " + shape_to_string(shape) + " has too many elements");
    }
  }
  return empty ? 0 : count;
}

std::string shape_to_string(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  if (shape.size() == 1) text += ",";
  return text + ")";
}

}  // namespace onnxport
