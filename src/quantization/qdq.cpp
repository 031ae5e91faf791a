#include "quantization/qdq.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "onnx/graph_editor.h"
#include "onnx/value_types.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/static_parameters.h"

namespace onnxport::quantization {
namespace {

using onnx::Graph;
using onnx::Initializer;
using onnx::Node;

DataType data_type(QuantType type) { return type == QuantType::QInt8 ? DataType::Int8 : DataType::UInt8; }

/// A value that operators have marked for quantization.
struct Mark {
  bool is_weight = false;
  std::optional<std::int64_t> axis{};
  std::string provider{};  ///< the value whose scale and zero point this one shares
};

struct BiasMark {
  std::size_t node = 0;
  std::string input;
  std::string weight;
  float beta = 1;
  std::string captured{};  ///< the bias of a graph around this one that it is a copy of
};

/// What the quantizers of a graph and of those inside have in common.
struct Whole {
  Whole(const onnx::Model& model, const QuantizationConfig& chosen, ActivationRanges given)
      : config(chosen), selection(chosen), ranges(std::move(given)), uses(count_uses(model.graph)) {
    adjust_ranges(model.graph, selection, ranges);
    onnx::for_each_graph(model.graph, [&](const Graph& graph) {
      for (const onnx::ValueInfo& input : graph.inputs) names.insert(input.name);
      for (const Initializer& initializer : graph.initializers) names.insert(initializer.name);
      for (const Node& node : graph.nodes) names.insert(node.outputs.begin(), node.outputs.end());
    });
  }

  std::string unique_name(const std::string& base) {
    std::string name = base;
    for (int i = 1; !names.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    return name;
  }

  /// Each weight is read once, however many branches use it.
  const std::vector<ValueRange>& weight_ranges(const std::string& name, const TensorSource& weight,
                                               std::optional<std::int64_t> axis) {
    const auto [found, is_new] = weight_ranges_.try_emplace({name, axis});
    if (is_new) found->second = value_ranges(weight, axis, quote_json(name));
    return found->second;
  }

  const QuantizationConfig& config;
  NodeSelection selection;
  ActivationRanges ranges;
  std::unordered_map<std::string, int> uses;
  std::unordered_set<std::string> names;  ///< of values of all graphs
  ModelOutcome outcome{};

 private:
  std::map<std::pair<std::string, std::optional<std::int64_t>>, std::vector<ValueRange>> weight_ranges_{};
};

/// Names in the order in which they were marked, as Python's dict.
template <typename Value>
class OrderedMap {
 public:
  Value* find(const std::string& name) {
    const auto found = index_.find(name);
    return found == index_.end() || !entries_[found->second] ? nullptr : &entries_[found->second]->second;
  }
  void set(const std::string& name, Value value) {
    if (Value* known = find(name)) {
      *known = std::move(value);
      return;
    }
    index_[name] = entries_.size();
    entries_.emplace_back(std::pair(name, std::move(value)));
  }
  void erase(const std::string& name) {
    if (const auto found = index_.find(name); found != index_.end()) entries_[found->second].reset();
  }
  template <typename Visit>
  void for_each(const Visit& visit) {
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i]) visit(entries_[i]->first, entries_[i]->second);
  }

 private:
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::optional<std::pair<std::string, Value>>> entries_;
};

/// One graph; branches of If in it have quantizers of their own, which put the integers of the weights that they share
/// into the graph around them.
class QdqQuantizer {
 public:
  QdqQuantizer(Graph& graph, Whole& whole, QdqQuantizer* parent = nullptr)
      : graph_(graph),
        whole_(whole),
        parent_(parent),
        config_(whole.config),
        selection_(whole.selection),
        ranges_(whole.ranges),
        types_(graph, parent == nullptr ? nullptr : &parent->types_),
        uses_(whole.uses),
        outcome_(whole.outcome) {
    for (std::size_t i = 0; i < graph_.initializers.size(); ++i) initializers_[graph_.initializers[i].name] = i;
    for (const onnx::ValueInfo& output : graph_.outputs) graph_outputs_.insert(output.name);
    for (const Node& node : graph_.nodes) made_.insert(node.outputs.begin(), node.outputs.end());
    check_nodes();
  }

