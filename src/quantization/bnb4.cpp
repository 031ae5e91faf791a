#include "quantization/bnb4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/parallel_for.h"
#include "onnx/graph_editor.h"
#include "onnxport/error.h"

namespace onnxport::quantization {
namespace {

// Pivots between neighbours, in the order of the values; a value above a pivot belongs to the upper side.
constexpr std::array<float, 15> kNf4Pivots = {
    -0.8480964004993439F,  -0.6106329262256622F,   -0.4599952697753906F, -0.33967943489551544F, -0.23460740596055984F,
    -0.13791173323988914F, -0.045525018125772476F, 0.03979014977812767F, 0.1202552504837513F,   0.2035212516784668F,
    0.2920137718319893F,   0.3893125355243683F,    0.5016634166240692F,  0.6427869200706482F,   0.8614784181118011F};
constexpr std::array<float, 7> kFp4Pivots = {0.00260417F, 0.0859375F, 0.20833333F, 0.29166667F,
                                             0.4166667F,  0.583333F,  0.8333333F};
/// Codes of the magnitudes 0, 0.0625, 2, 3, 4, 6, 8 and 12 (of 12).
constexpr std::array<std::uint8_t, 8> kFp4Codes = {0b000, 0b001, 0b110, 0b111, 0b100, 0b101, 0b010, 0b011};

template <std::size_t Count>
std::size_t pivots_below(const std::array<float, Count>& pivots, float value) {
  std::size_t count = 0;
  for (const float pivot : pivots) count += value > pivot ? 1 : 0;  // NaN is above none, as in ONNX Runtime
  return count;
}

std::uint8_t code_of(Bnb4Type type, float value) {
  if (type == Bnb4Type::NF4) return static_cast<std::uint8_t>(pivots_below(kNf4Pivots, value));
  const std::uint8_t sign = value < 0 ? 0b1000 : 0;
  return kFp4Codes[pivots_below(kFp4Pivots, std::fabs(value))] + sign;
}

float largest_magnitude(std::span<const float> block) {
  float largest = 0;
  for (const float value : block) largest = std::fmax(largest, std::fabs(value));
  return largest;
}

void pack_block(Bnb4Type type, std::span<const float> block, std::byte* packed) {
  const float largest = largest_magnitude(block);
  const float reciprocal = largest != 0 ? 1.0F / largest : 0.0F;
  for (std::size_t i = 0; i < block.size(); i += 2) {
    const std::uint8_t first = code_of(type, block[i] * reciprocal);
    const std::uint8_t second = code_of(type, i + 1 < block.size() ? block[i + 1] * reciprocal : 0);
    packed[i / 2] = static_cast<std::byte>(first << 4 | second);
  }
}

/// The blocks of a weight as float32.
struct Blocks {
  TensorSource values;  ///< Float32
  std::int64_t block_size;

  std::int64_t count() const { return (values.element_count() + block_size - 1) / block_size; }

  /// Calls body(index, elements) for blocks [begin, end), on all cores.
  template <typename Body>
  void for_each(std::int64_t begin, std::int64_t end, const Body& body) const {
    constexpr std::int64_t kRun = 1 << 16;  // elements read at once
    parallel_for(end - begin, kRun / block_size, [&](std::int64_t from, std::int64_t to) {
      std::vector<float> run;
      for (std::int64_t block = begin + from; block < begin + to;) {
        const std::int64_t next = std::min(block + kRun / block_size, begin + to);
        const std::int64_t first = block * block_size;
        run.resize(static_cast<std::size_t>(std::min(next * block_size, values.element_count()) - first));
        read_elements(values, first, std::as_writable_bytes(std::span(run)));
        for (; block < next; ++block) {
          const auto offset = static_cast<std::size_t>(block * block_size - first);
          const auto length = std::min(static_cast<std::size_t>(block_size), run.size() - offset);
          body(block, std::span<const float>(run).subspan(offset, length));
        }
      }
    });
  }
};

TensorSource packed_source(const Blocks& blocks, Bnb4Type type) {
  TensorSource source;
  source.data_type = DataType::UInt8;
  source.shape = {(blocks.values.element_count() + 1) / 2};
  source.compute = [blocks, type](std::int64_t first, std::span<std::byte> out) {
    const std::int64_t bytes = blocks.block_size / 2;
    const std::int64_t end = first + static_cast<std::int64_t>(out.size());
    blocks.for_each(first / bytes, (end + bytes - 1) / bytes, [&](std::int64_t index, std::span<const float> block) {
      std::array<std::byte, 64> packed{};
      pack_block(type, block, packed.data());
      const std::int64_t begin = index * bytes;
      const std::int64_t from = std::max(begin, first);
      const std::int64_t to = std::min(begin + static_cast<std::int64_t>(block.size() + 1) / 2, end);
      std::copy(packed.begin() + (from - begin), packed.begin() + (to - begin), out.begin() + (from - first));
    });
  };
  return source;
}

TensorSource absmax_source(const Blocks& blocks, DataType type) {
  TensorSource source;
  source.shape = {blocks.count()};
  source.compute = [blocks](std::int64_t first, std::span<std::byte> out) {
    auto* values = reinterpret_cast<float*>(out.data());
    const std::int64_t end = first + static_cast<std::int64_t>(out.size() / sizeof(float));
    blocks.for_each(first, end, [&](std::int64_t index, std::span<const float> block) {
      values[index - first] = largest_magnitude(block);
    });
  };
  return cast(std::move(source), type);
}

// ---- The graph ------------------------------------------------------------------------------------------------------

/// The constant matrix that a node multiplies with, and how it lies.
struct Multiplication {
  std::string weight;
  bool is_transposed = false;  ///< [N, K]
  std::string bias;            ///< added afterwards, if there is one
};

std::optional<Multiplication> multiplication_of(const onnx::GraphEditor& graph, const onnx::Node& node) {
  if (!node.domain.empty() || node.inputs.size() < 2) return std::nullopt;
  const bool is_gemm = node.op_type == "Gemm";
  if (!is_gemm && node.op_type != "MatMul") return std::nullopt;
  Multiplication result{node.inputs[1], false, {}};
  if (is_gemm) {
    const bool has_bias = node.inputs.size() > 2 && !node.inputs[2].empty();
    if (onnx::float_attribute(node, "alpha", 1) != 1 || onnx::integer_attribute(node, "transA", 0) != 0)
      return std::nullopt;
    if (has_bias && onnx::float_attribute(node, "beta", 1) != 1) return std::nullopt;
    result.is_transposed = onnx::integer_attribute(node, "transB", 0) != 0;
    if (has_bias) result.bias = node.inputs[2];
  }
  const onnx::Initializer* weight = graph.initializer(result.weight);
  if (weight == nullptr || weight->source.shape.size() != 2 || !is_floating_point(weight->source.data_type))
    return std::nullopt;
  return result;
}

class GraphQuantizer {
 public:
  explicit GraphQuantizer(const Bnb4Config& config) : config_(config) {}

