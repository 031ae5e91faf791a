#include "runtime/bfloat16.h"

#include <algorithm>

#include "core/tensor_source.h"

namespace onnxport {
namespace {

void widen(DataType& type) {
  if (type == DataType::BFloat16) type = DataType::Float32;
}

/// Tensors, and element types as Cast ("to") and a few others ("dtype") name them.
void widen(onnx::Attribute& attribute) {
  if (auto* tensor = std::get_if<Array>(&attribute.value)) {
    if (tensor->data_type() == DataType::BFloat16) *tensor = materialize(cast(from_array(*tensor), DataType::Float32));
  } else if (auto* number = std::get_if<std::int64_t>(&attribute.value)) {
    const bool is_type = attribute.name == "to" || attribute.name == "dtype";
    if (is_type && *number == onnx_data_type(DataType::BFloat16)) *number = onnx_data_type(DataType::Float32);
  }
}

}  // namespace

bool has_bfloat16(const onnx::Model& model) {
  const auto is_bfloat16 = [](const onnx::ValueInfo& value) { return value.data_type == DataType::BFloat16; };
  return std::any_of(model.graph.inputs.begin(), model.graph.inputs.end(), is_bfloat16) ||
         std::any_of(model.graph.outputs.begin(), model.graph.outputs.end(), is_bfloat16) ||
         std::any_of(
             model.graph.initializers.begin(), model.graph.initializers.end(),
             [](const onnx::Initializer& initializer) { return initializer.source.data_type == DataType::BFloat16; });
}

onnx::Model without_bfloat16(onnx::Model model) {
  for (auto* values : {&model.graph.inputs, &model.graph.outputs, &model.graph.value_infos})
    for (onnx::ValueInfo& value : *values) widen(value.data_type);
  for (onnx::Initializer& initializer : model.graph.initializers)
    if (initializer.source.data_type == DataType::BFloat16)
      initializer.source = cast(initializer.source, DataType::Float32);
  for (onnx::Node& node : model.graph.nodes)
    for (onnx::Attribute& attribute : node.attributes) widen(attribute);
  return model;
}

}  // namespace onnxport
