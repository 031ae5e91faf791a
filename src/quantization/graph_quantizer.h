#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "onnx/model.h"
#include "onnx/value_types.h"
#include "onnxport/quantizer.h"
#include "quantization/affine.h"

/// Quantization into operators of their own (MatMulInteger, QLinearMatMul, ...), node by node, as
/// onnxruntime/quantization/onnx_quantizer.py does it: the same operators, the same names.
namespace onnxport::quantization {

/// Ranges of activations by the name of the value, from calibration.
using ActivationRanges = std::map<std::string, ValueRange, std::less<>>;

/// A weight that was quantized; what error statistics are computed from.
struct QuantizedWeight {
  std::string node;  ///< the node that it was quantized for, as it was
  std::string op_type;
  std::string tensor;
  TensorSource real;
  TensorSource values;  ///< in the order of `real`
  std::vector<AffineParameters> parameters;
  std::optional<std::int64_t> axis;
};

/// What became of one model.
struct ModelOutcome {
  std::map<std::string, int> quantized_nodes;  ///< by operator
  std::vector<QuantizedWeight> weights;
};

/// What is to be quantized, as sets. `ranges` is there in static quantization.
struct NodeSelection {
  explicit NodeSelection(const QuantizationConfig& config, std::int64_t opset = 0);

  const QuantizationConfig& config;
  std::int64_t opset;  ///< of the model
  std::set<std::string, std::less<>> operators;
  std::set<std::string, std::less<>> included;
  std::set<std::string, std::less<>> excluded;

  bool contains(const onnx::Node& node) const { return contains(node.op_type, {node.name}); }
  /// `names`: all the names that a user may know the node by.
  bool contains(std::string_view op_type, std::initializer_list<std::string_view> names) const;
};

/// One graph, and through it its subgraphs, under quantization. Operators' handlers (integer_operators.cpp,
/// common_operators.cpp) work on it.
class GraphQuantizer {
 public:
  /// `parent` quantizes the graph around a subgraph: weights and values that the subgraph captures are quantized there.
  GraphQuantizer(onnx::Graph& graph, const NodeSelection& selection, const ActivationRanges* ranges,
                 ModelOutcome& outcome, GraphQuantizer* parent = nullptr);

  void run();

  // ---- For handlers ------------------------------------------------------------------------------------------------

  /// Names of quantized inputs with their scales and zero points, and the nodes that make them.
  struct Operands {
    std::vector<std::string> names;
    std::vector<std::string> scales;
    std::vector<std::string> zero_points;
    std::vector<onnx::Node> nodes;
  };
  struct WeightOptions {
    bool is_weight = true;  ///< false: an initializer in the place of an activation, of the activations' type
    bool reduce_range = false;
    std::optional<std::int64_t> channel_axis{};  ///< used with per_channel only; from the end if negative
    std::optional<QuantType> type{};             ///< instead of the config's
    /// With channel_axis: also without per_channel.
    bool always_per_channel = false;
  };
  struct QuantizedValue {
    std::string quantized;
    std::string scale;
    std::string zero_point;
    std::optional<std::int64_t> axis{};
  };

  const QuantizationConfig& config() const { return selection_.config; }
  const NodeSelection& selection() const { return selection_; }
  std::int64_t opset() const { return selection_.opset; }
  bool is_float(std::string_view value) const;
  /// Whether the value is a float32 initializer, of this graph or one around it.
  bool is_float_initializer(std::string_view value) const;
  /// Of this graph or one around it; nullptr if the value is none.
  const onnx::Initializer* find_initializer(std::string_view value) const;

  /// Appends the input as an activation; false if it cannot be quantized (no range is known for it).
  bool quantize_activation(const onnx::Node& node, std::size_t input, Operands& operands);
  /// Appends the input as a weight, or as an activation if it is no initializer.
  bool quantize_weight(const onnx::Node& node, std::size_t input, const WeightOptions& options, Operands& operands);
  const QuantizedValue* find_quantized(std::string_view value) const;
  void set_quantized(const std::string& value, QuantizedValue quantized);

  /// Scale and zero point of an activation's range as initializers; nullopt if no range is known.
  std::optional<QuantizedValue> activation_parameters(const std::string& value);
  std::optional<AffineParameters> activation_affine(std::string_view value) const;

