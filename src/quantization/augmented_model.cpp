#include "quantization/augmented_model.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "onnx/value_types.h"
#include "onnx/writer.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::quantization {
namespace {

bool is_graph_output(const onnx::Graph& graph, const std::string& value) {
  return std::any_of(graph.outputs.begin(), graph.outputs.end(),
                     [&](const auto& output) { return output.name == value; });
}

bool has_value(const onnx::Graph& graph, const std::string& value) {
  const bool is_input = std::any_of(graph.inputs.begin(), graph.inputs.end(),
                                    [&](const onnx::ValueInfo& input) { return input.name == value; });
  return is_input || std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const onnx::Node& node) {
           return std::find(node.outputs.begin(), node.outputs.end(), value) != node.outputs.end();
         });
}

void add_output(onnx::Graph& graph, const std::string& value, DataType type) {
  if (is_graph_output(graph, value)) return;
  onnx::ValueInfo output;
  output.name = value;
  output.data_type = type;
  output.has_shape = false;
  graph.outputs.push_back(std::move(output));
}

void add_reduction(onnx::Graph& graph, const std::string& value, DataType type, const std::string& op_type) {
  const std::string name = value + "_" + op_type;
  graph.nodes.push_back({.op_type = op_type,
                         .domain = {},
                         .name = name,
                         .inputs = {value},
                         .outputs = {name},
                         .attributes = {{"keepdims", std::int64_t{1}}}});
  add_output(graph, name, type);
}

/// A value that a graph has, perhaps as an output of an If.
struct Exposed {
  std::string name;
  DataType type = DataType::Float32;
};

/// What a branch gives where another one makes the value.
void add_empty_output(onnx::Graph& branch, const std::string& name, DataType type) {
  branch.nodes.push_back({.op_type = "Constant",
                          .domain = {},
                          .name = name,
                          .inputs = {},
                          .outputs = {name},
                          .attributes = {{"value", Array(type, {0})}}});
  add_output(branch, name, type);
}

/// Adds an output, under another name if the value is one already.
void add_branch_output(onnx::Graph& branch, const Exposed& exposed) {
  std::string name = exposed.name;
  if (is_graph_output(branch, name)) {
    name += "_copy";
    branch.nodes.push_back({.op_type = "Identity",
                            .domain = {},
                            .name = name,
                            .inputs = {exposed.name},
                            .outputs = {name},
                            .attributes = {}});
  }
  add_output(branch, name, exposed.type);
}

/// Makes the value one of the graph, if it lies in a branch of an If. nullopt if there is none such.
std::optional<Exposed> expose(onnx::Graph& graph, const onnx::ValueTypes& types, const std::string& value) {
  if (has_value(graph, value)) return Exposed{value, types.find(value).value_or(DataType::Float32)};
  for (onnx::Node& node : graph.nodes) {
    if (node.op_type != "If") continue;
    std::vector<std::pair<onnx::Graph*, std::optional<Exposed>>> branches;
    std::optional<Exposed> found;
    for (onnx::Attribute& attribute : node.attributes) {
      auto* branch = std::get_if<onnx::Subgraph>(&attribute.value);
      if (branch == nullptr) continue;
      branches.emplace_back(&**branch, expose(**branch, onnx::ValueTypes(**branch, &types), value));
      if (branches.back().second) found = branches.back().second;
    }
    if (!found) continue;
    for (auto& [branch, exposed] : branches) {
      if (exposed) {
        add_branch_output(*branch, *exposed);
      } else {
        add_empty_output(*branch, branch->name + "_" + value + "_unobserved", found->type);
      }
    }
    node.outputs.push_back(value + "_observed");
    return Exposed{node.outputs.back(), found->type};
  }
  return std::nullopt;
}

}  // namespace

AugmentedModel::AugmentedModel(onnx::Model model, const std::vector<std::string>& values, Kind kind,
                               const std::filesystem::path& origin) {
  const onnx::ValueTypes types(model.graph);
  for (const std::string& value : values) {
    const std::optional<Exposed> exposed = expose(model.graph, types, value);
    if (!exposed)
      throw Error(ErrorKind::InvalidModel,
                  origin.string() + ": " + quote_json(value) + " cannot be observed; it is made in a Loop or a Scan");
    names_[value] = exposed->name;
    if (kind == Kind::Ranges) {
      add_reduction(model.graph, exposed->name, exposed->type, "ReduceMin");
      add_reduction(model.graph, exposed->name, exposed->type, "ReduceMax");
    } else {
      add_output(model.graph, exposed->name, exposed->type);
    }
  }
  const std::filesystem::path path = directory_.path() / "model.onnx";
  onnx::write_model(model, path, {});
  SessionOptions options;
  options.graph_optimization_level = GraphOptimizationLevel::Disabled;
  try {
    session_ = std::make_unique<Session>(path, options);
  } catch (const Error& error) {
    throw Error(error.kind(), origin.string() + " cannot be calibrated: " + error.what());
  }
}

std::vector<ModelInput> model_inputs(const onnx::Graph& graph) {
  std::vector<ModelInput> inputs;
  for (const onnx::ValueInfo& info : graph.inputs) {
    const bool is_weight = std::any_of(graph.initializers.begin(), graph.initializers.end(),
                                       [&](const auto& initializer) { return initializer.name == info.name; });
    if (is_weight) continue;
    ModelInput input{.name = info.name, .data_type = info.data_type, .shape = {}, .axis_names = {}};
    for (const onnx::Dimension& dimension : info.shape) {
      const auto* size = std::get_if<std::int64_t>(&dimension);
      input.shape.push_back(size == nullptr ? -1 : *size);
      input.axis_names.push_back(size == nullptr ? std::get<std::string>(dimension) : "");
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace onnxport::quantization
