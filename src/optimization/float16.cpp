#include "optimization/float16.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "onnx/graph_editor.h"
#include "onnx/value_types.h"
#include "onnxport/error.h"
#include "optimization/match.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Inputs that are float32 by the operator's definition.
bool is_always_float(const Node& node, std::size_t index) {
  return (node.op_type == "Resize" && index == 2) || (node.op_type == "GroupNorm" && (index == 1 || index == 2)) ||
         (node.op_type == "SkipGroupNorm" && (index == 1 || index == 2));
}

/// A float32 weight whose values fit: neither infinite nor zero unless they were.
TensorSource clamped(TensorSource source, float smallest, float largest) {
  TensorSource result;
  result.data_type = DataType::Float32;
  result.shape = source.shape;
  result.compute = [source = std::move(source), smallest, largest](std::int64_t first, std::span<std::byte> out) {
    read_elements(source, first, out);
    auto* values = reinterpret_cast<float*>(out.data());
    for (std::size_t i = 0; i < out.size() / sizeof(float); ++i) {
      float value;
      std::memcpy(&value, values + i, sizeof value);
      const float size = std::abs(value);
      if (size > largest && !std::isnan(value)) value = std::copysign(largest, value);
      if (size > 0 && size < smallest) value = std::copysign(smallest, value);
      std::memcpy(values + i, &value, sizeof value);
    }
  };
  return result;
}

void refuse_branches(const onnx::Graph& graph) {
  for (const Node& node : graph.nodes)
    for (const onnx::Attribute& attribute : node.attributes)
      if (std::holds_alternative<onnx::Subgraph>(attribute.value))
        throw Error(ErrorKind::InvalidModel,
                    "the " + node.op_type + " node '" + node.name +
                        "' holds branches, which cannot become float16 yet. Take the separate decoders without the "
                        "merged one, or export with --dtype fp16");
}

class Converter {
 public:
  explicit Converter(const Float16Options& options) : options_(options) {}

  int run(onnx::Model& model) {
    refuse_branches(model.graph);
    const onnx::ValueTypes types(model.graph);
    GraphEditor editor(model.graph);
    convert(editor, types, options_.keep_io_types);
    editor.finish();
    if (!options_.keep_io_types)
      for (auto* values : {&model.graph.inputs, &model.graph.outputs}) narrow(*values);
    return converted_;
  }

 private:
  TensorSource narrow(const TensorSource& source) const {
    return cast(options_.type == DataType::Float16 ? clamped(source, options_.min_positive_val, options_.max_finite_val)
                                                   : source,
                options_.type);
  }
  void narrow(std::vector<onnx::ValueInfo>& values) const {
    for (onnx::ValueInfo& value : values)
      if (value.data_type == DataType::Float32) value.data_type = options_.type;
  }

  static bool is_float(const onnx::ValueTypes& types, const std::string& value) {
    return !value.empty() && types.find(value) == DataType::Float32;
  }

  /// The mean of squares: a normalization written out.
  static bool averages_squares(const GraphEditor& graph, const Node& node) {
    if (node.op_type == "Pow" || node.op_type == "ReduceSumSquare" || node.op_type == "ReduceL2") return true;
    return node.op_type == "ReduceMean" && made_by(graph, node.inputs[0], "Pow").has_value();
  }

  bool is_blocked(const GraphEditor& graph, const Node& node) const {
    return options_.op_block_list.contains(node.op_type) || options_.node_block_list.contains(node.name) ||
           averages_squares(graph, node);
  }

  std::string add_cast(GraphEditor& graph, const std::string& value, DataType type, const std::string& output = {}) {
    const std::string name = graph.unique_name(value + (type == DataType::Float32 ? "_to_float32" : "_to_float16"));
    const std::string result = output.empty() ? graph.unique_name(name + "_output_0") : output;
    graph.add_node({"Cast", "", name, {value}, {result}, {{"to", std::int64_t{onnx_data_type(type)}}}});
    return result;
  }

