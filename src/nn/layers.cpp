#include "nn/layers.h"

#include <cmath>

#include "onnxport/error.h"

namespace onnxport::nn {

Tensor linear(Tensor x, Weights w) {
  const auto scope = w.scope();
  return ops::linear(x, w["weight"], w.find("bias"));
}

Tensor linear_in_out(Tensor x, Weights w) {
  const auto scope = w.scope();
  return ops::linear(x, w["weight"], w.find("bias"), ops::WeightLayout::InOut);
}

Tensor layer_norm(Tensor x, Weights w, double epsilon) {
  const auto scope = w.scope();
  return ops::layer_norm(x, w["weight"], w.find("bias"), static_cast<float>(epsilon));
}

Tensor rms_norm(Tensor x, Weights w, double epsilon) {
  const auto scope = w.scope();
  return ops::rms_norm(x, w["weight"], static_cast<float>(epsilon));
}

Tensor embedding(Tensor ids, Weights w) {
  const auto scope = w.scope();
  return ops::gather(w["weight"], ids);
}

Tensor conv(Tensor x, Weights w, ops::ConvOptions options) {
  const auto scope = w.scope();
  return ops::conv(x, w["weight"], w.find("bias"), std::move(options));
}

Tensor tied_linear(Tensor x, Weights decoder, Weights embedding, std::optional<Tensor> bias) {
  const auto scope = decoder.scope();
  return ops::linear(x, decoder.has("weight") ? decoder["weight"] : embedding["weight"], bias);
}

Tensor split_heads(Tensor x, std::int64_t num_heads) {
  const Dim& width = x.dim(-1);
  if (num_heads <= 0 || !width.is_constant() || width.constant() % num_heads != 0)
    throw Error(ErrorKind::ShapeMismatch, "a width of " + width.to_string() + " cannot be divided into " +
                                              std::to_string(num_heads) + " attention heads at \"" + x.graph().scope() +
                                              "\"; see config.json");
  const Tensor split = ops::reshape(x, {x.dim(0), x.dim(1), num_heads, width.constant() / num_heads});
  return ops::transpose(split, {0, 2, 1, 3});
}

Tensor merge_heads(Tensor x) {
  const Tensor rows = ops::transpose(x, {0, 2, 1, 3});
  return ops::reshape(rows, {rows.dim(0), rows.dim(1), rows.dim(2) * rows.dim(3)});
}

Tensor attention(const AttentionInputs& inputs) {
  const std::int64_t key_value_heads = inputs.num_key_value_heads > 0 ? inputs.num_key_value_heads : inputs.num_heads;
  return attention_of_heads(split_heads(inputs.query, inputs.num_heads), split_heads(inputs.key, key_value_heads),
                            split_heads(inputs.value, key_value_heads), inputs.bias, inputs.scale, inputs.series);
}

Tensor attention_of_heads(Tensor query, Tensor key, Tensor value, std::optional<Tensor> bias,
                          std::optional<double> scale, std::string_view series) {
  const double factor = scale.value_or(1.0 / std::sqrt(static_cast<double>(query.dim(3).constant())));
  const ops::AttentionResult result =
      ops::attention_with_probabilities(query, key, value, {.scale = static_cast<float>(factor), .bias = bias});
  if (!series.empty()) query.graph().record(series, result.probabilities);
  return merge_heads(result.context);
}

Tensor attention_bias(Tensor attention_mask) {
  const ScopeGuard scope(attention_mask.graph(), "attention_mask");
  const Tensor masked = 1.0 - ops::cast(attention_mask, DataType::Float32);
  return ops::unsqueeze(ops::unsqueeze(masked * lowest, 1), 1);
}

Tensor position_ids(Tensor input_ids) {
  const ScopeGuard scope(input_ids.graph(), "position_ids");
  return ops::unsqueeze(ops::range(input_ids.graph(), 0, input_ids.dim(1)), 0);
}

Tensor position_ids_after_padding(Tensor input_ids, std::int64_t padding_idx) {
  const ScopeGuard scope(input_ids.graph(), "position_ids");
  const Tensor padding = ops::equal(input_ids, static_cast<double>(padding_idx));
  const Tensor real = ops::cast(ops::logical_not(padding), DataType::Int64);
  return ops::cumulative_sum(real, 1) * real + static_cast<double>(padding_idx);
}

}  // namespace onnxport::nn
