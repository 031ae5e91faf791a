// ConvBERT (Jiang et al., 2020): HF's ConvBertModel, half of whose attention is a convolution with kernels that depend
// on the token, and its heads.
#include <algorithm>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

/// SeparableConv1D over the positions of x (batch, length, size).
Tensor separable_conv(Tensor x, Weights w, std::int64_t kernel_size) {
  const auto scope = w.scope();
  const std::int64_t pad = kernel_size / 2;
  x = nn::conv(ops::transpose(x, {0, 2, 1}), w / "depthwise", {.pads = {pad, pad}, .groups = x.dim(2).constant()});
  const TensorSource& bias = w.source("bias");
  return ops::transpose(
      ops::conv(x, (w / "pointwise")["weight"], w.add("bias.flat", reshape(bias, {bias.element_count()}))), {0, 2, 1});
}

/// Every position's own weighted mean of its neighbours: x (batch, length, heads * size) with kernels (batch, length,
/// heads, kernel size).
Tensor dynamic_conv(Tensor x, Tensor kernels) {
  const Dim &length = x.dim(1), &heads = kernels.dim(2);
  const std::int64_t taps = kernels.dim(3).constant();
  const Tensor first = ops::unsqueeze(ops::range(x.graph(), 0, length), 1);
  const Tensor padded = ops::pad(x, 1, (taps - 1) / 2, (taps - 1) / 2, 0.0);
  const Tensor windows = ops::gather(padded, first + ops::unsqueeze(ops::range(x.graph(), 0, taps), 0), 1);
  const Dim size = x.dim(2).constant() / heads.constant();
  const Tensor by_head = ops::reshape(windows, {x.dim(0), length, taps, heads, size});
  const Tensor weights = ops::unsqueeze(ops::transpose(kernels, {0, 1, 3, 2}), -1);
  return ops::reshape(ops::reduce_sum(by_head * weights, {2}, false), x.shape());
}

/// ConvBertSelfAttention.
Tensor attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const std::int64_t kernel_size = m.config.positive("conv_kernel_size", 9);
  if (kernel_size % 2 == 0) m.config.unsupported("conv_kernel_size");
  const std::int64_t num_heads =
      std::max<std::int64_t>(1, m.config.positive("num_attention_heads") / m.config.positive("head_ratio", 2));
  const Tensor query = nn::linear(x, w / "query");
  const Tensor context = nn::attention({.query = query,
                                        .key = nn::linear(x, w / "key"),
                                        .value = nn::linear(x, w / "value"),
                                        .num_heads = num_heads,
                                        .bias = bias});
  const Tensor key = separable_conv(x, w / "key_conv_attn_layer", kernel_size);
  const Tensor kernels = nn::linear(key * query, w / "conv_kernel_layer");
  const Tensor by_head = ops::reshape(kernels, {kernels.dim(0), kernels.dim(1), num_heads, kernel_size});
  return ops::concat({context, dynamic_conv(nn::linear(x, w / "conv_out_layer"), ops::softmax(by_head, -1))}, 2);
}

/// GroupedLinearLayer, or a linear layer where there is one group.
Tensor grouped_linear(ModelBuilder& m, Weights w, Tensor x) {
  const std::int64_t groups = m.config.positive("num_groups", 1);
  if (groups == 1) return nn::linear(x, w);
  const auto scope = w.scope();
  return nn::merge_heads(ops::matmul(nn::split_heads(x, groups), w["weight"])) + w["bias"];
}

Tensor layer(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const double epsilon = m.config.number("layer_norm_eps", 1e-12);
  const Tensor context = nn::linear(attention(m, w / "attention.self", x, bias), w / "attention.output.dense");
  x = nn::layer_norm(x + context, w / "attention.output.LayerNorm", epsilon);
  const Tensor h =
      nn::activation(m.config.string("hidden_act", "gelu"), grouped_linear(m, w / "intermediate.dense", x));
  return nn::layer_norm(x + grouped_linear(m, w / "output.dense", h), w / "output.LayerNorm", epsilon);
}

Tensor encode(ModelBuilder& m) {
  require_absolute_positions(m.config);
  Tensor x = bert_embeddings(m, m.base() / "embeddings");
  if (m.config.positive("embedding_size", 768) != m.config.positive("hidden_size"))
    x = nn::linear(x, m.base() / "embeddings_project");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = layer(m, m.base() / "encoder.layer" / i, m.hidden_state(x), bias);
  return m.hidden_state(x);
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) {
  return nn::linear(heads::sequence_summary(m, x, m.root() / "sequence_summary", "linear"), m.root() / "classifier");
}

/// ConvBertClassificationHead: RoBERTa's with the activation of the layers.
Tensor text_classification(ModelBuilder& m, Tensor x) {
  return heads::dense_classifier_with(m.config.string("hidden_act", "gelu"), m, x);
}

}  // namespace

void register_convbert(Registry& registry) {
  register_text_encoder(registry, {.model_type = "convbert",
                                   .base_model_prefix = "convbert",
                                   .class_prefix = "ConvBert",
                                   .encode = encode,
                                   .heads = {{"fill-mask", electra_masked_lm},
                                             {"multiple-choice", multiple_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", text_classification},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"summary_type", "last"}, {"summary_use_proj", false}}});
}

}  // namespace onnxport