  /// Types that attributes hold.
  void narrow_attributes(Node& node) const {
    for (onnx::Attribute& attribute : node.attributes) {
      if (auto* array = std::get_if<Array>(&attribute.value)) {
        if (array->data_type() == DataType::Float32) *array = materialize(narrow(from_array(*array)));
      } else if (auto* number = std::get_if<std::int64_t>(&attribute.value)) {
        const bool is_type = attribute.name == "to" || attribute.name == "dtype";
        if (is_type && *number == onnx_data_type(DataType::Float32)) *number = onnx_data_type(options_.type);
      }
    }
    if (node.op_type == "ConstantOfShape" && onnx::find_attribute(node, "value") == nullptr) {
      const float zero = 0;
      onnx::set_attribute(node, "value", materialize(cast(from_array(Array::float32({1}, {&zero, 1})), options_.type)));
    }
  }

  /// Casts around a node that stays in float32.
  void surround(GraphEditor& graph, const onnx::ValueTypes& types, NodeId id) {
    const std::vector<std::string> inputs = graph.node(id).inputs;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (is_float(types, inputs[i]) && !kept_.contains(inputs[i])) graph.set_input(id, i, widened(graph, inputs[i]));
    const std::vector<std::string> outputs = graph.node(id).outputs;
    for (const std::string& output : outputs) {
      if (!is_float(types, output)) continue;
      const std::vector<NodeId> users = graph.consumers(output);
      if (users.empty()) continue;
      // Blocked users read float32 directly.
      const std::string narrow_value = add_cast(graph, output, options_.type);
      for (const NodeId user : users) {
        if (is_blocked(graph, graph.node(user))) continue;
        const std::vector<std::string> uses = graph.node(user).inputs;
        for (std::size_t i = 0; i < uses.size(); ++i)
          if (uses[i] == output && !is_always_float(graph.node(user), i)) graph.set_input(user, i, narrow_value);
      }
      kept_.insert(output);
    }
  }

  std::string widened(GraphEditor& graph, const std::string& value) {
    auto [found, is_new] = widened_.emplace(value, "");
    if (is_new) found->second = add_cast(graph, value, DataType::Float32);
    return found->second;
  }

