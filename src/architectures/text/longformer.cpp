// Longformer (Beltagy et al., 2020): HF's LongformerModel, whose tokens attend to a window around them and to a few
// global tokens, which attend to all; and its heads. transformers cuts the sequence into chunks, padded to the window.
// Here the window is a mask over all pairs of tokens, and global attention is computed for all tokens: exact for every
// length and never padded, but time and memory grow with the square of the length.
#include <map>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

/// What the attention of all layers depends on; (batch, length) each.
struct Tokens {
  Tensor attended;   ///< not padding
  Tensor is_global;  ///< attended by all and attending to all
};

/// attention_mask and global_attention_mask, merged as transformers does: 0 padding, 1 local, 2 global.
Tokens tokens_of(ModelBuilder& m) {
  const ScopeGuard scope(m.graph(), "attention_mask");
  const Tensor merged = m.input("attention_mask") * (m.input("global_attention_mask") + 1.0);
  return {ops::greater(merged, 0.0), ops::greater(merged, 1.0)};
}

/// 0 at global tokens and those at most `reach` positions away, lowest elsewhere: (batch, 1, length, length).
Tensor window_bias(const Tokens& tokens, std::int64_t reach) {
  const ScopeGuard scope(tokens.attended.graph(), "attention_mask");
  const Tensor positions = ops::range(tokens.attended.graph(), 0, tokens.attended.dim(1));
  const Tensor distance = ops::abs(ops::unsqueeze(positions, 1) - positions);
  const Tensor near = ops::less(distance, static_cast<double>(reach + 1));
  const Tensor visible =
      ops::logical_and(ops::unsqueeze(tokens.attended, 1), ops::logical_or(near, ops::unsqueeze(tokens.is_global, 1)));
  return ops::unsqueeze((1.0 - ops::cast(visible, DataType::Float32)) * nn::lowest, 1);
}

/// LongformerSelfAttention. Padding gets no local context.
Tensor attention(ModelBuilder& m, Weights w, Tensor x, const Tokens& tokens, Tensor local_bias, Tensor global_bias) {
  const auto scope = w.scope();
  const auto attend = [&](const std::string& kind, Tensor bias) {
    return nn::attention({.query = nn::linear(x, w / ("query" + kind)),
                          .key = nn::linear(x, w / ("key" + kind)),
                          .value = nn::linear(x, w / ("value" + kind)),
                          .num_heads = m.config.positive("num_attention_heads"),
                          .bias = bias,
                          .series = ""});  // those of transformers are of windows, and as wide as it has global tokens
  };
  const Tensor local = attend("", local_bias) * ops::unsqueeze(ops::cast(tokens.attended, DataType::Float32), 2);
  return ops::where(ops::unsqueeze(tokens.is_global, 2), attend("_global", global_bias), local);
}

/// attention_window of each layer, which is one number or a list.
std::vector<std::int64_t> attention_windows(const Config& config) {
  const auto layers = static_cast<std::size_t>(config.positive("num_hidden_layers"));
  const Json* window = config.json().find("attention_window");
  const std::vector<std::int64_t> windows = window && window->is_array()
                                                ? config.integers("attention_window")
                                                : std::vector(layers, config.integer("attention_window", 512));
  for (const std::int64_t size : windows)
    if (size <= 0 || size % 2 != 0) config.fail("attention_window", "must be positive and even");
  if (windows.size() != layers) config.fail("attention_window", "must have a window for each layer");
  return windows;
}

Tensor encode(ModelBuilder& m) {
  require_absolute_positions(m.config);
  const Tokens tokens = tokens_of(m);
  const Tensor global_bias = nn::attention_bias(ops::cast(tokens.attended, DataType::Int64));
  const Tensor positions = nn::position_ids_after_padding(m.input("input_ids"), m.config.integer("pad_token_id", 1));
  Tensor x = bert_embeddings(m, m.base() / "embeddings", positions);
  std::map<std::int64_t, Tensor> biases;
  const std::vector<std::int64_t> windows = attention_windows(m.config);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const std::int64_t reach = windows[i] / 2;
    if (!biases.contains(reach)) biases.emplace(reach, window_bias(tokens, reach));
    const Weights layer = m.base() / "encoder.layer" / static_cast<std::int64_t>(i);
    x = bert_layer(m, layer, m.hidden_state(x), [&](Weights self, Tensor h) {
      return attention(m, self, h, tokens, biases.at(reach), global_bias);
    });
  }
  return m.hidden_state(x);
}

/// In the order of the forward functions, where that of multiple-choice has the token types in another place.
std::vector<std::string> inputs_of(const Config&, std::string_view task) {
  if (task == "multiple-choice") return {"input_ids", "token_type_ids", "attention_mask", "global_attention_mask"};
  return {"input_ids", "attention_mask", "global_attention_mask", "token_type_ids"};
}

}  // namespace

void register_longformer(Registry& registry) {
  register_text_encoder(registry, {.model_type = "longformer",
                                   .base_model_prefix = "longformer",
                                   .class_prefix = "Longformer",
                                   .has_pooler = true,
                                   .encode = encode,
                                   .heads = {{"fill-mask", heads::lm_head},
                                             {"multiple-choice", heads::pooled_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", heads::dense_classifier},
                                             {"token-classification", heads::token_classifier}},
                                   .inputs_of = inputs_of});
}

}  // namespace onnxport
