#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nn/weights.h"
#include "ops/ops.h"

/// Layers over the operators that read their weights by scope, as torch.nn's modules do.
namespace onnxport::nn {

/// torch.nn.Linear: x Wᵀ + b, the bias where the checkpoint has one.
Tensor linear(Tensor x, Weights w);
/// transformers' Conv1D of GPT-2: x W + b.
Tensor linear_in_out(Tensor x, Weights w);
/// torch.nn.LayerNorm over the last axis; weight and bias where the checkpoint has them.
Tensor layer_norm(Tensor x, Weights w, double epsilon);
/// Root mean square normalization with the weight of the scope.
Tensor rms_norm(Tensor x, Weights w, double epsilon);
/// torch.nn.Embedding: ids (int64, any shape) to ids.shape + (size).
Tensor embedding(Tensor ids, Weights w);
/// torch.nn.Conv1d and Conv2d.
Tensor conv(Tensor x, Weights w, ops::ConvOptions options = {});
/// The logits of a language model's head whose weight is tied to an embedding unless the checkpoint has its own:
/// x Wᵀ (+ bias), W from `decoder` if present there, else from `embedding`.
Tensor tied_linear(Tensor x, Weights decoder, Weights embedding, std::optional<Tensor> bias);

/// A function of transformers' ACT2FN by its name ("gelu", "gelu_new", "silu", "relu2", ...).
/// Throws Error(UnsupportedArchitecture) naming it otherwise.
Tensor activation(std::string_view name, Tensor x);

/// (batch, length, heads * size) to (batch, heads, length, size), and back.
Tensor split_heads(Tensor x, std::int64_t num_heads);
Tensor merge_heads(Tensor x);

/// The series of attention probabilities, (batch, heads, queries, keys) each, as the outputs of transformers name it.
inline constexpr std::string_view attentions = "attentions";

struct AttentionInputs {
  Tensor query;  ///< (batch, queries, num_heads * head_size)
  Tensor key;    ///< (batch, keys, num_key_value_heads * head_size)
  Tensor value;
  std::int64_t num_heads = 1;
  std::optional<Tensor> bias{};          ///< added to the scaled products, see ops::attention
  std::optional<double> scale{};         ///< default 1 / sqrt(head_size)
  std::int64_t num_key_value_heads = 0;  ///< default num_heads
  std::string_view series = attentions;  ///< see attention_of_heads
};
/// Multi-head attention between projections: (batch, queries, num_heads * head_size).
Tensor attention(const AttentionInputs& inputs);
/// The same between heads that are split already, each (batch, heads, length, size). The probabilities are recorded as
/// the next of a series; of an empty name, where transformers gives others or none.
Tensor attention_of_heads(Tensor query, Tensor key, Tensor value, std::optional<Tensor> bias = {},
                          std::optional<double> scale = {}, std::string_view series = attentions);

/// The most negative float of the model's type: what transformers adds to masked scores (torch.finfo(dtype).min).
inline constexpr double lowest = -3.4028234663852886e38;

/// attention_mask (batch, keys) of ones and zeros to an additive bias (batch, 1, 1, keys): 0 and `lowest`.
Tensor attention_bias(Tensor attention_mask);
/// Position ids 0, 1, ... of a sequence: (1, length).
Tensor position_ids(Tensor input_ids);
/// RoBERTa's positions: padding gets padding_idx, other tokens count on from padding_idx + 1; (batch, length).
Tensor position_ids_after_padding(Tensor input_ids, std::int64_t padding_idx);

}  // namespace onnxport::nn