  void run() {
    mark_all();
    find_weight_parameters();
    raise_scales_for_biases();
    add_pairs();
    add_biases();
    quantize_branches();
    finish();
  }

 private:
  // ---- What is known of values --------------------------------------------------------------------------------------

  /// Of this graph or one around it. Its name is empty if a node makes the value now.
  const Initializer* initializer(const std::string& name) const {
    if (const auto found = initializers_.find(name); found != initializers_.end())
      return &graph_.initializers[found->second];
    return parent_ == nullptr ? nullptr : parent_->initializer(name);
  }
  bool is_float(const std::string& name) const { return !name.empty() && types_.find(name) == DataType::Float32; }

  void add_initializer(const std::string& name, TensorSource source) {
    if (!initializers_.emplace(name, graph_.initializers.size()).second) return;
    whole_.names.insert(name);
    graph_.initializers.push_back({name, std::move(source)});
  }

  void check_nodes() const {
    for (const Node& node : graph_.nodes) {
      if (selection_.contains(node) && (node.inputs.empty() || node.outputs.empty())) {
        throw Error(ErrorKind::InvalidModel, "node " + quote_json(node.name) + ", a " + node.op_type + ", has no " +
                                                 (node.inputs.empty() ? "input" : "output"));
      }
    }
  }

  // ---- Marking ------------------------------------------------------------------------------------------------------

  bool is_marked(const std::string& name) { return marks_.find(name) != nullptr || biases_.find(name) != nullptr; }

  void mark(const std::string& name, bool is_weight = false) {
    if (is_float(name) && marks_.find(name) == nullptr) marks_.set(name, {.is_weight = is_weight});
  }

  void mark_like(const std::string& output, const std::string& provider) {
    if (is_float(output)) marks_.set(output, {.provider = provider});
  }

  void mark_weight(const std::string& name, const std::string& op_type, std::int64_t axis) {
    const Initializer* weight = initializer(name);
    if (weight == nullptr) return mark(name, true);
    const auto rank = static_cast<std::int64_t>(weight->source.shape.size());
    if (const auto chosen = config_.qdq_op_type_per_channel_support_to_axis.find(op_type);
        chosen != config_.qdq_op_type_per_channel_support_to_axis.end())
      axis = chosen->second;
    if (axis < 0) axis += rank;
    if (!config_.per_channel || axis < 0 || axis >= rank) return mark(name, true);
    if (is_float(name)) marks_.set(name, {.is_weight = true, .axis = axis});
  }

  void mark_bias(std::size_t node, float beta = 1) {
    std::string& name = graph_.nodes[node].inputs[2];
    if (name.empty() || initializer(name) == nullptr || !is_float(name)) return;
    const bool is_captured = !initializers_.contains(name);
    const std::string captured = is_captured ? name : "";
    if (is_captured || biases_.find(name) != nullptr) {
      // Its scale is that of the products of one node: another node needs a bias of its own.
      const std::string copy =
          is_captured ? whole_.unique_name(name + "_copy") : name + std::to_string(next_suffix(name));
      const TensorSource source = initializer(name)->source;
      add_initializer(copy, source);
      types_.set(copy, DataType::Float32);
      name = copy;
    }
    biases_.set(name, {node, graph_.nodes[node].inputs[0], graph_.nodes[node].inputs[1], beta, captured});
  }

  /// get_largest_initializer_name_suffix, plus 1: of "bias", "bias0" and "bias3" it is 4.
  std::size_t next_suffix(const std::string& name) const {
    std::size_t next = 0;
    for (const auto& [other, index] : initializers_) {
      if (other.size() > name.size() + 9 || !other.starts_with(name)) continue;
      const std::string_view digits = std::string_view(other).substr(name.size());
      if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos)
        next = std::max(next, static_cast<std::size_t>(std::stoul(std::string(digits))) + 1);
    }
    return next;
  }

