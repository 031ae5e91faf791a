#include "quantization/weight_only/weight_graph.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "onnx/graph_editor.h"
#include "onnx/raise_opset.h"
#include "onnxport/error.h"

namespace onnxport::quantization {
namespace {

using onnx::Graph;
using onnx::GraphEditor;
using onnx::Initializer;
using onnx::Node;
using onnx::NodeId;

constexpr const char* kMicrosoft = "com.microsoft";
/// The opset with DequantizeLinear of blocks and of 4 bits.
constexpr int kBlockedDequantization = 21;
constexpr int kFloat4 = 23;

std::string display_name(const Node& node) {
  if (!node.name.empty() || node.outputs.empty()) return node.name;
  return node.outputs.front();
}

bool is_onnx_operator(const Node& node, std::string_view op_type) {
  return node.op_type == op_type && (node.domain.empty() || node.domain == "ai.onnx");
}

/// Which input of a node is its weight.
std::optional<std::size_t> weight_input(const Node& node) {
  if (is_onnx_operator(node, "MatMul") || is_onnx_operator(node, "Gemm")) return 1;
  if (is_onnx_operator(node, "Gather")) return 0;
  return std::nullopt;
}

WeightLayout layout_of(const Node& node) {
  const bool is_rows = node.op_type == "Gather" || onnx::integer_attribute(node, "transB", 0) != 0;
  return is_rows ? WeightLayout::Rows : WeightLayout::Columns;
}

bool can_be_quantized(DataType type) {
  return type == DataType::Float32 || type == DataType::Float16 || type == DataType::BFloat16;
}

// ---- Models that are quantized already ------------------------------------------------------------------------------

void check_not_quantized(const onnx::Model& model) {
  constexpr std::array<std::string_view, 10> kQuantized = {
      "MatMulNBits",           "MatMulBnb4",           "GatherBlockQuantized",  "MatMulInteger", "QLinearMatMul",
      "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "DynamicQuantizeLinear", "QGemm",         "ConvInteger"};
  std::set<std::string> constants;
  onnx::for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers) constants.insert(initializer.name);
  });
  onnx::for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Node& node : graph.nodes) {
      const bool is_quantized = std::find(kQuantized.begin(), kQuantized.end(), node.op_type) != kQuantized.end();
      const bool has_quantized_weight =
          node.op_type == "DequantizeLinear" && !node.inputs.empty() && constants.contains(node.inputs.front());
      if (!is_quantized && !has_quantized_weight) continue;
      throw Error(ErrorKind::InvalidModel, "the model is quantized already: node " + display_name(node) + " is a " +
                                               node.op_type + ". Quantize the model that it was made from");
    }
  });
}

// ---- The change of one model ----------------------------------------------------------------------------------------

/// Names of a quantized weight's tensors.
struct WeightNames {
  std::string packed;
  std::string scales;
  std::string zero_points;  ///< "" without
  std::string rows;         ///< packed as [N, bytes] for GatherBlockQuantized, where the weight is MatMulNBits', too
  std::size_t entry = 0;
};

class ModelQuantizer {
 public:
  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

  ModelQuantizer(const WeightQuantizationConfig& config, const onnx::Model& model, const Progress& progress)
      : config_(config), progress_(progress) {
    const std::vector<WeightNode> nodes = find_weight_nodes(model);
    weight_nodes_ = nodes.size();
    for (const WeightNode& node : nodes)
      if (node.op_type == "Gemm" && node.layout == WeightLayout::Rows && is_chosen(node.node, node.op_type))
        multiplied_rows_[node.weight].insert(bits_of(node.node, node.weight));
  }

  QuantizedGraph run(Graph& graph) {
    onnx::edit_graphs(graph, [&](GraphEditor& editor) {
      ids_[&editor] = ++editors_;
      for (const NodeId id : editor.nodes()) visit(editor, id);
    });
    return std::move(result_);
  }

