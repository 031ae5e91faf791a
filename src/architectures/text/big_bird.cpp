// BigBird (Zaheer et al., 2020): HF's BigBirdModel and its heads.
//
// Its block-sparse attention holds for lengths beyond (5 + 2 * num_random_blocks) * block_size only; shorter sequences
// have full attention. Outside of training, transformers draws no random blocks: all of them are the first block. So
// the pattern depends on the length alone, and one graph holds for every length: attention with a bias that is computed
// once from the length. It is exact, but takes memory and time for all pairs of tokens, where the block-sparse
// computation is linear in the length. transformers itself stays with full attention after the first short sequence
// that a model object sees; here, as in a fresh object, each call counts for itself.
#include <cmath>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor embeddings(ModelBuilder& m, Weights w) {
  require_absolute_positions(m.config);
  const bool rescale = m.config.boolean("rescale_embeddings", false);
  const double scale = rescale ? std::sqrt(static_cast<double>(m.config.positive("hidden_size"))) : 1.0;
  const Tensor x = embedding_sum(m, w, std::nullopt, scale);
  return nn::layer_norm(x, w / "LayerNorm", m.config.number("layer_norm_eps", 1e-12));
}

/// What the attention of all layers depends on.
struct Masks {
  Tensor bias;                      ///< broadcasts to (batch, heads, length, length)
  std::optional<Tensor> context{};  ///< (batch, length, 1): 0 where block-sparse attention sets the context to zero
};

/// The pattern as a bias (length, length), 0 everywhere if the sequence is short. A pair of blocks is attended to if
/// they are neighbours or one of them is the first or last. The first block counts once more for each random block,
/// which is a factor in the softmax; not so for the queries of the first and last block, which attend to all.
Tensor block_pattern(ModelBuilder& m, Tensor is_long) {
  const Dim& length = m.input("input_ids").dim(1);
  const std::int64_t block_size = m.config.positive("block_size", 64);
  const Tensor block = ops::range(m.graph(), 0, length) / static_cast<double>(block_size);
  const Tensor last = ops::size(m.graph(), floor_div(length - 1, block_size));
  const Tensor is_first = ops::equal(block, 0.0);
  const Tensor is_global = ops::logical_or(is_first, ops::equal(block, last));
  const Tensor query_is_global = ops::unsqueeze(is_global, 1);
  const Tensor is_near = ops::less(ops::abs(ops::unsqueeze(block, 1) - block), 2.0);
  const Tensor attended = ops::logical_or(ops::logical_or(is_near, is_global), query_is_global);
  const Tensor repeated = ops::logical_and(ops::logical_and(is_first, is_long), ops::logical_not(query_is_global));
  const double copies = 1.0 + static_cast<double>(m.config.integer("num_random_blocks", 3));
  const Tensor weight = ops::cast(repeated, DataType::Float32) * std::log(copies);
  return ops::where(ops::logical_or(attended, ops::logical_not(is_long)), weight, nn::lowest);
}

Masks attention_masks(ModelBuilder& m) {
  const Tensor attention_mask = m.input("attention_mask");
  const Tensor padding = nn::attention_bias(attention_mask);
  const std::string type = m.config.string("attention_type", "block_sparse");
  if (type == "original_full") return {padding};
  if (type != "block_sparse") m.config.unsupported("attention_type");
  const ScopeGuard scope(m.graph(), "block_sparse");
  const std::int64_t blocks = 5 + 2 * m.config.integer("num_random_blocks", 3);
  const Tensor is_long = ops::greater(ops::size(m.graph(), attention_mask.dim(1)),
                                      static_cast<double>(blocks * m.config.positive("block_size", 64)));
  const Tensor keep = ops::logical_or(ops::greater(attention_mask, 0.0), ops::logical_not(is_long));
  return {.bias = ops::maximum(block_pattern(m, is_long) + padding, nn::lowest),
          .context = ops::unsqueeze(ops::cast(keep, DataType::Float32), 2)};
}

/// Ones at the question, which ends with the first separator: (batch, length) of bool.
Tensor is_question(ModelBuilder& m) {
  const Tensor input_ids = m.input("input_ids");
  const double separator = static_cast<double>(m.config.integer("sep_token_id", 66));
  const Tensor end = ops::arg_max(ops::cast(ops::equal(input_ids, separator), DataType::Int64), 1);
  return ops::less_equal(nn::position_ids(input_ids), ops::unsqueeze(end, 1));
}

Tensor encode(ModelBuilder& m) {
  if (m.task == "question-answering") {
    m.set_input("token_type_ids", ops::cast(ops::logical_not(is_question(m)), DataType::Int64));
  } else {
    (m.base() / "pooler").idle();  // which the other classes have, whether they use it or not
  }
  const Masks masks = attention_masks(m);
  return bert_encoder(m, m.base() / "encoder", embeddings(m, m.base() / "embeddings"), [&](Weights self, Tensor x) {
    // The probabilities of blocks that transformers gives are others.
    const Tensor context = bert_self_attention(m, self, x, masks.bias, masks.context ? "" : nn::attentions);
    return masks.context ? context * *masks.context : context;
  });
}

/// BigBirdForQuestionAnsweringHead; the question is no answer, except for its first token.
Tensor question_answering(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "qa_classifier";
  const Tensor is_not_first = ops::greater(nn::position_ids(m.input("input_ids")), 0.0);
  const Tensor excluded = ops::cast(ops::logical_and(is_question(m), is_not_first), DataType::Float32);
  return nn::linear(bert_feed_forward(m, w, x), w / "qa_outputs") - ops::unsqueeze(excluded * 1e6, 2);
}

/// BigBirdClassificationHead: RoBERTa's with the activation of the layers.
Tensor text_classification(ModelBuilder& m, Tensor x) {
  return heads::dense_classifier_with(m.config.string("hidden_act"), m, x);
}

/// The pooler has no scope of its own: `pooler` is its linear layer.
Tensor pooler(ModelBuilder& m, Tensor x) { return ops::tanh(nn::linear(heads::first_token(x), m.base() / "pooler")); }

Tensor multiple_choice(ModelBuilder& m, Tensor x) { return nn::linear(pooler(m, x), m.root() / "classifier"); }

}  // namespace

void register_big_bird(Registry& registry) {
  register_text_encoder(registry, {.model_type = "big_bird",
                                   .base_model_prefix = "bert",
                                   .class_prefix = "BigBird",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .encode = encode,
                                   .heads = {{"fill-mask", bert_masked_lm},
                                             {"multiple-choice", multiple_choice},
                                             {"question-answering", question_answering},
                                             {"text-classification", text_classification},
                                             {"token-classification", heads::token_classifier}},
                                   .pooler = pooler,
                                   .defaults = {{"vocab_size", 50358}, {"hidden_act", "gelu_new"}}});
}

}  // namespace onnxport
