#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "architectures/cache.h"
#include "nn/layers.h"

namespace onnxport {

/// What the layers of a decoder share in one model: positions, who may see whom, and the cache.
class DecoderState {
 public:
  explicit DecoderState(ModelBuilder& m);

  Cache cache;

  /// The input position_ids, or where the model has none, counted on from the past: (batch or 1, length).
  Tensor position_ids() const;
  /// 0 for keys that a token may see, nn::lowest for those after it and for padding: (batch, 1, length, past +
  /// length). With a window, only the last `window` keys up to the token itself are seen. To be made once for all
  /// layers.
  Tensor causal_bias(std::optional<std::int64_t> window = {}) const;

  /// Attention of a layer over the past and these keys and values, each (batch, heads, length, size), which the cache
  /// remembers: (batch, length, heads * size).
  Tensor attention(std::int64_t layer, Tensor query, const KeyValue& added, Tensor bias,
                   std::optional<double> scale = {});

 private:
  ModelBuilder* m_;
  Dim past_length_;
};

/// A decoder of text with the tasks that its family has, each of text-generation and feature-extraction with and
/// without the cache. Heads are given the last hidden states (batch_size, sequence_length, hidden_size) and return
/// logits, as those of TextEncoder.
struct TextDecoder {
  using Head = std::function<Tensor(ModelBuilder&, Tensor hidden_states)>;

  std::string model_type;
  std::string base_model_prefix;
  std::string class_prefix;  ///< "Llama" of LlamaForCausalLM
  /// In the order of the HF class' forward signature. "past_key_values" stands for the cache of all layers;
  /// classification has neither it nor position_ids.
  std::vector<std::string> inputs{"input_ids", "attention_mask", "position_ids", "past_key_values"};
  std::function<CacheShape(const Config&)> cache_shape{};
  std::function<Tensor(ModelBuilder&, DecoderState&)> decode{};
  std::map<std::string, Head> heads{};               ///< by task without "-with-past"; feature-extraction needs none
  std::map<std::string, std::string> class_names{};  ///< by task, where not the usual suffix of class_prefix
  std::vector<WeightStore::Alias> aliases{};
  Json::Object defaults{};  ///< see Architecture
};

void register_text_decoder(Registry& registry, TextDecoder decoder);

/// Heads that several families share.
namespace heads {

/// `lm_head`, or the word embedding unless tie_word_embeddings is false.
Tensor causal_lm(ModelBuilder& m, Tensor hidden_states, Weights embedding, bool tied_by_default = true);
/// Hidden state of the last token of each row that is not pad_token_id: (batch, hidden_size).
Tensor last_token(ModelBuilder& m, Tensor hidden_states);
/// num_labels logits by the linear layer `score` on the last token, as GPT2ForSequenceClassification.
Tensor last_token_classifier(ModelBuilder& m, Tensor hidden_states);

}  // namespace heads
}  // namespace onnxport