 private:
  bool is_chosen(const std::string& name, const std::string& op_type) const {
    const auto& types = config_.op_types;
    if (std::find(types.begin(), types.end(), op_type) == types.end()) return false;
    return std::none_of(config_.nodes_to_exclude.begin(), config_.nodes_to_exclude.end(),
                        [&](const std::string& pattern) { return matches_pattern(name, pattern); });
  }

  int bits_of(const std::string& node, const std::string& weight) const {
    int bits = config_.bits;
    for (const auto& [pattern, value] : config_.bits_for) {
      const std::string anywhere = "*" + pattern + "*";
      if (matches_pattern(node, anywhere) || matches_pattern(weight, anywhere)) bits = value;
    }
    return bits;
  }

  void visit(GraphEditor& editor, NodeId id) {
    const Node& node = editor.node(id);
    const std::optional<std::size_t> input = weight_input(node);
    if (!input || node.inputs.size() <= *input || !is_chosen(display_name(node), node.op_type)) return;
    const std::optional<TensorSource> weight = editor.constant(node.inputs[*input]);
    // Indices and shapes are gathered, too.
    if (!weight || !is_floating_point(weight->data_type)) return;
    const std::string reason =
        node.op_type == "Gather" ? replace_gather(editor, id, *weight) : replace_multiplication(editor, id, *weight);
    if (!reason.empty()) result_.skipped.push_back({display_name(editor.node(id)), editor.node(id).op_type, reason});
  }

  /// The functions below return why a node stays as it is, or "".
  static std::string refuse(const TensorSource& weight) {
    if (!can_be_quantized(weight.data_type)) return "the weight is " + std::string(to_string(weight.data_type));
    if (weight.shape.size() != 2) return "the weight has " + std::to_string(weight.shape.size()) + " dimensions, not 2";
    if (weight.element_count() == 0) return "the weight is empty";
    return "";
  }

  static std::string refuse_gemm(const Node& node) {
    if (onnx::integer_attribute(node, "transA", 0) != 0) return "transA is set";
    if (onnx::float_attribute(node, "alpha", 1) != 1.0F) return "alpha is not 1";
    const bool has_bias = node.inputs.size() > 2 && !node.inputs[2].empty();
    if (has_bias && onnx::float_attribute(node, "beta", 1) != 1.0F) return "beta is not 1";
    return "";
  }

  std::string replace_multiplication(GraphEditor& editor, NodeId id, TensorSource weight) {
    const Node node = editor.node(id);
    // A product with [1, K, N] is one with [K, N] as long as the other side has as many dimensions.
    if (node.op_type == "MatMul" && weight.shape.size() > 2) {
      const auto input = editor.value_info(node.inputs[0]);
      const bool has_rank = input && input->has_shape && input->shape.size() >= weight.shape.size();
      const bool is_single = std::all_of(weight.shape.begin(), weight.shape.end() - 2, [](auto n) { return n == 1; });
      if (has_rank && is_single) weight = reshape(weight, {weight.shape.end() - 2, weight.shape.end()});
    }
    if (std::string reason = refuse(weight); !reason.empty()) return reason;
    if (config_.format == QuantFormat::QDQ) return dequantize_weight(editor, id, weight);
    if (std::string reason = node.op_type == "Gemm" ? refuse_gemm(node) : ""; !reason.empty()) return reason;

    const std::string name = display_name(node);
    const int bits = bits_of(name, node.inputs[1]);
    const WeightNames& names =
        quantize(editor, node.inputs[1], weight, {block_settings(weight, bits, false), layout_of(node), true}, name);
    const BlockwiseWeight& quantized = result_.weights[names.entry].quantized;
    note_input(names, node.inputs[0]);

    Node product{.op_type = "MatMulNBits",
                 .domain = kMicrosoft,
                 .name = quantized_name(editor, node, bits),
                 .inputs = {node.inputs[0], names.packed, names.scales},
                 .outputs = node.outputs,
                 .attributes = {{"K", quantized.vector_size()},
                                {"N", quantized.vectors()},
                                {"bits", std::int64_t{bits}},
                                {"block_size", config_.block_size}}};
    if (config_.accuracy_level != 0)
      product.attributes.push_back({"accuracy_level", std::int64_t{config_.accuracy_level}});
    if (!names.zero_points.empty()) product.inputs.push_back(names.zero_points);
    editor.remove_node(id);
    if (node.inputs.size() > 2 && !node.inputs[2].empty())
      add_bias(editor, product, node.inputs[2], quantized.vectors());
    editor.add_node(std::move(product));
    return "";
  }

