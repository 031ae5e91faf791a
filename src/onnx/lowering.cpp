#include "onnx/lowering.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <set>
#include <stdexcept>

#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

/// "encoder.layer.0.attention" as "/encoder/layer.0/attention": an index stays with the list it belongs to.
std::string node_path(std::string_view scope) {
  std::string path;
  std::size_t begin = 0;
  while (begin < scope.size()) {
    const std::size_t end = std::min(scope.find('.', begin), scope.size());
    const std::string_view part = scope.substr(begin, end - begin);
    const bool index = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    path += index && !path.empty() ? '.' : '/';
    path += part;
    begin = end + 1;
  }
  return path;
}

std::string key_of(const AttributeValue& value) {
  const auto join = [](const auto& items) {
    std::string text;
    for (const auto& item : items) text += std::to_string(item) + ",";
    return text;
  };
  struct Visitor {
    decltype(join)& join_items;
    std::string operator()(std::int64_t v) const { return "i" + std::to_string(v); }
    std::string operator()(float v) const { return "f" + std::to_string(std::bit_cast<std::uint32_t>(v)); }
    std::string operator()(const std::string& v) const { return "s" + v; }
    std::string operator()(const std::vector<std::int64_t>& v) const { return "I" + join_items(v); }
    std::string operator()(const std::vector<float>& v) const { return "F" + join_items(v); }
    // No operator's lowering gives its nodes these.
    std::string operator()(const Subgraph&) const { throw std::logic_error("a subgraph is lowered"); }
    std::string operator()(const Opaque&) const { throw std::logic_error("an opaque attribute is lowered"); }
    std::string operator()(const Array& v) const {
      const auto bytes = v.bytes();
      return "t" + std::to_string(static_cast<int>(v.data_type())) + join_items(v.shape()) +
             std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  };
  return std::visit(Visitor{join}, value);
}

int ir_version_of(int opset) {  // the version of the ONNX release that brought the opset
  if (opset >= 24) return 12;
  if (opset >= 23) return 11;
  if (opset >= 21) return 10;
  if (opset >= 19) return 9;
  return 8;
}

class Lowering final : public LowerContext {
 public:
  Lowering(const onnxport::Graph& graph, const Target& target) : LowerContext(graph, target) {
    if (target.opset < minimum_opset || target.opset > maximum_opset)
      throw Error(ErrorKind::InvalidArgument,
                  "opset " + std::to_string(target.opset) + " is out of range: onnxport writes opset " +
                      std::to_string(minimum_opset) + " to " + std::to_string(maximum_opset));
    names_.resize(graph.values().size());
    use_counts_.resize(graph.values().size());
    makers_.resize(graph.values().size());
    for (const Node_& node : graph.nodes()) {
      if (!is_needed(node)) continue;
      for (const ValueId id : node.inputs) ++use_counts_[id];
      for (const ValueId id : node.outputs) makers_[id] = &node;
    }
    for (const GraphOutput& output : graph.outputs()) ++use_counts_[output.value];
  }

  Model run() {
    model_.ir_version = ir_version_of(target_.opset);
    model_.opset_imports[""] = target_.opset;
    for (ValueId id : graph_->inputs()) add_input(graph_->value(id), id);
    for (const Node_& node : graph_->nodes()) {
      node_ = &node;
      if (is_needed(node)) node.op.lower(*this);
    }
    for (const GraphOutput& output : graph_->outputs()) add_output(output);
    drop_unused();
    for (const auto& node : model_.graph.nodes)
      if (!node.domain.empty()) model_.opset_imports[node.domain] = 1;
    return std::move(model_);
  }

  std::vector<std::string> emit_outputs(std::string_view op_type, std::span<const std::string> inputs,
                                        std::vector<Attribute> attributes, std::size_t output_count,
                                        std::string_view domain) override {
    if (op_type == "Transpose" && domain.empty()) {
      if (auto merged = merge_transpose(inputs.front(), attributes)) return {*merged};
    }
    std::string key(op_type);
    key += '\0' + std::string(domain) + std::to_string(output_count);
    for (const std::string& input : inputs) key += '\0' + input;
    for (const Attribute& attribute : attributes) key += '\1' + attribute.name + '=' + key_of(attribute.value);
    if (auto found = emitted_.find(key); found != emitted_.end()) return found->second;

    Node node{std::string(op_type),
              std::string(domain),
              unique_name(node_path(scope()) + "/" + std::string(op_type)),
              {inputs.begin(), inputs.end()},
              {},
              std::move(attributes)};
    for (std::size_t i = 0; i < output_count; ++i) node.outputs.push_back(node.name + "_output_" + std::to_string(i));
    for (const std::string& name : node.outputs) producers_[name] = model_.graph.nodes.size();
    std::vector<std::string> outputs = node.outputs;
    model_.graph.nodes.push_back(std::move(node));
    emitted_.emplace(std::move(key), outputs);
    return outputs;
  }

  std::optional<std::pair<std::string, std::string>> summands(std::size_t index) override {
    const Node_* maker = makers_[node_->inputs[index]];
    const auto produced = producers_.find(input(index));
    if (maker == nullptr || maker->inputs.size() != 2 || produced == producers_.end()) return std::nullopt;
    for (const ValueId id : maker->inputs)
      if (!(graph_->value(id).type.shape == input_type(index).shape)) return std::nullopt;
    const Node& sum = model_.graph.nodes[produced->second];
    if (sum.op_type != "Add" || sum.inputs.size() != 2) return std::nullopt;
    return std::pair(sum.inputs[0], sum.inputs[1]);
  }

  bool is_used_elsewhere(std::size_t index) const override { return use_counts_[node_->inputs[index]] > 1; }

  void replace_input(std::size_t index, std::string name) override { names_[node_->inputs[index]] = std::move(name); }

  bool is_undone_by(const std::string& name, std::span<const std::int64_t> permutation) const override {
    const auto producer = producers_.find(name);
    if (producer == producers_.end()) return false;
    const Node& node = model_.graph.nodes[producer->second];
    const std::vector<std::int64_t> first = integers_attribute(node, "perm");
    if (node.op_type != "Transpose" || first.size() != permutation.size()) return false;
    for (std::size_t axis = 0; axis < first.size(); ++axis)
      if (first[static_cast<std::size_t>(permutation[axis])] != static_cast<std::int64_t>(axis)) return false;
    return true;
  }

  void leave_out(const std::string& name) override {
    const auto producer = producers_.find(name);
    if (producer == producers_.end()) return;  // an equal node was emitted before
    std::vector<std::string>& outputs = model_.graph.nodes[producer->second].outputs;
    std::replace(outputs.begin(), outputs.end(), name, std::string());
    producers_.erase(producer);
  }

  using LowerContext::output;
  void output(std::size_t index, std::string name) override { names_[node_->outputs[index]] = std::move(name); }

  std::string constant(const Array& value, bool exact) override {
    TensorSource source = from_array(value);
    if (!exact && value.data_type() == DataType::Float32) source = in_io_type(std::move(source));
    const Array stored = materialize(source);
    std::string& name = constants_[key_of(stored)];
    if (name.empty()) {
      name = unique_name(constant_name(value));
      model_.graph.initializers.push_back({name, from_array(stored)});
    }
    return name;
  }

  std::string shape(const Shape& shape) override {
    std::vector<std::string> parts;
    std::vector<std::int64_t> run;
    const auto flush = [&] {
      if (!run.empty()) parts.push_back(int64s(run));
      run.clear();
    };
    for (const Dim& dim : shape) {
      if (dim.is_constant()) {
        run.push_back(dim.constant());
      } else {
        flush();
        parts.push_back(size_of_dim(dim));
      }
    }
    flush();
    if (parts.empty()) return int64s(std::span<const std::int64_t>{});
    return parts.size() == 1 ? parts.front() : emit("Concat", parts, {{"axis", std::int64_t{0}}});
  }

  std::string reshape(const std::string& name, const Shape& from, const Shape& to) override {
    if (const auto inner = reshaped_.find(name); inner != reshaped_.end()) {
      const auto [source, shape] = inner->second;
      return reshape(source, shape, to);
    }
    if (from == to) return name;
    std::string result = emit("Reshape", {name, reshape_target(from, to)});
    reshaped_.insert_or_assign(result, std::pair(name, from));
    return result;
  }

 private:
  using Node_ = onnxport::Node;  // the graph's node, beside ONNX's

  bool is_needed(const Node_& node) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) { return used_[id]; });
  }

  /// Shapes are computed once for the whole model, so they stand under a scope of their own.
  std::string scope() const { return lowering_shape_ ? "shapes" : node_ ? node_->scope : ""; }

  std::string unique_name(const std::string& base) {
    std::string name = base;
    for (int& count = name_counts_[base]; !used_names_.insert(name).second;)
      name = base + "_" + std::to_string(++count);
    return name;
  }

  /// Constants are named after their value where a person can read it.
  static std::string constant_name(const Array& value) {
    std::string name = "/constants/" + std::string(to_string(value.data_type()));
    if (value.element_count() > 8) return name;
    for (std::int64_t i = 0; i < value.element_count(); ++i) {
      char text[32];
      char* end = text;
      switch (value.data_type()) {
        case DataType::Float32:
          end = std::to_chars(text, text + sizeof text, value.data<float>()[i]).ptr;
          break;
        case DataType::Int64:
          end = std::to_chars(text, text + sizeof text, value.data<std::int64_t>()[i]).ptr;
          break;
        case DataType::Bool:
          *end++ = value.data<std::uint8_t>()[i] ? '1' : '0';
          break;
        default:
          break;
      }
      name += "_" + std::string(text, end);
    }
    return name;
  }

  std::string value_name(ValueId id) override {
    std::string& name = names_[id];
    if (!name.empty()) return name;
    const Value& value = graph_->value(id);
    if (value.kind == ValueKind::Constant) return name = constant(materialize(value.source), false);
    if (value.kind != ValueKind::Parameter)
      throw Error(ErrorKind::InvalidModel, "a value of \"" + scope() + "\" is used before it is computed");
    name = unique_name(value.name);
    model_.graph.initializers.push_back(
        {name, value.type.data_type == DataType::Float32 ? in_io_type(value.source) : value.source});
    return name;
  }

  TensorSource in_io_type(TensorSource source) const {
    if (target_.rounding) source = onnxport::cast(std::move(source), *target_.rounding);
    return onnxport::cast(std::move(source), target_.data_type);
  }

  /// Whether inputs and outputs of this type have another one inside.
  bool is_cast(DataType type) const {
    return type == DataType::Float32 && target_.data_type != DataType::Float32 && target_.keep_io_types;
  }
  DataType io_type(DataType type) const {
    return type == DataType::Float32 && !is_cast(type) ? target_.data_type : type;
  }

  /// Constants, 0 where a size stays in its place and one -1 are enough for most reshapes; else sizes are computed.
  std::string reshape_target(const Shape& from, const Shape& to) {
    std::vector<std::int64_t> sizes;
    int unknown = 0;
    for (std::size_t i = 0; i < to.size(); ++i) {
      const bool kept = i < from.size() && to[i] == from[i];
      sizes.push_back(to[i].is_constant() ? to[i].constant() : kept ? 0 : -1);
      if (sizes.back() == -1) ++unknown;
    }
    return unknown <= 1 ? int64s(sizes) : shape(to);
  }

  static std::vector<Dimension> dimensions(const Shape& shape) {
    std::vector<Dimension> result;
    for (const Dim& dim : shape) {
      if (dim.is_constant()) {
        result.emplace_back(dim.constant());
      } else {
        result.emplace_back(dim.to_string());
      }
    }
    return result;
  }

  void add_input(const Value& value, ValueId id) {
    names_[id] = value.name;
    used_names_.insert(value.name);
    model_.graph.inputs.push_back({value.name, io_type(value.type.data_type), dimensions(value.type.shape)});
    for (std::size_t axis = 0; axis < value.type.shape.size(); ++axis)
      if (const Dim& dim = value.type.shape[axis]; dim.is_symbol())
        symbols_.try_emplace(dim.to_string(), value.name, static_cast<std::int64_t>(axis));
    if (is_cast(value.type.data_type)) names_[id] = cast(value.name, DataType::Float32);
  }

  /// A graph output must carry its name: the producer's output is renamed, or copied where it already has a name.
  void add_output(const GraphOutput& output) {
    std::string current = value_name(output.value);
    if (is_cast(graph_->value(output.value).type.data_type))
      current = emit("Cast", {current}, {{"to", std::int64_t{onnx_data_type(DataType::Float32)}}});
    const bool taken = producers_.find(current) == producers_.end() ||
                       std::any_of(model_.graph.outputs.begin(), model_.graph.outputs.end(),
                                   [&](const auto& o) { return o.name == current; });
    if (taken) {
      node_ = nullptr;
      current = emit("Identity", {current});
    }
    for (Node& node : model_.graph.nodes) {
      std::replace(node.inputs.begin(), node.inputs.end(), current, output.name);
      std::replace(node.outputs.begin(), node.outputs.end(), current, output.name);
    }
    producers_[output.name] = producers_[current];
    producers_.erase(current);
    std::replace(names_.begin(), names_.end(), current, output.name);
    model_.graph.outputs.push_back(
        {output.name, io_type(graph_->value(output.value).type.data_type), dimensions(output.declared_shape)});
  }

  std::optional<std::string> merge_transpose(const std::string& input, const std::vector<Attribute>& attributes) {
    const auto permutation_of = [](const std::vector<Attribute>& list) {
      return std::get<std::vector<std::int64_t>>(list.front().value);
    };
    std::vector<std::int64_t> permutation = permutation_of(attributes);
    const auto producer = producers_.find(input);
    const bool nested = producer != producers_.end() && model_.graph.nodes[producer->second].op_type == "Transpose";
    std::string source = input;
    if (nested) {
      const Node& inner = model_.graph.nodes[producer->second];
      const std::vector<std::int64_t> first = permutation_of(inner.attributes);
      for (std::int64_t& axis : permutation) axis = first[static_cast<std::size_t>(axis)];
      source = inner.inputs.front();
    }
    if (std::is_sorted(permutation.begin(), permutation.end())) return source;
    if (!nested) return std::nullopt;
    const std::vector<std::string> inputs{source};
    return emit_outputs("Transpose", inputs, {{"perm", permutation}}, 1, {}).front();
  }

  /// The size as a 1-D tensor of one element.
  std::string size_of_dim(const Dim& dim) {
    const bool outer = !lowering_shape_;
    lowering_shape_ = true;
    std::string sum;
    for (const Dim::Term& term : dim.terms()) {
      const std::int64_t magnitude = std::abs(term.coefficient);
      std::string product;
      for (const Dim::Atom& atom : term.atoms) {
        const std::string factor =
            atom.division ? emit("Div", {size_of_dim(atom.division->dividend), int64s({atom.division->divisor})})
                          : size_of_symbol(atom.text);
        product = product.empty() ? factor : emit("Mul", {product, factor});
      }
      if (product.empty()) {
        product = int64s({magnitude});
      } else if (magnitude != 1) {
        product = emit("Mul", {product, int64s({magnitude})});
      }
      if (sum.empty()) {
        sum = term.coefficient < 0 ? emit("Neg", {product}) : product;
      } else {
        sum = emit(term.coefficient < 0 ? "Sub" : "Add", {sum, product});
      }
    }
    if (outer) lowering_shape_ = false;
    return sum.empty() ? int64s({0}) : sum;
  }

  std::string size_of_symbol(const std::string& symbol) {
    const auto found = symbols_.find(symbol);
    if (found == symbols_.end())
      throw Error(ErrorKind::InvalidModel, "no input of the model has an axis of the size \"" + symbol + "\"");
    const auto& [name, axis] = found->second;
    if (target_.opset >= 15) return emit("Shape", {name}, {{"start", axis}, {"end", axis + 1}});
    return emit("Gather", {emit("Shape", {name}), int64s({axis})}, {{"axis", std::int64_t{0}}});
  }

  void drop_unused() {
    std::set<std::string> used;
    for (const ValueInfo& output : model_.graph.outputs) used.insert(output.name);
    std::vector<Node> kept;
    for (auto node = model_.graph.nodes.rbegin(); node != model_.graph.nodes.rend(); ++node) {
      const bool needed = std::any_of(node->outputs.begin(), node->outputs.end(),
                                      [&](const auto& o) { return !o.empty() && used.contains(o); });
      if (!needed) continue;
      used.insert(node->inputs.begin(), node->inputs.end());
      kept.push_back(std::move(*node));
    }
    std::reverse(kept.begin(), kept.end());
    model_.graph.nodes = std::move(kept);
    std::erase_if(model_.graph.initializers, [&](const Initializer& i) { return !used.contains(i.name); });
  }

  Model model_;
  std::vector<std::string> names_;                                 // by ValueId
  std::vector<int> use_counts_;                                    // by ValueId
  std::vector<const Node_*> makers_;                               // by ValueId
  std::map<std::string, std::vector<std::string>> emitted_;        // node key to outputs
  std::map<std::string, std::size_t> producers_;                   // value name to node index
  std::map<std::string, std::string> constants_;                   // bytes to name
  std::map<std::string, std::pair<std::string, Shape>> reshaped_;  // a Reshape's output to its input
  std::set<std::string> used_names_;
  std::map<std::string, int> name_counts_;                               // by base name
  std::map<std::string, std::pair<std::string, std::int64_t>> symbols_;  // symbol to (input, axis)
  bool lowering_shape_ = false;
};

}  // namespace

Model lower_graph(const onnxport::Graph& graph, const Target& target) { return Lowering(graph, target).run(); }

}  // namespace onnxport::onnx

namespace onnxport {

std::string LowerContext::scalar(float value) { return constant(Array::float32({}, {&value, 1})); }

std::string LowerContext::int64_scalar(std::int64_t value) { return constant(Array::int64({}, {&value, 1})); }

std::string LowerContext::int64s(std::span<const std::int64_t> values) {
  return constant(Array::int64({static_cast<std::int64_t>(values.size())}, values));
}

std::string LowerContext::transpose(const std::string& name, std::vector<std::int64_t> permutation) {
  return emit("Transpose", {name}, {{"perm", std::move(permutation)}});
}

std::string LowerContext::cast(const std::string& name, DataType type) {
  const DataType stored = type == DataType::Float32 ? target_.data_type : type;
  return emit("Cast", {name}, {{"to", std::int64_t{onnx_data_type(stored)}}});
}

}  // namespace onnxport
