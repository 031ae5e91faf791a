#include "validation/merged_cases.h"

#include <algorithm>
#include <map>

#include "onnx/merge_decoders.h"

namespace onnxport {
namespace {

const Array* find(const NamedArrays& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& item) { return item.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

/// Sizes of the dynamic axes by their names.
std::map<std::string, std::int64_t> sizes_of(const NamedArrays& inputs, const Session& session) {
  std::map<std::string, std::int64_t> sizes;
  for (const Session::Value& value : session.inputs()) {
    const Array* array = find(inputs, value.name);
    if (array == nullptr) continue;
    for (std::size_t axis = 0; axis < value.axis_names.size() && axis < array->shape().size(); ++axis)
      if (!value.axis_names[axis].empty()) sizes.emplace(value.axis_names[axis], array->shape()[axis]);
  }
  return sizes;
}

Array zeros(const Session::Value& value, const std::map<std::string, std::int64_t>& sizes) {
  std::vector<std::int64_t> shape = value.shape;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] >= 0) continue;
    const auto size = sizes.find(value.axis_names[axis]);
    shape[axis] = size == sizes.end() ? 1 : size->second;
  }
  Array array(value.data_type, std::move(shape));
  std::ranges::fill(array.mutable_bytes(), std::byte{0});
  return array;
}

Array flag(bool value) {
  Array array(DataType::Bool, {1});
  *array.mutable_data<std::uint8_t>() = value;
  return array;
}

}  // namespace

std::vector<ReferenceCase> cases_of_branch(const std::vector<ReferenceCase>& cases, const Session& merged,
                                           bool use_cache) {
  std::vector<ReferenceCase> result = cases;
  for (ReferenceCase& example : result) {
    example.description += std::string(", ") + onnx::use_cache_branch + (use_cache ? " true" : " false");
    const std::map<std::string, std::int64_t> sizes = sizes_of(example.inputs, merged);
    for (const Session::Value& value : merged.inputs()) {
      if (find(example.inputs, value.name) != nullptr) continue;
      example.inputs.emplace_back(value.name,
                                  value.name == onnx::use_cache_branch ? flag(use_cache) : zeros(value, sizes));
    }
  }
  return result;
}

}  // namespace onnxport