  void quantize(onnx::GraphEditor& graph) {
    for (const onnx::NodeId id : graph.nodes())
      if (const auto multiplication = multiplication_of(graph, graph.node(id))) replace(graph, id, *multiplication);
  }

  std::vector<std::string> release() { return std::move(replaced_); }

 private:
  struct Names {
    std::string packed;
    std::string absmax;
    std::int64_t inner = 0;
    std::int64_t outer = 0;
  };

  /// A weight that several nodes or branches share is quantized once. Two branches may each have one of that name.
  const Names& quantized(onnx::GraphEditor& graph, const Multiplication& multiplication) {
    const auto [entry, is_new] = weights_.try_emplace({multiplication.weight, multiplication.is_transposed});
    if (!is_new && graph.initializer(entry->second.packed) != nullptr) return entry->second;
    onnx::GraphEditor& home = graph.home_of(multiplication.weight);
    TensorSource weight = home.initializer(multiplication.weight)->source;
    if (!multiplication.is_transposed) weight = transpose(std::move(weight), {1, 0});
    entry->second.outer = weight.shape[0];
    entry->second.inner = weight.shape[1];
    const Bnb4Weight made = quantize_bnb4(weight, config_);
    entry->second.packed = home.add_initializer(multiplication.weight + "_Bnb4", made.packed);
    entry->second.absmax = home.add_initializer(multiplication.weight + "_absmax", made.absmax);
    return entry->second;
  }

  void replace(onnx::GraphEditor& graph, onnx::NodeId id, const Multiplication& multiplication) {
    const Names& names = quantized(graph, multiplication);
    const onnx::Node old = graph.node(id);
    graph.remove_node(id);
    const std::string output =
        multiplication.bias.empty() ? old.outputs[0] : graph.unique_name(old.outputs[0] + "_product");
    graph.add_node({.op_type = "MatMulBnb4",
                    .domain = "com.microsoft",
                    .name = old.name.empty() ? "" : graph.unique_name(old.name + "_Bnb4"),
                    .inputs = {old.inputs[0], names.packed, names.absmax},
                    .outputs = {output},
                    .attributes = {{"K", names.inner},
                                   {"N", names.outer},
                                   {"block_size", config_.block_size},
                                   {"quant_type", static_cast<std::int64_t>(config_.type)}}});
    if (!multiplication.bias.empty())
      graph.add_node({.op_type = "Add",
                      .domain = "",
                      .name = old.name.empty() ? "" : graph.unique_name(old.name + "_bias"),
                      .inputs = {output, multiplication.bias},
                      .outputs = {old.outputs[0]},
                      .attributes = {}});
    replaced_.push_back(old.name.empty() ? old.outputs[0] : old.name);
  }

  const Bnb4Config& config_;
  std::map<std::pair<std::string, bool>, Names> weights_;
  std::vector<std::string> replaced_;
};

}  // namespace

Bnb4Weight quantize_bnb4(const TensorSource& weight, const Bnb4Config& config) {
  constexpr std::array<std::int64_t, 4> kBlockSizes = {16, 32, 64, 128};
  if (std::find(kBlockSizes.begin(), kBlockSizes.end(), config.block_size) == kBlockSizes.end())
    throw Error(ErrorKind::InvalidArgument, "the block size " + std::to_string(config.block_size) +
                                                " is not one of 16, 32, 64, 128, which MatMulBnb4 has");
  const Blocks blocks{cast(weight, DataType::Float32), config.block_size};
  return {packed_source(blocks, config.type), absmax_source(blocks, weight.data_type)};
}

std::vector<std::string> quantize_graph_bnb4(onnx::Model& model, const Bnb4Config& config) {
  onnx::for_each_graph(model.graph, [](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      if (node.op_type == "MatMulBnb4")
        throw Error(ErrorKind::InvalidModel, "the model is quantized already: " + node.name + " is a MatMulBnb4");
  });
  GraphQuantizer quantizer(config);
  onnx::edit_graphs(model.graph, [&](onnx::GraphEditor& graph) { quantizer.quantize(graph); });
  model.opset_imports.try_emplace("com.microsoft", 1);
  return quantizer.release();
}

}  // namespace onnxport::quantization
