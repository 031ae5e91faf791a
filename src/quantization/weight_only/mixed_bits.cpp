#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "quantization/weight_only/weight_graph.h"

namespace onnxport::quantization {
namespace {

constexpr int kManyBits = 8;

bool contains_any(std::string_view name, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) { return name.find(part) != name.npos; });
}

/// The projection to values, or one that makes queries, keys and values at once.
bool is_value_projection(std::string_view name) {
  constexpr std::array<std::string_view, 8> kParts = {"v_proj", "qkv_proj",         "c_attn", "query_key_value",
                                                      "/value", "SelfAttention/v/", "v_lin",  "attn/qkv"};
  return contains_any(name, kParts);
}

/// The last projection of the feed-forward layer.
bool is_down_projection(std::string_view name) {
  constexpr std::array<std::string_view, 7> kParts = {"down_proj", "mlp/c_proj",       "/fc2", "/wo/", "dense_4h_to_h",
                                                      "ffn/lin2",  "mlp/dense_4h_to_h"};
  constexpr std::array<std::string_view, 1> kBert = {"output/dense"};
  return contains_any(name, kParts) || (contains_any(name, kBert) && name.find("attention") == name.npos);
}

bool is_head(const WeightNode& node) { return node.node.find("lm_head") != std::string::npos; }

/// "/transformer/h.11/attn/c_attn/Gemm" is in layer 11: the first part of the name that is a number.
std::optional<int> layer_of(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '.' && name[i] != '/') continue;
    std::size_t end = i + 1;
    int number = 0;
    while (end < name.size() && end - i <= 4 && name[end] >= '0' && name[end] <= '9')
      number = number * 10 + (name[end++] - '0');
    if (end > i + 1 && (end == name.size() || name[end] == '/' || name[end] == '.')) return number;
  }
  return std::nullopt;
}

/// As make_int4_algo_config of onnxruntime-genai's builder, which divides and rounds where llama.cpp's use_more_bits
/// has integers: of 12 layers 0, 1, 4, 7, 10 and 11.
bool has_more_bits(int layer, int layers) {
  const double eighth = layers / 8.0;
  const int after_first = layer - static_cast<int>(std::nearbyint(eighth));  // rounds halves to even, as Python
  return layer < eighth || layer >= 7 * eighth || (after_first + 3 * layers) % 3 == 2;
}

}  // namespace

std::vector<std::pair<std::string, int>> k_quant_mixed_bits(const std::vector<WeightNode>& nodes) {
  int layers = 0;
  for (const WeightNode& node : nodes)
    if (const auto layer = layer_of(node.node)) layers = std::max(layers, *layer + 1);
  std::vector<std::pair<std::string, int>> bits;
  for (const WeightNode& node : nodes) {
    if (node.op_type == "Gather") continue;
    const auto layer = layer_of(node.node);
    const bool is_sensitive =
        layer && has_more_bits(*layer, layers) && (is_value_projection(node.node) || is_down_projection(node.node));
    if (is_sensitive || is_head(node)) bits.emplace_back(node.node, kManyBits);
  }
  return bits;
}

}  // namespace onnxport::quantization