  void mark_all() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!selection_.contains(graph_.nodes[i])) continue;
      mark_node(i);
      for (const std::string& input : graph_.nodes[i].inputs) readers_[input].push_back(i);
    }
  }

  void mark_node(std::size_t index) {
    Node& node = graph_.nodes[index];
    const std::string& type = node.op_type;
    const auto input = [&](std::size_t i) { return i < node.inputs.size() ? node.inputs[i] : std::string(); };
    const auto count = [&] { ++outcome_.quantized_nodes[type]; };
    if (type == "MatMul") {
      for (const std::string& name : node.inputs)
        initializer(name) != nullptr ? mark_weight(name, type, 1) : mark(name);
      mark(node.outputs[0]);
      if (is_float(node.outputs[0])) count();
    } else if (type == "Conv" || type == "ConvTranspose") {
      mark(input(0));
      mark(node.outputs[0]);
      mark_weight(input(1), "", type == "Conv" ? 0 : 1);
      if (node.inputs.size() == 3) mark_bias(index);
      count();
    } else if (type == "Gemm") {
      mark(input(0));
      mark(node.outputs[0]);
      mark_weight(input(1), "", onnx::integer_attribute(node, "transB", 0) != 0 ? 0 : 1);
      if (node.inputs.size() == 3 && initializer(input(2)) != nullptr) {
        mark_bias(index, onnx::float_attribute(node, "beta", 1));
      }
      count();
    } else if (type == "Clip" || type == "Relu") {
      if (!is_marked(input(0))) return;
      if (config_.activations_symmetric || !merge_into_producer(index)) mark(input(0));
      mark(node.outputs[0]);
      count();
    } else if (type == "Gather" || type == "GatherElements") {
      const bool is_table = initializer(input(0)) != nullptr && is_float(input(0));
      if (is_table) mark(input(0));
      if (!is_table && marks_.find(input(0)) == nullptr) return;
      mark_like(node.outputs[0], input(0));
      count();
    } else if (type == "Split") {
      if (!is_marked(input(0))) mark(input(0));
      for (const std::string& output : node.outputs) mark_like(output, input(0));
      count();
    } else if (type == "Where") {
      if (!is_marked(input(1)) || !is_marked(input(2))) return;
      for (const std::string& output : node.outputs) mark(output);
      count();
    } else if (type.ends_with("Normalization")) {
      mark(input(0));
      mark_weight(input(1), type, 1);
      if (node.inputs.size() > 2) mark_bias(index);
      for (const std::string& output : node.outputs) mark(output);
      count();
    } else if (type == "CumSum") {
      for (const std::string& name : node.inputs) mark(name);
      for (const std::string& name : node.outputs) mark(name);
      count();
    } else if (type == "Pad") {
      for (const std::string& name : node.inputs) mark(name);
      is_padded_with_its_own(node) ? mark_like(node.outputs[0], input(0)) : mark(node.outputs[0]);
      count();
    } else if (is_marked(input(0))) {
      // Reshape, Transpose, MaxPool, ...: elements are moved or chosen.
      mark_like(node.outputs[0], input(0));
      count();
    }
  }

  /// Whether padding is made of the input's elements, or of the 0 that its range always has.
  bool is_padded_with_its_own(const Node& node) const {
    const onnx::Attribute* mode = onnx::find_attribute(node, "mode");
    const auto* name = mode == nullptr ? nullptr : std::get_if<std::string>(&mode->value);
    if (name != nullptr && *name != "constant") return true;
    if (node.inputs.size() < 3 || node.inputs[2].empty()) return true;
    const Initializer* value = initializer(node.inputs[2]);
    return value != nullptr && is_float(value->name) && value->source.element_count() == 1 &&
           *materialize(value->source).data<float>() == 0;
  }

  /// try_replacing_upstream_output: the range of a Relu's output has what the Relu does; it goes away.
  bool merge_into_producer(std::size_t index) {
    const std::string input = graph_.nodes[index].inputs[0];
    const std::string output = graph_.nodes[index].outputs[0];
    if (!ranges_.contains(output) || !ranges_.contains(input) || uses_[input] != 1 || graph_outputs_.contains(input) ||
        !made_.contains(input))
      return false;
    for (Node& node : graph_.nodes) std::replace(node.outputs.begin(), node.outputs.end(), input, output);
    removed_.insert(index);
    marks_.erase(input);
    return true;
  }

  // ---- Weights ------------------------------------------------------------------------------------------------------

  void find_weight_parameters() {
    marks_.for_each([&](const std::string& name, const Mark& mark) {
      const Initializer* weight = initializer(name);
      if (weight == nullptr) return;
      const QuantType type = mark.is_weight ? config_.weights_dtype : config_.activations_dtype;
      // Operators want one zero point for all channels, which symmetric ones have.
      const AffineScheme scheme{
          .type = data_type(type),
          .symmetric = mark.axis || (mark.is_weight ? config_.weights_symmetric : config_.activations_symmetric),
          .reduce_range = config_.reduce_range};
      std::vector<AffineParameters>& parameters = weights_[name];
      for (const ValueRange& range : whole_.weight_ranges(name, weight->source, mark.axis))
        parameters.push_back(affine_parameters(range, scheme));
    });
  }

  std::optional<AffineParameters> activation(const std::string& name) const {
    return activation_affine(ranges_, config_, name);
  }

  void raise_scales_for_biases() {
    if (config_.weights_dtype != QuantType::QInt8) return;
    biases_.for_each([&](const std::string& name, const BiasMark& bias) {
      const auto weight = weights_.find(bias.weight);
      const Mark* mark = marks_.find(bias.weight);
      if (marks_.find(bias.input) == nullptr || weight == weights_.end() || mark == nullptr) return;
      const auto input = activation(bias.input);
      if (!input) return;
      const Array values = materialize(initializer(name)->source);
      raise_weight_scales(weight->second, mark->axis.has_value(), input->scale, values.values<float>());
    });
  }

  // ---- Pairs --------------------------------------------------------------------------------------------------------

  struct Names {
    std::string scale;
    std::string zero_point;
  };

  Names add_parameters(const std::string& name, DataType type, const std::vector<AffineParameters>& parameters,
                       bool per_channel) {
    QuantizedTensor tensors = as_tensors({}, type, parameters, per_channel);
    Names names{whole_.unique_name(name + "_scale"), whole_.unique_name(name + "_zero_point")};
    add_initializer(names.scale, std::move(tensors.scale));
    add_initializer(names.zero_point, std::move(tensors.zero_point));
    return names;
  }

  void add_node(const char* op_type, const std::string& name, const std::string& input, const Names& parameters,
                const std::string& output, std::optional<std::int64_t> axis = std::nullopt) {
    Node node{.op_type = op_type,
              .domain = {},
              .name = name,
              .inputs = {input, parameters.scale, parameters.zero_point},
              .outputs = {output},
              .attributes = {}};
    if (axis) node.attributes.push_back({"axis", *axis});
    added_.push_back(std::move(node));
  }

  void add_pair(const std::string& input, const std::string& name, const std::string& suffix, const Names& parameters,
                const std::string& output, std::optional<std::int64_t> axis = std::nullopt) {
    const std::string quantized = whole_.unique_name(name + "_QuantizeLinear_Output" + suffix);
    add_node("QuantizeLinear", name + "_QuantizeLinear" + suffix, input, parameters, quantized, axis);
    add_node("DequantizeLinear", name + "_DequantizeLinear" + suffix, quantized, parameters, output, axis);
  }

  void add_own_parameters(const std::string& name) {
    const auto parameters = activation(name);
    if (!parameters)
      throw Error(ErrorKind::InvalidArgument, "calibration has found no range for the value " + quote_json(name));
    add_activation(name, add_parameters(name, data_type(config_.activations_dtype), {*parameters}, false));
  }

  void add_pairs() {
    marks_.for_each([&](const std::string& name, const Mark& mark) {
      if (!mark.provider.empty()) return;
      if (const Initializer* weight = initializer(name)) {
        add_weight({name, weight->source}, mark);
      } else {
        add_own_parameters(name);
      }
    });
    // Those that share what another has; which may share itself.
    for (bool is_changed = true; is_changed;) {
      is_changed = false;
      marks_.for_each([&](const std::string& name, const Mark& mark) {
        if (mark.provider.empty() || done_.contains(name) || !done_.contains(mark.provider)) return;
        const Mark* provider = marks_.find(mark.provider);
        // Scales for each column of a table, which a product has asked for, say nothing of the rows that Gather takes.
        if (provider != nullptr && provider->axis) {
          add_own_parameters(name);
        } else {
          add_activation(name, done_.at(mark.provider));
        }
        is_changed = true;
      });
    }
  }

  /// The integers of a weight, beside it. Branches share them, unless biases have made their scales different.
  struct StoredWeight {
    DataType type;
    std::vector<AffineParameters> parameters;
    std::optional<std::int64_t> axis;
    std::string values;  ///< "" with qdq_add_pair_to_weight
    Names names;

    bool is_like(const StoredWeight& other) const {
      return type == other.type && axis == other.axis &&
             std::equal(parameters.begin(), parameters.end(), other.parameters.begin(), other.parameters.end(),
                        [](const AffineParameters& a, const AffineParameters& b) {
                          return a.scale == b.scale && a.zero_point == b.zero_point;
                        });
    }
  };

  /// `reader`: of the node that the weight is quantized for.
  StoredWeight store(const Initializer& weight, StoredWeight wanted, const Node* reader) {
    if (!initializers_.contains(weight.name)) return parent_->store(weight, std::move(wanted), reader);
    std::vector<StoredWeight>& stored = stored_[weight.name];
    const auto known =
        std::find_if(stored.begin(), stored.end(), [&](const StoredWeight& other) { return wanted.is_like(other); });
    if (known != stored.end()) return *known;
    TensorSource values = quantize_values(weight.source, wanted.type, wanted.parameters, wanted.axis);
    outcome_.weights.push_back({reader == nullptr ? "" : reader->name, reader == nullptr ? "" : reader->op_type,
                                weight.name, weight.source, values, wanted.parameters, wanted.axis});
    wanted.names = add_parameters(weight.name, wanted.type, wanted.parameters, wanted.axis.has_value());
    if (!config_.qdq_add_pair_to_weight) {
      wanted.values = whole_.unique_name(weight.name + "_quantized");
      add_initializer(wanted.values, std::move(values));
    }
    stored.push_back(wanted);
    return wanted;
  }

  void add_weight(const Initializer& weight, const Mark& mark) {
    const DataType type = data_type(mark.is_weight ? config_.weights_dtype : config_.activations_dtype);
    const std::vector<AffineParameters>& parameters = weights_.at(weight.name);
    const std::string output = whole_.unique_name(weight.name + "_DequantizeLinear_Output");
    const Node* reader = readers_.contains(weight.name) ? &graph_.nodes[readers_[weight.name].front()] : nullptr;
    const StoredWeight stored =
        store(weight, {.type = type, .parameters = parameters, .axis = mark.axis, .values = {}, .names = {}}, reader);
    if (stored.values.empty()) {
      add_pair(weight.name, weight.name, "", stored.names, output, mark.axis);
    } else {
      add_node("DequantizeLinear", weight.name + "_DequantizeLinear", stored.values, stored.names, output, mark.axis);
    }
    new_inputs_[weight.name] = output;
    done_[weight.name] = stored.names;
  }

  void add_activation(const std::string& name, const Names& parameters) {
    done_[name] = parameters;
    const std::vector<std::size_t>& readers = readers_[name];
    if (config_.qdq_dedicated_pair && readers.size() > 1) {
      for (std::size_t i = 0; i < readers.size(); ++i) {
        const std::string suffix = "_" + std::to_string(i + 1);
        const std::string output = whole_.unique_name(name + "_DequantizeLinear_Output" + suffix);
        add_pair(name, name, suffix, parameters, output);
        std::vector<std::string>& inputs = graph_.nodes[readers[i]].inputs;
        std::replace(inputs.begin(), inputs.end(), name, output);
      }
    } else if (graph_outputs_.contains(name)) {
      new_outputs_[name] = whole_.unique_name(name + "_QuantizeLinear_Input");
      add_pair(new_outputs_[name], name, "", parameters, name);
    } else {
      new_inputs_[name] = whole_.unique_name(name + "_DequantizeLinear_Output");
      add_pair(name, name, "", parameters, new_inputs_[name]);
    }
  }

  // ---- Biases -------------------------------------------------------------------------------------------------------

  void add_biases() {
    biases_.for_each([&](const std::string& name, const BiasMark& bias) {
      if (done_.contains(name)) return;
      const auto weight = weights_.find(bias.weight);
      const auto provider = scale_provider(bias.input);
      std::optional<QuantizedBias> integers;
      if (weight != weights_.end() && provider)
        integers = quantize_bias(materialize(initializer(name)->source), provider->scale, weight->second, bias.beta);
      if (!integers) {  // stays real
        if (!bias.captured.empty()) graph_.nodes[bias.node].inputs[2] = bias.captured;
        return;
      }
      const std::string quantized = whole_.unique_name(name + "_quantized");
      const Names names{quantized + "_scale", quantized + "_zero_point"};
      add_initializer(quantized, std::move(integers->values));
      add_initializer(names.scale, std::move(integers->scale));
      add_initializer(names.zero_point, std::move(integers->zero_point));
      Node& reader = graph_.nodes[bias.node];
      if (onnx::find_attribute(reader, "beta") != nullptr) onnx::set_attribute(reader, "beta", 1.0F);  // in the scale
      graph_.initializers[initializers_.at(name)].name = "";  // the node below makes it now
      add_node("DequantizeLinear", name + "_DequantizeLinear", quantized, names, name,
               weight->second.size() > 1 ? std::optional<std::int64_t>(0) : std::nullopt);
    });
  }

  /// The numbers that a value has been quantized with, its own or shared ones.
  std::optional<AffineParameters> scale_provider(std::string name) {
    for (const Mark* mark = marks_.find(name); mark != nullptr && !mark->provider.empty(); mark = marks_.find(name))
      name = mark->provider;
    if (const auto weight = weights_.find(name); weight != weights_.end()) return weight->second.front();
    return done_.contains(name) ? activation(name) : std::nullopt;
  }

  void quantize_branches() {
    for (Node& node : graph_.nodes) {
      if (node.op_type != "If" || !node.domain.empty()) continue;
      for (onnx::Attribute& attribute : node.attributes)
        if (auto* branch = std::get_if<onnx::Subgraph>(&attribute.value)) QdqQuantizer(**branch, whole_, this).run();
    }
  }

  void finish() {
    std::vector<Node> nodes;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (removed_.contains(i)) continue;
      Node& node = graph_.nodes[i];
      for (std::string& input : node.inputs)
        if (const auto found = new_inputs_.find(input); found != new_inputs_.end()) input = found->second;
      for (std::string& output : node.outputs)
        if (const auto found = new_outputs_.find(output); found != new_outputs_.end()) output = found->second;
      nodes.push_back(std::move(node));
    }
    graph_.nodes = std::move(nodes);
    std::erase_if(graph_.initializers, [](const Initializer& initializer) { return initializer.name.empty(); });
    onnx::GraphEditor editor(graph_);
    for (Node& node : added_) editor.add_node(std::move(node));
    editor.finish();
  }

  Graph& graph_;
  Whole& whole_;
  QdqQuantizer* parent_;
  const QuantizationConfig& config_;
  const NodeSelection& selection_;
  const ActivationRanges& ranges_;
  onnx::ValueTypes types_;
  std::unordered_map<std::string, int>& uses_;
  ModelOutcome& outcome_;
  std::unordered_map<std::string, std::size_t> initializers_;
  std::set<std::string> graph_outputs_;
  std::unordered_set<std::string> made_;  ///< by nodes of the graph
  OrderedMap<Mark> marks_;
  OrderedMap<BiasMark> biases_;
  std::unordered_map<std::string, std::vector<std::size_t>> readers_;  ///< chosen nodes, by what they read
  std::set<std::size_t> removed_;
  std::unordered_map<std::string, std::vector<AffineParameters>> weights_;
  std::unordered_map<std::string, Names> done_;
  std::unordered_map<std::string, std::vector<StoredWeight>> stored_;
  std::unordered_map<std::string, std::string> new_inputs_;
  std::unordered_map<std::string, std::string> new_outputs_;
  std::vector<Node> added_;
};

}  // namespace

ModelOutcome quantize_qdq(onnx::Model& model, const QuantizationConfig& config, ActivationRanges ranges) {
  if (checked_opset(model) < 13 && config.per_channel) {
    throw Error(ErrorKind::InvalidModel,
                "the model has opset " + std::to_string(checked_opset(model)) +
                    "; scales for each channel need 13 or later in the QDQ format: export it again, or leave out "
                    "per_channel");
  }
  Whole whole(model, config, std::move(ranges));
  QdqQuantizer(model.graph, whole).run();
  finish_model(model);
  return std::move(whole.outcome);
}

}  // namespace onnxport::quantization