  /// The node stays and reads what a DequantizeLinear of its own makes of the weight: ONNX Runtime fuses such pairs
  /// into MatMulNBits where they are in one graph, nothing else reads the result and the weight is [K, N]. Names are
  /// those of DefaultWeightOnlyQuantizer.
  std::string dequantize_weight(GraphEditor& editor, NodeId id, const TensorSource& weight) {
    const Node node = editor.node(id);
    if (is_calibrated(config_.algorithm) && onnx::integer_attribute(node, "transA", 0) != 0) return "transA is set";
    const std::string name = display_name(node);
    const int bits = bits_of(name, node.inputs[1]);
    const WeightNames& names = quantize(editor, node.inputs[1], weight,
                                        {block_settings(weight, bits, false), layout_of(node), true, true}, name);
    note_input(names, node.inputs[0]);
    Node dequantization{.op_type = "DequantizeLinear",
                        .domain = "",
                        .name = suffixed_name(editor, node, "_DQ_Q" + std::to_string(bits)),
                        .inputs = {names.packed, names.scales},
                        .outputs = {editor.unique_name(names.packed + "_output")},
                        .attributes = {{"axis", std::int64_t{0}}, {"block_size", config_.block_size}}};
    if (!names.zero_points.empty()) dequantization.inputs.push_back(names.zero_points);
    Node product = node;
    std::erase_if(product.attributes, [](const onnx::Attribute& attribute) { return attribute.name == "transB"; });
    product.name =
        suffixed_name(editor, node, (node.op_type == "Gemm" ? "_gemm_Q" : "_matmul_Q") + std::to_string(bits));
    product.inputs[1] = dequantization.outputs.front();
    editor.remove_node(id);
    editor.add_node(std::move(dequantization));
    editor.add_node(std::move(product));
    return "";
  }

  /// Remembers that the weight is multiplied with the value.
  void note_input(const WeightNames& names, const std::string& value) {
    std::vector<std::string>& inputs = result_.weights[names.entry].inputs;
    if (std::find(inputs.begin(), inputs.end(), value) == inputs.end()) inputs.push_back(value);
  }

  static std::string suffixed_name(GraphEditor& editor, const Node& node, const std::string& suffix) {
    return node.name.empty() ? "" : editor.unique_name(node.name + suffix);
  }

  static std::string quantized_name(GraphEditor& editor, const Node& node, int bits) {
    return suffixed_name(editor, node, "_Q" + std::to_string(bits));
  }

  /// A bias of shape [N] is the sixth input; one that broadcasts otherwise is added by a node behind.
  static void add_bias(GraphEditor& editor, Node& product, const std::string& bias, std::int64_t vectors) {
    const auto info = editor.value_info(bias);
    if (info && info->has_shape && info->shape == std::vector<onnx::Dimension>{vectors}) {
      product.inputs.resize(6);
      product.inputs[5] = bias;
      return;
    }
    std::string output = product.outputs.front();
    product.outputs.front() = editor.unique_name(output + "_without_bias");
    editor.add_node({.op_type = "Add",
                     .domain = "",
                     .name = editor.unique_name(product.name + "_bias"),
                     .inputs = {product.outputs.front(), bias},
                     .outputs = {std::move(output)},
                     .attributes = {}});
  }

