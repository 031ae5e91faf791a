#include "architectures/text/deberta_layers.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include "architectures/text/bert_layers.h"

namespace onnxport {
namespace {

/// pos_att_type as a list; in older configs it is one string, "c2p|p2c".
std::vector<std::string> position_attention_types(const Config& config) {
  const Json* value = config.json().find("pos_att_type");
  std::vector<std::string> types;
  if (value && value->is_string()) {
    std::string type;
    for (const char c : value->string() + "|") {
      if (c != '|') {
        if (c != ' ') type += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      } else {
        types.push_back(std::exchange(type, {}));
      }
    }
  } else {
    types = config.optional_strings("pos_att_type").value_or(types);
  }
  for (const std::string& type : types)
    if (type != "c2p" && type != "p2c") config.unsupported("pos_att_type");
  return types;
}

/// DebertaEmbeddings.
Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "word_embeddings").expect_rows("weight", m.config.positive("vocab_size"));
  Tensor x = nn::embedding(input_ids, w / "word_embeddings");
  m.base().idle("position_embeddings.weight");
  if (m.config.boolean("position_biased_input", true))
    x = x + ops::slice((w / "position_embeddings")["weight"], 0, 0, input_ids.dim(1));
  if (m.config.integer("type_vocab_size", 0) > 0)
    x = x + nn::embedding(m.input("token_type_ids"), w / "token_type_embeddings");
  const std::int64_t hidden_size = m.config.positive("hidden_size");
  if (m.config.positive("embedding_size", hidden_size) != hidden_size) x = nn::linear(x, w / "embed_proj");
  return deberta_mask(m, nn::layer_norm(x, w / "LayerNorm", m.config.number("layer_norm_eps")));
}

/// A projection of the relative embeddings (2 * span, hidden_size) as the table of ops::relative_scores. The model has
/// no row for the position `span`: it takes that of span - 1. With `mirrored`, positions count the other way round. All
/// of it is constant, so it is computed when the model is loaded.
Tensor position_table(Tensor projection, std::int64_t num_heads, bool mirrored) {
  const std::int64_t rows = projection.dim(0).constant();
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i <= rows; ++i) order.push_back(std::min(mirrored ? rows - i : i, rows - 1));
  const Tensor indices = projection.graph().add_constant(Array::int64({1, rows + 1}, order));
  return nn::split_heads(ops::gather(projection, indices), num_heads);
}

/// DisentangledSelfAttention: the scores of content and content, content and position, position and content.
ops::AttentionResult disentangled_attention(ModelBuilder& m, const DebertaEncoder& encoder,
                                            const DisentangledProjections& of, Tensor bias) {
  const std::int64_t num_heads = m.config.positive("num_attention_heads");
  Tensor query = nn::split_heads(of.query, num_heads);
  const Tensor key = nn::split_heads(of.key, num_heads);
  const double terms = 1.0 + attends(m.config, "c2p") + attends(m.config, "p2c");
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.dim(3).constant()) * terms);
  query = query * scale;
  const std::vector<std::int64_t> buckets = encoder.buckets ? encoder.buckets(m) : std::vector<std::int64_t>{};
  if (of.position_key) {
    const Tensor table = position_table(*of.position_key, num_heads, false);
    bias = ops::relative_scores(query, table, buckets) + bias;
  }
  if (of.position_query) {
    // Rows of these scores are keys: the transposed ones belong to queries.
    const Tensor table = position_table(*of.position_query * scale, num_heads, true);
    bias = ops::swap_axes(ops::relative_scores(key, table, buckets), 2, 3) + bias;
  }
  return ops::attention_with_probabilities(query, key, nn::split_heads(of.value, num_heads),
                                           {.scale = 1.0F, .bias = bias});
}

/// DebertaOnlyMLMHead, or the one that transformers had first and that `legacy` asks for: BERT's.
Tensor masked_lm(ModelBuilder& m, Tensor x) {
  if (m.config.boolean("legacy", true)) return bert_masked_lm(m, x);
  const Weights w = m.root() / "lm_predictions.lm_head";
  x = prediction_transform(m, x, w, m.config.string("hidden_act", "gelu"));
  return ops::linear(x, (m.base() / "embeddings.word_embeddings")["weight"], w["bias"]);
}

Tensor text_classification(ModelBuilder& m, Tensor x) { return heads::classifier(m, deberta_pooler(m, x)); }

std::vector<std::string> inputs_of(const Config& config, std::string_view) {
  std::vector<std::string> names{"input_ids", "attention_mask"};
  if (config.integer("type_vocab_size", 0) > 0) names.emplace_back("token_type_ids");
  return names;
}

}  // namespace

bool attends(const Config& config, std::string_view kind) {
  const std::vector<std::string> types = position_attention_types(config);
  return std::find(types.begin(), types.end(), kind) != types.end();
}

std::int64_t max_relative_positions(const Config& config) {
  const std::int64_t positions = config.integer("max_relative_positions", -1);
  return positions < 1 ? config.positive("max_position_embeddings", 512) : positions;
}

Tensor deberta_mask(ModelBuilder& m, Tensor x) {
  return x * ops::unsqueeze(ops::cast(m.input("attention_mask"), DataType::Float32), 2);
}

Tensor deberta_encode(ModelBuilder& m, const DebertaEncoder& encoder) {
  const Weights w = m.base() / "encoder";
  const Tensor embedded = embeddings(m, m.base() / "embeddings");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  const Tensor is_token = ops::unsqueeze(ops::greater(m.input("attention_mask"), 0.0), 2);
  std::optional<Tensor> relative;
  if (m.config.boolean("relative_attention", false)) {
    relative = (w / "rel_embeddings")["weight"];
    if (encoder.normalize_relative) relative = encoder.normalize_relative(m, w, *relative);
  }
  const auto attention = [&](Weights self, Tensor x) {
    const auto scope = self.scope();
    const DisentangledProjections of = encoder.project(m, self, x, relative);
    const ops::AttentionResult result = disentangled_attention(m, encoder, of, bias);
    // Padding attends to nothing: a softmax of equal scores, which is the mean of the values.
    const Tensor share = 1.0 / ops::cast(ops::size(m.graph(), x.dim(1)), DataType::Float32);
    m.graph().record(nn::attentions, ops::where(ops::unsqueeze(is_token, 1), result.probabilities, share));
    return ops::where(is_token, nn::merge_heads(result.context), ops::reduce_mean(of.value, {1}));
  };
  Tensor x = embedded;
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i) {
    x = bert_layer(m, w / "layer" / i, m.hidden_state(x), attention);
    if (i == 0 && encoder.after_first_layer) x = encoder.after_first_layer(m, w, embedded, x);
  }
  return m.hidden_state(x);
}

Tensor deberta_pooler(ModelBuilder& m, Tensor hidden_states) {
  const Tensor x = nn::linear(heads::first_token(hidden_states), m.root() / "pooler.dense");
  return nn::activation(m.config.string("pooler_hidden_act", "gelu"), x);
}

TextEncoder deberta_family(std::string model_type, std::string class_prefix, const DebertaEncoder& encoder) {
  return {.model_type = std::move(model_type),
          .base_model_prefix = "deberta",
          .class_prefix = std::move(class_prefix),
          .encode = [encoder](ModelBuilder& m) { return deberta_encode(m, encoder); },
          .heads = {{"fill-mask", masked_lm},
                    {"question-answering", heads::question_answering},
                    {"text-classification", text_classification},
                    {"token-classification", heads::token_classifier}},
          .inputs_of = inputs_of,
          .defaults = {{"layer_norm_eps", 1e-7}}};
}

}  // namespace onnxport