  /// A bias in int32, at the scale of `input` times that of `weight`, which is raised if the bias would not fit: its
  /// name. Both are quantized already, or `input` has a range. nullopt if the bias has to stay real.
  std::optional<std::string> quantize_bias(const std::string& bias, const std::string& input, const std::string& weight,
                                           float beta);

  /// A constant in integers at the scale of a value: its name. nullopt if it is none, or quantized for another value.
  std::optional<std::string> quantize_like(const std::string& constant, const QuantizedValue& value);

  void add_initializer(const std::string& name, TensorSource source);
  void append(onnx::Node node);
  void append(std::vector<onnx::Node> nodes);
  /// A node that stays as it is, or reads real values for another reason: those that are quantized are dequantized.
  void append_kept(onnx::Node node);
  /// The weight of an LSTM in int8, transposed for DynamicQuantizeLSTM; its scales are no scalars.
  QuantizedValue quantize_lstm_weight(const std::string& name);
  /// A matrix in the orientation that MatMul needs, as a value of this graph: an initializer made once for all that
  /// use it, or the output of a Transpose.
  std::string transposed(const std::string& matrix, const std::string& node_name);
  void count(const std::string& op_type) { ++outcome_.quantized_nodes[op_type]; }
  /// The name of the node that statistics of the next weights tell, as it was before it was rewritten.
  void set_current(const onnx::Node& node) { current_ = {node.name, node.op_type}; }
  ModelOutcome& outcome() { return outcome_; }

 private:
  bool quantize_input(const onnx::Node& node, std::size_t input, const WeightOptions& options, Operands& operands,
                      const std::pair<std::string, std::string>& origin, bool from_subgraph);
  const QuantizedValue& quantize_initializer(const onnx::Initializer& weight, const WeightOptions& options,
                                             const std::pair<std::string, std::string>& origin);
  std::optional<float> scale_of(const std::string& name) const;
  onnx::Node quantizing_node(const std::string& value, const std::optional<QuantizedValue>& parameters);
  void quantize_subgraphs(onnx::Node& node);
  void dequantize(const std::string& value);
  void drop_unused_value_infos();

  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  template <typename Value>
  using NameMap = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;
  using NameSet = std::unordered_set<std::string, Hash, std::equal_to<>>;

  onnx::Graph& graph_;
  const NodeSelection& selection_;
  const ActivationRanges* ranges_;
  ModelOutcome& outcome_;
  GraphQuantizer* parent_;
  std::set<std::string, std::less<>> weights_with_bias_;  ///< whose scale a bias in int32 has
  onnx::ValueTypes types_;
  NameMap<std::size_t> initializers_;
  NameSet values_;     ///< inputs and outputs of nodes as the graph was
  NameSet generated_;  ///< values that exist in the new graph: inputs, outputs of new nodes
  NameMap<QuantizedValue> quantized_;
  NameMap<std::string> transposed_;
  std::vector<onnx::Node> nodes_;
  std::pair<std::string, std::string> current_;  ///< name and operator
};

/// Quantizes one node and appends what replaces it; false if the node is to stay as it is (nothing is appended then).
bool quantize_integer_operator(GraphQuantizer& graph, const onnx::Node& node);
/// The same in static quantization.
bool quantize_qlinear_operator(GraphQuantizer& graph, const onnx::Node& node);
/// Gather, Transpose and EmbedLayerNormalization, which both forms have.
bool quantize_common_operator(GraphQuantizer& graph, const onnx::Node& node);

/// For operators that move elements only: quantized if their input is.
bool quantize_direct_operator(GraphQuantizer& graph, const onnx::Node& node);

/// Quantizes a model in the QOperator format, statically if `ranges` are given. Throws Error(InvalidModel): already
/// quantized, an opset below 11, weights with NaN.
ModelOutcome quantize_operators(onnx::Model& model, const QuantizationConfig& config, const ActivationRanges* ranges);

/// Throws Error(InvalidModel) if the model has operators of quantization; `origin` names it.
void refuse_quantized(const onnx::Model& model, std::string_view origin);

/// The version of ONNX's own operators; the largest number if the model uses none of them. Throws Error(InvalidModel)
/// if it is below 11.
std::int64_t checked_opset(const onnx::Model& model);

/// Removes initializers that nothing uses, in all graphs, and imports com.microsoft if a node needs it.
void finish_model(onnx::Model& model);

}  // namespace onnxport::quantization
