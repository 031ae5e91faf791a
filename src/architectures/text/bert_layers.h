#pragma once

#include "architectures/registry.h"
#include "nn/layers.h"

namespace onnxport {

/// BertEncoder, which BERT, RoBERTa, ELECTRA and many others share: layers of self-attention and feed-forward with
/// normalization after each, x (batch, length, hidden_size), bias as nn::attention_bias makes it.
/// Reads num_hidden_layers, num_attention_heads, hidden_act, layer_norm_eps and position_embedding_type (absolute,
/// relative_key and relative_key_query; others throw Error(UnsupportedArchitecture)).
Tensor bert_encoder(ModelBuilder& m, Weights w, Tensor x, Tensor bias);

}  // namespace onnxport
