#include "optimization/float16.h"

#include <cmath>
#include <cstring>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "onnx/value_types.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::optimization {
namespace {

using onnx::Node;

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

/// The two forms that a float32 value may have in the converted model: their names, or "" for one that is not there.
struct Versions {
  std::string narrow;
  std::string wide;
};

enum class Precision { Narrow, Wide };

/// A graph under conversion, within those around it.
struct Scope {
  Scope(const onnx::Graph& graph, const Scope* outer_scope, bool blocked)
      : outer(outer_scope), types(graph, outer_scope == nullptr ? nullptr : &outer_scope->types), is_blocked(blocked) {
    for (const Node& node : graph.nodes)
      for (const std::string& output : node.outputs) makers[output] = node.op_type;
  }

  bool is_float(const std::string& value) const { return !value.empty() && types.find(value) == DataType::Float32; }

  const Scope* outer;
  onnx::ValueTypes types;                                ///< as they were
  bool is_blocked;                                       ///< of a node that stays in float32
  std::unordered_map<std::string, std::string> makers;   ///< the operator that makes a value
  std::unordered_map<std::string, Versions> versions{};  ///< of the graph's own values
  std::unordered_map<std::string, Versions> captured{};  ///< casts, made here, of values of graphs around it
  std::vector<Node> nodes{};                             ///< of the converted graph
};

class Converter {
 public:
  explicit Converter(const Float16Options& options) : options_(options) {}

  int run(onnx::Model& model) {
    onnx::for_each_graph(std::as_const(model.graph), [&](const onnx::Graph& graph) { collect_names(graph); });
    const Precision border = options_.keep_io_types ? Precision::Wide : Precision::Narrow;
    Scope scope(model.graph, nullptr, false);
    convert(model.graph, scope, border);
    return converted_;
  }

 private:
  // ---- Names and types ----------------------------------------------------------------------------------------------

  void collect_names(const onnx::Graph& graph) {
    for (const auto* infos : {&graph.inputs, &graph.outputs})
      for (const onnx::ValueInfo& info : *infos) names_.insert(info.name);
    for (const onnx::Initializer& initializer : graph.initializers) names_.insert(initializer.name);
    for (const Node& node : graph.nodes) {
      names_.insert(node.name);
      names_.insert(node.outputs.begin(), node.outputs.end());
    }
  }

