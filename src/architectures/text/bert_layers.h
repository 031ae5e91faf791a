#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "architectures/registry.h"
#include "nn/layers.h"

namespace onnxport {

/// BertEmbeddings: embedding_sum, normalized by `LayerNorm`.
Tensor bert_embeddings(ModelBuilder& m, Weights w, std::optional<Tensor> position_ids = {});
/// The embeddings of words, token types (the input token_type_ids, or 0 where the model has none) and positions (0, 1,
/// ... unless given; none if position_embedding_type is not absolute), added up.
Tensor embedding_sum(ModelBuilder& m, Weights w, std::optional<Tensor> position_ids = {}, double word_scale = 1.0);

/// For models that know no other kind: throws Error(UnsupportedArchitecture) if position_embedding_type is not
/// absolute.
void require_absolute_positions(const Config& config);

/// BertEncoder, which BERT, RoBERTa, ELECTRA and many others share: layers of self-attention and feed-forward with
/// normalization after each, x (batch, length, hidden_size), bias as nn::attention_bias makes it.
/// Reads num_hidden_layers, num_attention_heads, hidden_act, layer_norm_eps and position_embedding_type (absolute,
/// relative_key and relative_key_query; others throw Error(UnsupportedArchitecture)).
Tensor bert_encoder(ModelBuilder& m, Weights w, Tensor x, Tensor bias);
/// The same with another self-attention, which gets the scope `attention.self` of a layer and the layer's input.
using SelfAttention = std::function<Tensor(Weights self, Tensor x)>;
Tensor bert_encoder(ModelBuilder& m, Weights w, Tensor x, const SelfAttention& attention);
/// One BertLayer, and the second half of it: `intermediate` and `output`.
Tensor bert_layer(ModelBuilder& m, Weights w, Tensor x, const SelfAttention& attention);
Tensor bert_feed_forward(ModelBuilder& m, Weights w, Tensor x);
/// BertSelfAttention, with the projections `query`, `key` and `value`; for the series see nn::attention_of_heads.
Tensor bert_self_attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias, std::string_view series = nn::attentions);

/// The normalizations of a layer that come before attention and feed-forward: their scopes, "attention.LayerNorm".
struct PreNormNames {
  std::string_view attention;
  std::string_view feed_forward;
};
/// A BertLayer that normalizes before attention and feed-forward instead of after them.
Tensor pre_norm_bert_layer(ModelBuilder& m, Weights w, Tensor x, PreNormNames norms, std::string_view hidden_act,
                           const SelfAttention& attention);

/// BertPredictionHeadTransform: LayerNorm(activation(dense(x))), what comes before a head's vocabulary.
Tensor prediction_transform(ModelBuilder& m, Tensor x, Weights w, std::string_view activation);
/// BertOnlyMLMHead, `cls.predictions`.
Tensor bert_masked_lm(ModelBuilder& m, Tensor hidden_states);
/// The head of ELECTRA's generator: `generator_predictions` and the vocabulary `generator_lm_head`.
Tensor electra_masked_lm(ModelBuilder& m, Tensor hidden_states);

}  // namespace onnxport
