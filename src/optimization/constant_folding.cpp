#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <unistd.h>

#include "core/tensor_source.h"
#include "onnx/writer.h"
#include "onnxport/error.h"
#include "optimization/match.h"
#include "optimization/pass.h"
#include "runtime/session.h"

namespace onnxport::optimization {
namespace {

namespace fs = std::filesystem;

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Results up to this size are computed and stored. Larger ones would only make the file larger than the nodes that
/// compute them: a causal mask of 1024 positions is 1 MiB.
constexpr std::int64_t kMostElements = 16384;

/// Operators that are computed when their inputs are small constants, by what their results' type is.
constexpr std::array kTypeOfFirstInput = {
    "Abs",       "Add",        "Ceil",  "Clip",      "Concat",     "Cos",       "CumSum",
    "Div",       "Erf",        "Exp",   "Expand",    "Floor",      "Gather",    "Identity",
    "Log",       "MatMul",     "Max",   "Min",       "Mod",        "Mul",       "Neg",
    "Pad",       "Pow",        "Range", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "Reciprocal", "Relu",  "Reshape",   "Round",      "ScatterND", "Sigmoid",
    "Sign",      "Sin",        "Slice", "Softmax",   "Split",      "Sqrt",      "Squeeze",
    "Sub",       "Tanh",       "Tile",  "Transpose", "Trilu",      "Unsqueeze", "GatherElements"};
constexpr std::array kBoolean = {"And", "Equal", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual",
                                 "Not", "Or",    "Xor"};

template <typename Names>
bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The type of a node's results, `inputs` those of its inputs; nullopt for operators that are not computed here.
std::optional<DataType> result_type(const Node& node, const std::vector<DataType>& inputs) {
  if (!node.domain.empty() && node.domain != "ai.onnx") return std::nullopt;
  if (contains(kBoolean, node.op_type)) return DataType::Bool;
  if (node.op_type == "Shape" || node.op_type == "Size") return DataType::Int64;
  if (node.op_type == "Cast") return data_type_from_onnx(static_cast<int>(onnx::integer_attribute(node, "to", 0)));
  if (node.op_type == "ConstantOfShape") {
    const onnx::Attribute* value = onnx::find_attribute(node, "value");
    const auto* array = value == nullptr ? nullptr : std::get_if<Array>(&value->value);
    return array == nullptr ? DataType::Float32 : array->data_type();
  }
  if (node.op_type == "Where" && inputs.size() == 3) return inputs[1];
  if (contains(kTypeOfFirstInput, node.op_type) && !inputs.empty()) return inputs[0];
  return std::nullopt;
}

std::int64_t normalized(std::int64_t axis, std::size_t rank) {
  return axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis;
}

/// A weight that is only looked at in another way: stays where it is and is computed while it is written.
std::optional<TensorSource> rearranged(const GraphEditor& graph, const Node& node, const TensorSource& source) {
  if (node.op_type == "Identity") return source;
  if (node.op_type == "Cast") {
    const auto type = data_type_from_onnx(static_cast<int>(onnx::integer_attribute(node, "to", 0)));
    if (!type || !is_floating_point(*type) || !is_floating_point(source.data_type)) return std::nullopt;
    return cast(source, *type);
  }
  if (node.op_type == "Transpose") {
    std::vector<int> permutation;
    for (const std::int64_t axis : onnx::integers_attribute(node, "perm"))
      permutation.push_back(static_cast<int>(axis));
    if (permutation.empty())
      for (std::size_t i = source.shape.size(); i-- > 0;) permutation.push_back(static_cast<int>(i));
    return transpose(source, std::move(permutation));
  }
  std::vector<std::int64_t> shape;
  if (node.op_type == "Unsqueeze") {
    const auto axes = axes_of(graph, node);
    if (!axes) return std::nullopt;
    const std::size_t rank = source.shape.size() + axes->size();
    std::vector<bool> is_new(rank, false);
    for (const std::int64_t axis : *axes) {
      const std::int64_t place = normalized(axis, rank);
      if (place < 0 || place >= static_cast<std::int64_t>(rank)) return std::nullopt;
      is_new[static_cast<std::size_t>(place)] = true;
    }
    if (std::count(is_new.begin(), is_new.end(), true) != static_cast<std::ptrdiff_t>(axes->size()))
      return std::nullopt;
    auto next = source.shape.begin();
    for (std::size_t i = 0; i < rank; ++i) shape.push_back(is_new[i] ? 1 : *next++);
  } else if (node.op_type == "Reshape") {
    const auto target = integers(graph, node.inputs[1]);
    if (!target || std::find(target->begin(), target->end(), 0) != target->end()) return std::nullopt;
    shape = *target;
    const auto free = std::find(shape.begin(), shape.end(), -1);
    if (free != shape.end()) {
      *free = 1;
      if (std::any_of(shape.begin(), shape.end(), [](std::int64_t size) { return size < 1; })) return std::nullopt;
      const std::int64_t others = element_count(shape);
      if (source.element_count() % others != 0) return std::nullopt;
      *free = source.element_count() / others;
    }
    if (element_count(shape) != source.element_count()) return std::nullopt;
  } else {
    return std::nullopt;
  }
  return reshape(source, std::move(shape));
}

/// Numbers that shape inference knows, as the tensor that the node makes.
std::optional<Array> known_elements(const ValueFacts* facts) {
  if (facts == nullptr || !facts->elements || !facts->shape) return std::nullopt;
  std::vector<std::int64_t> shape;
  for (const Dim& size : *facts->shape) {
    if (!size.is_constant()) return std::nullopt;
    shape.push_back(size.constant());
  }
  std::vector<std::int64_t> values;
  for (const Dim& element : *facts->elements) {
    if (!element.is_constant()) return std::nullopt;
    values.push_back(element.constant());
  }
  if (element_count(shape) != static_cast<std::int64_t>(values.size())) return std::nullopt;
  if (facts->element_type == DataType::Int64) return Array::int64(std::move(shape), values);
  if (facts->element_type != DataType::Int32) return std::nullopt;
  std::vector<std::int32_t> narrow;
  for (const std::int64_t value : values) narrow.push_back(static_cast<std::int32_t>(value));
  return Array::of<std::int32_t>(DataType::Int32, std::move(shape), narrow);
}

/// Nodes that depend on small constants alone, to be computed together.
struct SmallNodes {
  onnx::Graph graph;
  std::unordered_map<std::string, DataType> types;  ///< of constants in the graph and of what its nodes make
};

bool has_small_outputs(const PassContext& context, const Node& node) {
  return std::all_of(node.outputs.begin(), node.outputs.end(), [&](const std::string& output) {
    if (output.empty()) return true;
    const Shape* shape = context.shapes.shape(output);
    if (shape == nullptr) return false;
    // Each factor first: a product of huge ones would overflow.
    if (std::any_of(shape->begin(), shape->end(), [](const Dim& size) {
          return !size.is_constant() || size.constant() < 0 || size.constant() > kMostElements;
        }))
      return false;
    std::int64_t count = 1;
    for (const Dim& size : *shape) {
      count *= size.constant();
      if (count > kMostElements) return false;
    }
    return true;
  });
}

/// Adds the node if all its inputs are small and constant.
bool take(PassContext& context, const Node& node, SmallNodes& small) {
  if (node.outputs.empty() || !has_small_outputs(context, node)) return false;
  std::vector<std::pair<std::string, TensorSource>> constants;
  std::vector<DataType> types;
  for (const std::string& input : node.inputs) {
    if (input.empty()) continue;
    if (const auto known = small.types.find(input); known != small.types.end()) {
      types.push_back(known->second);
      continue;
    }
    const auto source = context.graph.constant(input);
    if (!source || source->element_count() > kMostElements) return false;
    types.push_back(source->data_type);
    constants.emplace_back(input, *source);
  }
  const auto type = result_type(node, types);
  if (!type) return false;
  for (auto& [name, source] : constants)
    if (small.types.emplace(name, source.data_type).second)
      small.graph.initializers.push_back({name, std::move(source)});
  for (const std::string& output : node.outputs)
    if (!output.empty()) small.types.emplace(output, *type);
  small.graph.nodes.push_back(node);
  return true;
}

/// Runs the nodes under ONNX Runtime: the values are those that the model would have computed.
std::vector<Array> compute(SmallNodes small, const std::vector<std::string>& outputs, int opset) {
  onnx::Model model;
  model.ir_version = 10;
  model.opset_imports[""] = opset;
  for (const std::string& name : outputs) {
    onnx::ValueInfo value;
    value.name = name;
    value.data_type = small.types.at(name);
    value.has_shape = false;
    model.graph.outputs.push_back(std::move(value));
  }
  const std::vector<onnx::ValueInfo> declared = std::move(model.graph.outputs);
  model.graph = std::move(small.graph);
  model.graph.outputs = declared;
  std::string directory = (fs::temp_directory_path() / "onnxport-fold-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr)
    throw Error(ErrorKind::OutputFailed, "cannot make a temporary directory " + directory);
  struct Remover {
    fs::path path;
    ~Remover() {
      std::error_code error;
      fs::remove_all(path, error);
    }
  } const remover{directory};
  const fs::path file = remover.path / "constants.onnx";
  onnx::write_model(model, file, {});
  SessionOptions options;
  options.graph_optimization_level = GraphOptimizationLevel::Disabled;
  options.intra_op_num_threads = 1;
  const Session session(file, options);
  return session.run({}, outputs);
}

}  // namespace

void fold_constants(PassContext& context) {
  GraphEditor& graph = context.graph;
  const auto store = [&](NodeId id, TensorSource source) {
    const std::string output = graph.node(id).outputs[0];
    graph.remove_node(id);
    // The name stays taken: uses go to a new one.
    graph.replace_uses(output, graph.add_initializer(output, std::move(source)));
    context.journal.done("ConstantFolding");
  };
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (!is_operator(node, "Constant") || graph.is_graph_output(node.outputs[0])) continue;
    if (const auto source = graph.constant(node.outputs[0])) store(id, *source);
  }
  SmallNodes small;
  std::vector<NodeId> taken;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.outputs.empty() || graph.is_graph_output(node.outputs[0])) continue;
    if (const auto known = known_elements(context.shapes.find(node.outputs[0]))) {
      store(id, from_array(*known));
      continue;
    }
    if (take(context, node, small)) {
      taken.push_back(id);
      continue;
    }
    const auto source = node.inputs.empty() || !node.domain.empty() ? std::nullopt : graph.constant(node.inputs[0]);
    // Where a weight has other users the file would hold it twice.
    if (!source || graph.consumers(node.inputs[0]).size() > 1) continue;
    if (auto result = rearranged(graph, node, *source)) store(id, std::move(*result));
  }
  std::vector<std::string> outputs;
  std::vector<NodeId> makers;
  for (const NodeId id : taken) {
    const Node& node = graph.node(id);
    if (node.outputs.size() != 1) continue;
    outputs.push_back(node.outputs[0]);
    makers.push_back(id);
  }
  if (outputs.empty()) return;
  const std::vector<Array> values = compute(std::move(small), outputs, context.opset);
  for (std::size_t i = 0; i < makers.size(); ++i) store(makers[i], from_array(values[i]));
}

}  // namespace onnxport::optimization