  void convert_initializers(GraphEditor& graph, const std::vector<NodeId>& nodes, const onnx::ValueTypes& types) {
    std::map<std::string, bool> is_narrow;  // false: only blocked nodes use it
    for (const NodeId id : nodes) {
      const Node& node = graph.node(id);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const std::string& input = node.inputs[i];
        if (input.empty() || !is_float(types, input) || graph.initializer(input) == nullptr) continue;
        is_narrow[input] = is_narrow[input] || (!is_blocked(graph, node) && !is_always_float(node, i));
      }
    }
    for (const auto& [name, narrows] : is_narrow) {
      GraphEditor& home = graph.home_of(name);
      const TensorSource source = graph.initializer(name)->source;
      if (source.data_type != DataType::Float32 || home.is_graph_input(name)) continue;
      if (!narrows) {
        // One of its own, so that other graphs may do otherwise.
        const std::string kept = home.add_initializer(name + "_float32", source);
        for (const NodeId id : graph.consumers(name)) {
          const std::vector<std::string> inputs = graph.node(id).inputs;
          for (std::size_t i = 0; i < inputs.size(); ++i)
            if (inputs[i] == name) graph.set_input(id, i, kept);
        }
        kept_.insert(kept);
        continue;
      }
      home.replace_initializer(name, narrow(source));
      ++converted_;
    }
  }

  void convert(GraphEditor& graph, const onnx::ValueTypes& types, bool keeps_io) {
    const std::vector<NodeId> nodes = graph.nodes();
    convert_initializers(graph, nodes, types);
    if (keeps_io)
      for (const onnx::ValueInfo& input : graph.inputs())
        if (input.data_type == DataType::Float32) narrow_input(graph, input.name);
    for (const NodeId id : nodes) {
      if (is_blocked(graph, graph.node(id))) {
        surround(graph, types, id);
      } else {
        narrow_attributes(graph.mutable_node(id));
      }
    }
    for (const NodeId id : nodes)
      for (const std::string& output : graph.node(id).outputs)
        if (auto info = graph.value_info(output);
            info && info->data_type == DataType::Float32 && !graph.is_graph_output(output) && !kept_.contains(output)) {
          info->data_type = options_.type;
          graph.set_value_info(std::move(*info));
        }
    if (keeps_io)
      for (const onnx::ValueInfo& output : graph.outputs())
        if (output.data_type == DataType::Float32) widen_output(graph, output.name);
    graph.edit_subgraphs([&](GraphEditor& inner) {
      // Branches hand on what the graph around uses: float16.
      convert_subgraph(inner, types);
    });
  }

  void convert_subgraph(GraphEditor& graph, const onnx::ValueTypes& outer) {
    onnx::Graph copy;
    copy.inputs = graph.inputs();
    copy.outputs = graph.outputs();
    for (const NodeId id : graph.nodes()) copy.nodes.push_back(graph.node(id));
    const onnx::ValueTypes types(copy, &outer);
    convert(graph, types, false);
    for (const onnx::ValueInfo& output : graph.outputs())
      if (output.data_type == DataType::Float32) {
        onnx::ValueInfo info = output;
        info.data_type = options_.type;
        graph.set_value_info(std::move(info));
      }
  }

  void narrow_input(GraphEditor& graph, const std::string& name) {
    const std::vector<NodeId> users = graph.consumers(name);
    const auto wants_float = [&](NodeId id) { return is_blocked(graph, graph.node(id)); };
    if (users.empty()) return;
    kept_.insert(name);
    if (std::all_of(users.begin(), users.end(), wants_float)) return;
    const std::string narrow_value = add_cast(graph, name, options_.type);
    for (const NodeId user : users) {
      if (wants_float(user)) continue;
      const std::vector<std::string> inputs = graph.node(user).inputs;
      for (std::size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i] == name) graph.set_input(user, i, narrow_value);
    }
  }

  /// The value that is an output of the model is made under another name and cast back.
  void widen_output(GraphEditor& graph, const std::string& name) {
    const auto maker = graph.producer(name);
    if (!maker || kept_.contains(name)) return;
    Node node = graph.node(*maker);
    const std::string inner = graph.unique_name(name + "_float16");
    std::replace(node.outputs.begin(), node.outputs.end(), name, inner);
    const std::vector<NodeId> users = graph.consumers(name);
    graph.remove_node(*maker);
    graph.add_node(std::move(node));
    for (const NodeId user : users) {
      const std::vector<std::string> inputs = graph.node(user).inputs;
      for (std::size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i] == name) graph.set_input(user, i, inner);
    }
    add_cast(graph, inner, DataType::Float32, name);
  }

  const Float16Options& options_;
  std::set<std::string> kept_;  ///< values that stay float32
  std::map<std::string, std::string> widened_;
  int converted_ = 0;
};

}  // namespace

std::set<std::string> Float16Options::default_op_block_list() {
  return {"ArrayFeatureExtractor",
          "Binarizer",
          "CastMap",
          "CategoryMapper",
          "CumSum",
          "DictVectorizer",
          "FeatureVectorizer",
          "Imputer",
          "LabelEncoder",
          "LinearClassifier",
          "LinearRegressor",
          "Max",
          "Min",
          "NonMaxSuppression",
          "Normalizer",
          "OneHotEncoder",
          "RandomUniformLike",
          "Range",
          "RoiAlign",
          "SVMClassifier",
          "SVMRegressor",
          "Scaler",
          "TopK",
          "TreeEnsemble",
          "TreeEnsembleClassifier",
          "TreeEnsembleRegressor",
          "Upsample",
          "ZipMap"};
}

int convert_to_float16(onnx::Model& model, const Float16Options& options) { return Converter(options).run(model); }

}  // namespace onnxport::optimization
