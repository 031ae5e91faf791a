#include "onnx/raise_opset.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/json.h"

// What differs is listed in https://github.com/onnx/onnx/blob/main/docs/Changelog.md; from opset 13 to 23 the operators
// below are all that do not mean the same any more. (Others take further types or attributes with the old default.)
namespace onnxport::onnx {
namespace {

constexpr int kOldest = 13;

/// IR version that came with an opset: opset 19 and 20 with 9, 21 and 22 with 10, 23 with 11.
int ir_version_of(int opset) {
  if (opset >= 23) return 11;
  if (opset >= 21) return 10;
  return opset >= 19 ? 9 : 8;
}

bool is_one_of(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Reductions whose axes became an input with opset 18. (Those of ReduceSum did with 13.)
constexpr std::array<std::string_view, 9> kReductions = {"ReduceMax",    "ReduceMin",       "ReduceMean",
                                                         "ReduceProd",   "ReduceL1",        "ReduceL2",
                                                         "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};

class OpsetRaiser {
 public:
  OpsetRaiser(int from, int to) : from_(from), to_(to) {}

  void raise(Graph& graph) {
    std::set<std::string> names;
    for (const Initializer& initializer : graph.initializers) names.insert(initializer.name);
    for (const Node& node : graph.nodes) names.insert(node.outputs.begin(), node.outputs.end());
    for (Node& node : graph.nodes) {
      if (!node.domain.empty() && node.domain != "ai.onnx") continue;
      if (crosses(16) && node.op_type == "RoiAlign" &&
          find_attribute(node, "coordinate_transformation_mode") == nullptr)
        set_attribute(node, "coordinate_transformation_mode", std::string("output_half_pixel"));
      if (crosses(18) && is_one_of(node.op_type, kReductions)) move_axes(graph, node, names);
      if (crosses(18) && node.op_type == "Split" && (node.inputs.size() < 2 || node.inputs[1].empty()))
        set_attribute(node, "num_outputs", static_cast<std::int64_t>(node.outputs.size()));
      if (crosses(20) && node.op_type == "GridSample") rename_mode(node);
      if ((crosses(20) && node.op_type == "DFT") || (crosses(21) && node.op_type == "GroupNormalization"))
        throw Error(ErrorKind::InvalidModel,
                    "the model has opset " + std::to_string(from_) + " and cannot be raised to " + std::to_string(to_) +
                        ": node " + quote_json(node.name) + ", a " + node.op_type +
                        ", means something else there. Export it with --opset " + std::to_string(to_));
    }
  }

 private:
  bool crosses(int version) const { return from_ < version && to_ >= version; }

  static void move_axes(Graph& graph, Node& node, std::set<std::string>& names) {
    const auto axes = std::find_if(node.attributes.begin(), node.attributes.end(),
                                   [](const Attribute& attribute) { return attribute.name == "axes"; });
    if (axes == node.attributes.end()) return;
    const auto* values = std::get_if<std::vector<std::int64_t>>(&axes->value);
    if (values == nullptr) return;
    const std::string base = node.outputs.front() + "_axes";
    std::string name = base;
    for (int i = 1; !names.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    graph.initializers.push_back({name, from_array(Array::int64({std::ssize(*values)}, *values))});
    node.attributes.erase(axes);
    node.inputs.resize(2);
    node.inputs[1] = std::move(name);
  }

  static void rename_mode(Node& node) {
    const std::string mode = string_attribute(node, "mode", "bilinear");
    if (mode == "bilinear") set_attribute(node, "mode", std::string("linear"));
    if (mode == "bicubic") set_attribute(node, "mode", std::string("cubic"));
  }

  int from_;
  int to_;
};

}  // namespace

void raise_opset(Model& model, int version) {
  const char* const domain = model.opset_imports.contains("ai.onnx") ? "ai.onnx" : "";
  const auto known = model.opset_imports.find(domain);
  const int from = known == model.opset_imports.end() ? 1 : known->second;
  if (from < version) {
    if (from < kOldest)
      throw Error(ErrorKind::InvalidModel, "the model has opset " + std::to_string(from) + " and cannot be raised to " +
                                               std::to_string(version) +
                                               ": operators have changed since. Export it "
                                               "again with --opset " +
                                               std::to_string(version));
    OpsetRaiser raiser(from, version);
    for_each_graph(model.graph, [&](Graph& graph) { raiser.raise(graph); });
    model.opset_imports[domain] = version;
  }
  model.ir_version = std::max(model.ir_version, ir_version_of(version));
}

}  // namespace onnxport::onnx
