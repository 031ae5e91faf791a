// Nyströmformer (Xiong et al., 2021): HF's NystromformerModel and its heads. With as many landmarks as segments, as its
// published checkpoints have, the attention is exact, and a convolution of the values is added to it. The Nyström
// approximation, which transformers can compute for one length only, is refused.
#include <cmath>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

/// Each head's values (batch, heads, length, size), mixed over the positions.
Tensor convolved(Tensor value, Weights w) {
  const auto scope = w.scope();
  const Tensor kernel = w["weight"];  // (heads, 1, kernel size, 1)
  const std::int64_t pad = kernel.dim(2).constant() / 2;
  return ops::conv(value, kernel, std::nullopt, {.pads = {pad, 0, pad, 0}, .groups = value.dim(1).constant()});
}

/// NystromformerSelfAttention.
Tensor attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const auto by_head = [&](std::string_view name) {
    return nn::split_heads(nn::linear(x, w / name), m.config.positive("num_attention_heads"));
  };
  const Tensor query = by_head("query");
  const Tensor value = by_head("value");
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.dim(3).constant()));
  const Tensor context =
      ops::attention(query, by_head("key"), value, {.scale = static_cast<float>(scale), .bias = bias});
  return nn::merge_heads(m.config.has("conv_kernel_size") ? context + convolved(value, w / "conv") : context);
}

Tensor encode(ModelBuilder& m) {
  if (m.config.positive("num_landmarks", 64) != m.config.positive("segment_means_seq_len", 64))
    m.config.unsupported("num_landmarks");
  const Tensor input_ids = m.input("input_ids");
  const Tensor positions = ops::unsqueeze(ops::range(m.graph(), 2, input_ids.dim(1)), 0);
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  return bert_encoder(m, m.base() / "encoder", bert_embeddings(m, m.base() / "embeddings", positions),
                      [&](Weights self, Tensor x) { return attention(m, self, x, bias); });
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
  register_text_encoder(registry,
                        {.model_type = "nystromformer",
                         .base_model_prefix = "nystromformer",
                         .class_prefix = "Nystromformer",
                         .encode = encode,
                         .heads = {{"fill-mask", bert_masked_lm},
                                   {"multiple-choice", multiple_choice},
                                   {"question-answering", heads::question_answering},
                                   {"text-classification", text_classification},
                                   {"token-classification", heads::token_classifier}},
                         .defaults = {{"hidden_act", "gelu_new"}, {"layer_norm_eps", 1e-5}, {"conv_kernel_size", 65}}});
}

}  // namespace onnxport