  std::string replace_gather(GraphEditor& editor, NodeId id, const TensorSource& weight) {
    const Node node = editor.node(id);
    if (std::string reason = refuse(weight); !reason.empty()) return reason;
    const std::int64_t axis = onnx::integer_attribute(node, "axis", 0);
    if (axis != 0 && axis != -2) return "it gathers along axis " + std::to_string(axis) + ", not 0";
    if (config_.algorithm == WeightAlgorithm::HalfQuadratic)
      return "the algorithm's zero points are no integers, and GatherBlockQuantized takes no others";
    const std::string name = display_name(node);
    const int bits = bits_of(name, node.inputs[0]);
    if (weight.shape[1] * bits % 8 != 0) return "rows of " + std::to_string(weight.shape[1]) + " fill no whole bytes";

    // An embedding that is the matrix of the head, too, is stored once.
    const auto multiplied = multiplied_rows_.find(node.inputs[0]);
    const bool is_shared = multiplied != multiplied_rows_.end() && multiplied->second.contains(bits) &&
                           weight.shape[1] % config_.block_size == 0;
    const WeightSettings settings{block_settings(weight, bits, !is_shared), WeightLayout::Rows, is_shared};
    WeightNames& names = quantize(editor, node.inputs[0], weight, settings, name);
    result_.weights[names.entry].is_looked_up = true;
    if (is_shared && names.rows.empty()) names.rows = add_rows(editor, node.inputs[0], names);

    Node lookup{.op_type = "GatherBlockQuantized",
                .domain = kMicrosoft,
                .name = quantized_name(editor, node, bits),
                .inputs = {is_shared ? names.rows : names.packed, node.inputs[1], names.scales},
                .outputs = node.outputs,
                .attributes = {{"bits", std::int64_t{bits}},
                               {"block_size", config_.block_size},
                               {"gather_axis", std::int64_t{0}},
                               {"quantize_axis", std::int64_t{1}}}};
    if (!names.zero_points.empty()) lookup.inputs.push_back(names.zero_points);
    editor.remove_node(id);
    editor.add_node(std::move(lookup));
    return "";
  }

  /// MatMulNBits has [N, blocks, bytes], GatherBlockQuantized [N, bytes]. ONNX Runtime folds the Reshape when it loads.
  static std::string add_rows(GraphEditor& editor, const std::string& weight, const WeightNames& names) {
    GraphEditor& home = home_of(editor, weight);
    const std::array<std::int64_t, 2> shape{0, -1};
    const std::string shape_name =
        home.add_initializer(names.packed + "_rows_shape", from_array(Array::int64({2}, shape)));
    std::string rows = home.unique_name(names.packed + "_rows");
    home.add_node({.op_type = "Reshape",
                   .domain = "",
                   .name = home.unique_name(names.packed + "_Reshape"),
                   .inputs = {names.packed, shape_name},
                   .outputs = {rows},
                   .attributes = {}});
    return rows;
  }

  static GraphEditor& home_of(GraphEditor& editor, const std::string& weight) {
    return editor.initializer(weight) != nullptr ? editor.home_of(weight) : editor;
  }

  BlockSettings block_settings(const TensorSource& weight, int bits, bool is_gather) const {
    BlockSettings settings;
    settings.bits = bits;
    settings.block_size = config_.block_size;
    settings.is_symmetric = config_.is_symmetric;
    settings.scale_type = weight.data_type;
    if (config_.is_float) {
      settings.method = BlockMethod::Float;
    } else if (is_calibrated(config_.algorithm)) {
      // Nothing is multiplied with rows that are looked up.
      settings.method = is_gather ? BlockMethod::RoundToNearestGather : BlockMethod::Calibrated;
    } else if (config_.algorithm == WeightAlgorithm::RoundToNearest) {
      settings.method = is_gather                            ? BlockMethod::RoundToNearestGather
                        : config_.format == QuantFormat::QDQ ? BlockMethod::RoundToNearestQdq
                                                             : BlockMethod::RoundToNearest;
    } else {
      settings.method =
          config_.algorithm == WeightAlgorithm::HalfQuadratic ? BlockMethod::HalfQuadratic : BlockMethod::KQuant;
      settings.is_symmetric = false;
    }
    return settings;
  }

