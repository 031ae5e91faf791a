#pragma once

#include <optional>
#include <vector>

#include "architectures/text/text_encoder_common.h"

namespace onnxport {

/// What DisentangledSelfAttention attends with, before it is divided into heads.
struct DisentangledProjections {
  Tensor query, key, value;                ///< (batch, length, hidden_size)
  std::optional<Tensor> position_key{};    ///< (2 * span, hidden_size): content to position, "c2p" of pos_att_type
  std::optional<Tensor> position_query{};  ///< position to content, "p2c"
};

/// What the two generations of DeBERTa do each in its own way.
struct DebertaEncoder {
  /// The projections of one layer by its scope `attention.self`, its input and the embeddings of relative positions
  /// (2 * span, hidden_size), which are absent where relative_attention is false.
  DisentangledProjections (*project)(ModelBuilder& m, Weights self, Tensor x, std::optional<Tensor> relative);
  /// The normalization of the embeddings of relative positions, if any.
  Tensor (*normalize_relative)(ModelBuilder& m, Weights encoder, Tensor relative) = nullptr;
  /// The buckets that distances fall into, see ops::relative_scores.
  std::vector<std::int64_t> (*buckets)(ModelBuilder& m) = nullptr;
  /// What comes between the first layer and the others: of the embeddings and the first layer's output.
  Tensor (*after_first_layer)(ModelBuilder& m, Weights encoder, Tensor embeddings, Tensor x) = nullptr;
};

/// The last hidden states of DebertaModel and DebertaV2Model.
Tensor deberta_encode(ModelBuilder& m, const DebertaEncoder& encoder);
/// Whether pos_att_type has "c2p" or "p2c". Throws Error(UnsupportedArchitecture) where it has anything else.
bool attends(const Config& config, std::string_view kind);
/// max_relative_positions, or max_position_embeddings where it is -1.
std::int64_t max_relative_positions(const Config& config);
/// x with zeros where the attention mask is zero.
Tensor deberta_mask(ModelBuilder& m, Tensor x);

/// A DeBERTa with all tasks but multiple-choice.
TextEncoder deberta_family(std::string model_type, std::string class_prefix, const DebertaEncoder& encoder);
/// ContextPooler: the first token's state, through `pooler.dense` and pooler_hidden_act.
Tensor deberta_pooler(ModelBuilder& m, Tensor hidden_states);

}  // namespace onnxport