  std::string unique_name(const std::string& base) {
    std::string name = base;
    for (int i = 1; !names_.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    return name;
  }

  TensorSource narrow(const TensorSource& source) const {
    return cast(options_.type == DataType::Float16 ? clamped(source, options_.min_positive_val, options_.max_finite_val)
                                                   : source,
                options_.type);
  }

  DataType type_of(Precision precision) const {
    return precision == Precision::Narrow ? options_.type : DataType::Float32;
  }

  static std::string& name_of(Versions& versions, Precision precision) {
    return precision == Precision::Narrow ? versions.narrow : versions.wide;
  }

  // ---- What stays in float32 ----------------------------------------------------------------------------------------

  /// The mean of squares: a normalization written out.
  static bool averages_squares(const Scope& scope, const Node& node) {
    if (node.op_type == "Pow" || node.op_type == "ReduceSumSquare" || node.op_type == "ReduceL2") return true;
    if (node.op_type != "ReduceMean" || node.inputs.empty()) return false;
    const auto maker = scope.makers.find(node.inputs[0]);
    return maker != scope.makers.end() && maker->second == "Pow";
  }

  bool is_blocked(const Scope& scope, const Node& node) const {
    return scope.is_blocked || options_.op_block_list.contains(node.op_type) ||
           options_.node_block_list.contains(node.name) || averages_squares(scope, node);
  }

  /// The values that something reads in float16, in the graph or in those inside.
  std::unordered_set<std::string> narrow_uses(const onnx::Graph& graph, const Scope& scope) const {
    std::unordered_set<std::string> uses;
    for (const Node& node : graph.nodes) {
      const bool blocked = is_blocked(scope, node);
      for (std::size_t i = 0; i < node.inputs.size(); ++i)
        if (!blocked && !is_always_float(node, i)) uses.insert(node.inputs[i]);
      for (const onnx::Attribute& attribute : node.attributes) {
        const auto* inner = std::get_if<onnx::Subgraph>(&attribute.value);
        if (inner == nullptr || blocked) continue;
        const Scope inner_scope(**inner, &scope, blocked);
        std::unordered_set<std::string> captured = narrow_uses(**inner, inner_scope);
        for (const onnx::ValueInfo& output : (*inner)->outputs) captured.insert(output.name);
        for (const onnx::ValueInfo& input : (*inner)->inputs) captured.erase(input.name);
        for (const onnx::Initializer& initializer : (*inner)->initializers) captured.erase(initializer.name);
        for (const auto& [made, maker] : inner_scope.makers) captured.erase(made);
        uses.merge(captured);
      }
    }
    return uses;
  }

  // ---- Values -------------------------------------------------------------------------------------------------------

  std::string add_cast(Scope& scope, const std::string& value, Precision to, const std::string& output = {}) {
    const std::string name = unique_name(value + (to == Precision::Wide ? "_to_float32" : "_to_float16"));
    const std::string result = output.empty() ? unique_name(name + "_output_0") : output;
    scope.nodes.push_back({"Cast", "", name, {value}, {result}, {{"to", std::int64_t{onnx_data_type(type_of(to))}}}});
    return result;
  }

  /// The name of a float32 value in the wanted form; a Cast at this place if it has another one only. What a branch
  /// wants in another form is cast there: nothing is done for a branch that is not taken.
  std::string version(Scope& scope, const std::string& value, Precision wanted) {
    if (const auto own = scope.versions.find(value); own != scope.versions.end()) {
      std::string& name = name_of(own->second, wanted);
      if (name.empty()) name = add_cast(scope, own->second.narrow + own->second.wide, wanted);
      return name;
    }
    if (const auto known = scope.captured.find(value); known != scope.captured.end())
      if (const std::string& name = name_of(known->second, wanted); !name.empty()) return name;
    for (const Scope* outer = scope.outer; outer != nullptr; outer = outer->outer) {
      for (const auto* versions : {&outer->versions, &outer->captured}) {
        const auto found = versions->find(value);
        if (found == versions->end()) continue;
        Versions names = found->second;
        if (const std::string& name = name_of(names, wanted); !name.empty()) return name;
        if (versions == &outer->captured) continue;  // its maker is farther out
        const std::string result = add_cast(scope, names.narrow + names.wide, wanted);
        name_of(scope.captured[value], wanted) = result;
        return result;
      }
    }
    throw Error(ErrorKind::InvalidModel, "the value " + quote_json(value) + " is used before it is made");
  }

  /// Types that attributes hold.
  void narrow_attributes(Node& node) const {
    for (onnx::Attribute& attribute : node.attributes) {
      if (auto* array = std::get_if<Array>(&attribute.value)) {
        if (array->data_type() == DataType::Float32) *array = materialize(narrow(from_array(*array)));
      } else if (auto* number = std::get_if<std::int64_t>(&attribute.value)) {
        const bool is_type = attribute.name == "to" || attribute.name == "dtype";
        if (is_type && *number == onnx_data_type(DataType::Float32)) *number = onnx_data_type(options_.type);
      } else if (node.op_type == "Constant" && attribute.name == "value_float") {
        const float value = std::get<float>(attribute.value);
        attribute = {"value", materialize(narrow(from_array(Array::float32({}, {&value, 1}))))};
      } else if (node.op_type == "Constant" && attribute.name == "value_floats") {
        const auto values = std::get<std::vector<float>>(attribute.value);
        attribute = {"value", materialize(narrow(from_array(Array::float32({std::ssize(values)}, values))))};
      }
    }
    if (node.op_type == "ConstantOfShape" && onnx::find_attribute(node, "value") == nullptr) {
      const float zero = 0;
      onnx::set_attribute(node, "value", materialize(cast(from_array(Array::float32({1}, {&zero, 1})), options_.type)));
    }
  }

  // ---- Graphs -------------------------------------------------------------------------------------------------------

  void convert_inputs(onnx::Graph& graph, Scope& scope, Precision border) {
    for (onnx::ValueInfo& input : graph.inputs) {
      if (input.data_type != DataType::Float32) continue;
      input.data_type = type_of(border);
      name_of(scope.versions[input.name], border) = input.name;
    }
  }

  /// A weight that something reads in float16 is stored in it. `stated`: those that inputs or outputs are, too.
  void convert_initializers(onnx::Graph& graph, Scope& scope, const std::unordered_set<std::string>& stated,
                            Precision border) {
    const std::unordered_set<std::string> uses = narrow_uses(graph, scope);
    for (onnx::Initializer& initializer : graph.initializers) {
      if (initializer.source.data_type != DataType::Float32) continue;
      const Precision precision = stated.contains(initializer.name) ? border
                                  : uses.contains(initializer.name) ? Precision::Narrow
                                                                    : Precision::Wide;
      name_of(scope.versions[initializer.name], precision) = initializer.name;
      if (precision == Precision::Wide) continue;
      initializer.source = narrow(initializer.source);
      initializer.location.clear();
      ++converted_;
    }
  }

  /// A value that is made in one form and is an output of the graph in the other is made under another name.
  void convert_outputs(Node node, Scope& scope, bool blocked, const std::unordered_set<std::string>& stated,
                       Precision border) {
    const Precision made = blocked ? Precision::Wide : Precision::Narrow;
    std::vector<std::pair<std::string, std::string>> casts;
    for (std::string& output : node.outputs) {
      if (!scope.is_float(output)) continue;
      Versions& versions = scope.versions[output];
      if (stated.contains(output) && made != border) {
        casts.emplace_back(unique_name(output + (blocked ? "_float32" : "_float16")), output);
        name_of(versions, border) = output;
        output = casts.back().first;
      }
      name_of(versions, made) = output;
    }
    scope.nodes.push_back(std::move(node));
    for (const auto& [from, to] : casts) add_cast(scope, from, border, to);
  }

  /// `border`: what its float32 inputs and outputs become.
  void convert(onnx::Graph& graph, Scope& scope, Precision border) {
    std::unordered_set<std::string> stated;
    for (const auto* infos : {&graph.inputs, &graph.outputs})
      for (const onnx::ValueInfo& info : *infos) stated.insert(info.name);
    convert_inputs(graph, scope, border);
    convert_initializers(graph, scope, stated, border);
    for (Node& node : graph.nodes) {
      const bool blocked = is_blocked(scope, node);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (!scope.is_float(node.inputs[i])) continue;
        const bool is_wide = blocked || is_always_float(node, i);
        node.inputs[i] = version(scope, node.inputs[i], is_wide ? Precision::Wide : Precision::Narrow);
      }
      if (!blocked) narrow_attributes(node);
      for (onnx::Attribute& attribute : node.attributes) {
        auto* inner = std::get_if<onnx::Subgraph>(&attribute.value);
        if (inner == nullptr) continue;
        Scope inner_scope(**inner, &scope, blocked);
        convert(**inner, inner_scope, blocked ? Precision::Wide : Precision::Narrow);
      }
      convert_outputs(std::move(node), scope, blocked, stated, border);
    }
    for (onnx::ValueInfo& output : graph.outputs) {
      if (!scope.is_float(output.name)) continue;
      output.data_type = type_of(border);
      output.name = version(scope, output.name, border);
    }
    for (onnx::ValueInfo& info : graph.value_infos) {
      const auto found = scope.versions.find(info.name);
      if (found != scope.versions.end() && found->second.narrow == info.name) info.data_type = options_.type;
    }
    graph.nodes = std::move(scope.nodes);
  }

  const Float16Options& options_;
  std::unordered_set<std::string> names_;  ///< of values and nodes of all graphs
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