  /// The tensors of a weight, made when the first node asks for them, in the graph that the weight belongs to.
  WeightNames& quantize(GraphEditor& editor, const std::string& weight, const TensorSource& source,
                        const WeightSettings& settings, const std::string& node) {
    GraphEditor& home = home_of(editor, weight);
    const auto key = std::tuple(ids_.at(&home), weight, settings.layout, settings.block.bits, settings.is_padded);
    const auto [found, is_new] = names_.try_emplace(key);
    WeightNames& names = found->second;
    if (is_new) {
      const BlockwiseWeight quantized(source, settings);
      names.entry = result_.weights.size();
      const std::string base = weight + (settings.is_plain ? "_DQ" : "");
      names.packed = home.add_initializer(base + "_Q" + std::to_string(settings.block.bits), quantized.packed());
      names.scales = home.add_initializer(base + "_scales", quantized.scales());
      if (!settings.block.is_symmetric)
        names.zero_points = home.add_initializer(base + "_zero_points", quantized.zero_points());
      result_.weights.push_back({weight, {}, source.shape, source.byte_size(), quantized, names.packed});
      if (progress_) progress_(result_.weights.size(), weight_nodes_);
    }
    result_.weights[names.entry].nodes.push_back(node);
    return names;
  }

  const WeightQuantizationConfig& config_;
  const Progress& progress_;
  std::size_t weight_nodes_ = 0;
  /// Weights that Gemm nodes use as rows, with the bits that they want.
  std::map<std::string, std::set<int>> multiplied_rows_;
  std::map<std::tuple<int, std::string, WeightLayout, int, bool>, WeightNames> names_;
  /// Branches may have weights of one name each, and editors of branches come and go.
  std::map<const GraphEditor*, int> ids_;
  int editors_ = 0;
  QuantizedGraph result_;
};

}  // namespace

std::vector<WeightNode> find_weight_nodes(const onnx::Model& model) {
  std::set<std::string> weights;
  onnx::for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers)
      if (is_floating_point(initializer.source.data_type)) weights.insert(initializer.name);
    for (const Node& node : graph.nodes)
      if (node.op_type == "Constant" && !node.outputs.empty()) weights.insert(node.outputs.front());
  });
  std::vector<WeightNode> nodes;
  onnx::for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Node& node : graph.nodes) {
      const std::optional<std::size_t> input = weight_input(node);
      if (!input || node.inputs.size() <= *input || !weights.contains(node.inputs[*input])) continue;
      nodes.push_back({display_name(node), node.op_type, node.inputs[*input], layout_of(node)});
    }
  });
  return nodes;
}

QuantizedGraph quantize_graph(onnx::Model& model, const WeightQuantizationConfig& config,
                              const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  check_not_quantized(model);
  QuantizedGraph result = ModelQuantizer(config, model, progress).run(model.graph);
  for (std::size_t i = 1; i < result.weights.size(); ++i)
    result.weights[i - 1].quantized.set_next(result.weights[i].quantized);
  if (result.weights.empty()) return result;
  if (config.format == QuantFormat::QDQ) {
    const bool has_float4 =
        config.is_float && std::any_of(result.weights.begin(), result.weights.end(),
                                       [](auto& weight) { return weight.quantized.settings().block.bits == 4; });
    onnx::raise_opset(model, has_float4 ? kFloat4 : kBlockedDequantization);
  } else {
    model.opset_imports.try_emplace(kMicrosoft, 1);
  }
  return result;
}

bool matches_pattern(std::string_view name, std::string_view pattern) {
  // On a mismatch, the last * takes one character more.
  std::size_t n = 0;
  std::size_t p = 0;
  std::size_t star = std::string_view::npos;
  std::size_t taken = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace onnxport::quantization
