// Nyströmformer (Xiong et al., 2021): HF's NystromformerModel, whose attention goes by landmarks, means of segments of
// the sequence, and adds a convolution of the values; and its heads. Where there are as many landmarks as positions in
// segment_means_seq_len, as in the published checkpoint nystromformer-512, attention is exact and any length will do.
// Else the model takes sequences of segment_means_seq_len only.
#include <cmath>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

std::int64_t num_landmarks(const Config& config) { return config.positive("num_landmarks", 64); }
std::int64_t segmented_length(const Config& config) { return config.positive("segment_means_seq_len", 64); }

/// Whether attention goes by landmarks.
bool approximates(const Config& config) {
  if (segmented_length(config) % num_landmarks(config) != 0)
    config.fail("segment_means_seq_len", "must be a multiple of num_landmarks");
  return num_landmarks(config) != segmented_length(config);
}

/// Each head's values (batch, heads, length, size), mixed over the positions.
Tensor convolved(Tensor value, Weights w) {
  const auto scope = w.scope();
  const Tensor kernel = w["weight"];  // (heads, 1, kernel size, 1)
  const std::int64_t pad = kernel.dim(2).constant() / 2;
  return ops::conv(value, kernel, std::nullopt, {.pads = {pad, 0, pad, 0}, .groups = value.dim(1).constant()});
}

/// Approximate inverse of matrices whose rows add up to 1, by six steps of an iteration of third order.
Tensor inverse(Tensor matrix) {
  const std::int64_t size = matrix.dim(2).constant();
  std::vector<float> ones(static_cast<std::size_t>(size * size), 0.0F);
  for (std::size_t i = 0; i < ones.size(); i += static_cast<std::size_t>(size) + 1) ones[i] = 1.0F;
  const Tensor identity = matrix.graph().add_constant(Array::float32({size, size}, ones));
  // One divisor for all matrices of the batch, as in the original implementation.
  const Tensor divisor = ops::reduce_max(ops::reduce_sum(matrix, {2}), {0, 1, 2, 3});
  Tensor result = ops::swap_axes(matrix, 2, 3) / divisor;
  for (int step = 0; step < 6; ++step) {
    const Tensor product = ops::matmul(matrix, result);
    const Tensor inner = 15.0 * identity - ops::matmul(product, 7.0 * identity - product);
    result = ops::matmul(0.25 * result, 13.0 * identity - ops::matmul(product, inner));
  }
  return result;
}

/// Attention by way of landmarks; the query and the key carry the scale.
Tensor nystrom_attention(Tensor query, Tensor key, Tensor value, Tensor bias, std::int64_t num_landmarks) {
  const std::int64_t segment = query.dim(2).constant() / num_landmarks;
  const auto landmarks_of = [&](Tensor x) {
    return ops::reduce_mean(ops::reshape(x, {x.dim(0), x.dim(1), num_landmarks, segment, x.dim(3)}), {3}, false);
  };
  const Tensor query_landmarks = landmarks_of(query);
  const Tensor key_landmarks = ops::swap_axes(landmarks_of(key), 2, 3);
  const Tensor to_landmarks = ops::softmax(ops::matmul(query, key_landmarks), -1);
  const Tensor between = ops::softmax(ops::matmul(query_landmarks, key_landmarks), -1);
  const Tensor from_landmarks = ops::attention(query_landmarks, key, value, {.scale = 1.0F, .bias = bias});
  const Tensor attentions = ops::matmul(to_landmarks, inverse(between));  // (batch, heads, length, num_landmarks)
  query.graph().record(nn::attentions, attentions);
  return ops::matmul(attentions, from_landmarks);
}

Tensor exact_attention(Tensor query, Tensor key, Tensor value, Tensor bias, double scale) {
  const ops::AttentionResult result =
      ops::attention_with_probabilities(query, key, value, {.scale = static_cast<float>(scale), .bias = bias});
  query.graph().record(nn::attentions, result.probabilities);
  return result.context;
}

/// NystromformerSelfAttention.
Tensor attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const auto by_head = [&](std::string_view name) {
    return nn::split_heads(nn::linear(x, w / name), m.config.positive("num_attention_heads"));
  };
  const Tensor query = by_head("query");
  const Tensor key = by_head("key");
  const Tensor value = by_head("value");
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.dim(3).constant()));
  const Tensor context = approximates(m.config) ? nystrom_attention(query * std::sqrt(scale), key * std::sqrt(scale),
                                                                    value, bias, num_landmarks(m.config))
                                                : exact_attention(query, key, value, bias, scale);
  return nn::merge_heads(m.config.has("conv_kernel_size") ? context + convolved(value, w / "conv") : context);
}

Tensor encode(ModelBuilder& m) {
  if (m.config.boolean("inv_coeff_init_option", false)) m.config.unsupported("inv_coeff_init_option");
  const Tensor input_ids = m.input("input_ids");
  const Tensor positions = ops::unsqueeze(ops::range(m.graph(), 2, input_ids.dim(1)), 0);
  Tensor x = bert_embeddings(m, m.base() / "embeddings", positions);
  Tensor bias = nn::attention_bias(m.input("attention_mask"));
  const Shape shape = x.shape();
  if (approximates(m.config)) {
    x = ops::assume_shape(x, {shape[0], segmented_length(m.config), shape[2]});
    bias = ops::assume_shape(bias, {shape[0], 1, 1, segmented_length(m.config)});
  }
  x = bert_encoder(m, m.base() / "encoder", x, [&](Weights self, Tensor h) { return attention(m, self, h, bias); });
  return ops::assume_shape(x, shape);
}

/// NystromformerClassificationHead: RoBERTa's with the activation of the layers.
Tensor text_classification(ModelBuilder& m, Tensor x) {
  return heads::dense_classifier_with(m.config.string("hidden_act"), m, x);
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) {
  return nn::linear(heads::pre_classifier(m, x), m.root() / "classifier");
}

}  // namespace

void register_nystromformer(Registry& registry) {
  register_text_encoder(
      registry,
      {.model_type = "nystromformer",
       .base_model_prefix = "nystromformer",
       .class_prefix = "Nystromformer",
       .encode = encode,
       .heads = {{"fill-mask", bert_masked_lm},
                 {"multiple-choice", multiple_choice},
                 {"question-answering", heads::question_answering},
                 {"text-classification", text_classification},
                 {"token-classification", heads::token_classifier}},
       .defaults = {
           {"vocab_size", 30000}, {"hidden_act", "gelu_new"}, {"layer_norm_eps", 1e-5}, {"conv_kernel_size", 65}}});
}

}  // namespace onnxport
