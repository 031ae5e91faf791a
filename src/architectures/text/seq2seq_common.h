#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "architectures/cache.h"
#include "nn/layers.h"

namespace onnxport {

/// What the layers of a decoder beside an encoder share in one ONNX file. Its inputs are input_ids (the decoder's),
/// encoder_attention_mask, encoder_hidden_states or the cache, and perhaps decoder_attention_mask.
class Seq2SeqState {
 public:
  explicit Seq2SeqState(ModelBuilder& m);

  Cache cache;

  /// Positions of the decoder's tokens, int64 (length), and of those that they may look back to, (past + length).
  Tensor query_positions() const;
  Tensor key_positions() const;
  /// 0 for keys up to the token itself, nn::lowest for later ones: (length, past + length), or with
  /// decoder_attention_mask, which lowers padding, too, (batch, 1, length, past + length). To be made once.
  Tensor causal_bias() const;

  /// Attention of a layer, query (batch, heads, length, size), over the past and these keys and values, which the cache
  /// remembers: (batch, length, heads * size).
  Tensor self_attention(std::int64_t layer, Tensor query, const KeyValue& added, Tensor bias,
                        std::optional<double> scale = {});
  /// Attention over the encoder's states, whose keys and values `project` makes unless the cache has them.
  Tensor cross_attention(std::int64_t layer, Tensor query, const std::function<KeyValue(Tensor states)>& project,
                         Tensor bias, std::optional<double> scale = {});

 private:
  ModelBuilder* m_;
  Dim past_length_ = 0;
};

/// An encoder and a decoder of text, exported as encoder_model, decoder_model and, with a cache,
/// decoder_with_past_model, without a cache also as one file; feature-extraction is always one.
struct Seq2Seq {
  std::string model_type;
  std::string base_model_prefix;
  std::string class_prefix;  ///< "T5" of T5ForConditionalGeneration
  std::function<CacheShape(const Config&)> cache_shape{};
  /// Last hidden states of the encoder, from input_ids and attention_mask.
  std::function<Tensor(ModelBuilder&)> encode{};
  std::function<Tensor(ModelBuilder&, Seq2SeqState&)> decode{};
  std::function<Tensor(ModelBuilder&, Tensor hidden_states)> lm_head{};
  std::map<std::string, std::string> class_names{};  ///< by task, where not the usual suffix of class_prefix
  std::vector<WeightStore::Alias> aliases{};
  Json::Object defaults{};  ///< see Architecture
};

void register_seq2seq(Registry& registry, Seq2Seq model);

}  // namespace onnxport
