#include "onnx/value_types.h"

#include <array>
#include <cstddef>
#include <span>

namespace onnxport::onnx {
namespace {

struct Rule {
  std::string_view op_type;
  DataType type;
};

/// Operators whose outputs all have one type, whatever their inputs.
constexpr std::array fixed_types{Rule{"Shape", DataType::Int64},
                                 Rule{"Size", DataType::Int64},
                                 Rule{"ArgMax", DataType::Int64},
                                 Rule{"ArgMin", DataType::Int64},
                                 Rule{"NonZero", DataType::Int64},
                                 Rule{"NonMaxSuppression", DataType::Int64},
                                 Rule{"Equal", DataType::Bool},
                                 Rule{"Greater", DataType::Bool},
                                 Rule{"GreaterOrEqual", DataType::Bool},
                                 Rule{"Less", DataType::Bool},
                                 Rule{"LessOrEqual", DataType::Bool},
                                 Rule{"And", DataType::Bool},
                                 Rule{"Or", DataType::Bool},
                                 Rule{"Xor", DataType::Bool},
                                 Rule{"Not", DataType::Bool},
                                 Rule{"IsNaN", DataType::Bool},
                                 Rule{"IsInf", DataType::Bool},
                                 Rule{"MatMulInteger", DataType::Int32},
                                 Rule{"ConvInteger", DataType::Int32}};

struct InputRule {
  std::string_view op_type;
  std::size_t input;
};

/// Operators whose outputs have the type of another input than the first.
constexpr std::array input_types{InputRule{"Where", 1}, InputRule{"OneHot", 2}, InputRule{"EmbedLayerNormalization", 2},
                                 InputRule{"DequantizeLinear", 1}, InputRule{"SequenceInsert", 1}};

/// Second and later outputs that have a type of their own.
std::optional<DataType> extra_output(const Node& node, std::size_t index) {
  if (index == 0) return std::nullopt;
  if (node.op_type == "TopK" || node.op_type == "Unique") return DataType::Int64;
  if (node.op_type == "MaxPool") return DataType::Int64;
  if (node.op_type == "Dropout") return DataType::Bool;
  if (node.op_type == "EmbedLayerNormalization" && index == 1) return DataType::Int32;
  return std::nullopt;
}

}  // namespace

ValueTypes::ValueTypes(const Graph& graph, const ValueTypes* outer) : outer_(outer) {
  for (const Initializer& initializer : graph.initializers) types_[initializer.name] = initializer.source.data_type;
  for (const auto* infos : {&graph.value_infos, &graph.inputs, &graph.outputs})
    for (const ValueInfo& info : *infos) types_[info.name] = info.data_type;
  for (const Node& node : graph.nodes) infer(node);
}

std::optional<DataType> ValueTypes::find(std::string_view value) const {
  if (const auto found = types_.find(value); found != types_.end()) return found->second;
  return outer_ == nullptr ? std::nullopt : outer_->find(value);
}

void ValueTypes::infer(const Node& node) {
  if (!node.domain.empty() && node.domain != "ai.onnx" && node.domain != "com.microsoft") return;
  const auto input = [&](std::size_t index) -> std::optional<DataType> {
    return index < node.inputs.size() ? find(node.inputs[index]) : std::nullopt;
  };
  std::optional<DataType> type;
  if (node.op_type == "Constant" || node.op_type == "ConstantOfShape") {
    type = node.op_type == "Constant" ? std::nullopt : std::optional(DataType::Float32);
    if (const Attribute* value = find_attribute(node, "value")) {
      if (const auto* array = std::get_if<Array>(&value->value)) type = array->data_type();
    } else if (find_attribute(node, "value_float") || find_attribute(node, "value_floats")) {
      type = DataType::Float32;
    } else if (find_attribute(node, "value_int") || find_attribute(node, "value_ints")) {
      type = DataType::Int64;
    }
  } else if (node.op_type == "Cast" || node.op_type.starts_with("Random") || node.op_type == "EyeLike") {
    const char* name = node.op_type == "Cast" ? "to" : "dtype";
    type = data_type_from_onnx(static_cast<int>(integer_attribute(node, name, onnx_data_type(DataType::Float32))));
  } else if (node.op_type == "QuantizeLinear") {
    type = node.inputs.size() > 2 ? input(2) : std::optional(DataType::UInt8);
  } else if (node.op_type == "If") {
    const Attribute* branch = find_attribute(node, "then_branch");
    if (branch == nullptr || !std::holds_alternative<Subgraph>(branch->value)) return;
    const Graph& graph = *std::get<Subgraph>(branch->value);
    const ValueTypes inner(graph, this);
    for (std::size_t i = 0; i < node.outputs.size() && i < graph.outputs.size(); ++i)
      if (const auto found = inner.find(graph.outputs[i].name)) types_.try_emplace(node.outputs[i], *found);
    return;
  } else if (node.op_type == "Loop" || node.op_type == "Scan" || node.op_type.starts_with("Sequence")) {
    return;
  } else {
    type = input(0);
    for (const Rule& rule : fixed_types)
      if (rule.op_type == node.op_type) type = rule.type;
    for (const InputRule& rule : input_types)
      if (rule.op_type == node.op_type) type = input(rule.input);
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (const auto special = extra_output(node, i)) {
      types_.try_emplace(node.outputs[i], *special);
    } else if (type) {
      types_.try_emplace(node.outputs[i], *type);
    }
  }
}

}  // namespace onnxport::onnx
