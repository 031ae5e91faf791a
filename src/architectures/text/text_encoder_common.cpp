#include "architectures/text/text_encoder_common.h"

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport {
namespace {

const Dim batch_size = Dim::symbol("batch_size");
const Dim num_choices = Dim::symbol("num_choices");
const Dim sequence_length = Dim::symbol("sequence_length");

std::vector<InputSpec> input_specs(const TextEncoder& encoder, const Config& config, const std::string& task) {
  const Shape shape =
      task == "multiple-choice" ? Shape{batch_size, num_choices, sequence_length} : Shape{batch_size, sequence_length};
  std::vector<InputSpec> specs;
  for (const std::string& name : encoder.inputs_of ? encoder.inputs_of(config, task) : encoder.inputs)
    specs.push_back({name, DataType::Int64, shape});
  return specs;
}

std::vector<OutputSpec> output_specs(const std::string& task) {
  const std::map<int, Dim> of_tokens{{0, batch_size}, {1, sequence_length}};
  if (task == "feature-extraction") return {{"last_hidden_state", of_tokens}};
  if (task == "multiple-choice") return {{"logits", {{0, batch_size}, {1, num_choices}}}};
  if (task == "question-answering") return {{"start_logits", of_tokens}, {"end_logits", of_tokens}};
  if (task == "text-classification") return {{"logits", {{0, batch_size}}}};
  return {{"logits", of_tokens}};
}

/// The last hidden states, which every task may give beside its own outputs.
Tensor encode(const TextEncoder& encoder, ModelBuilder& m) {
  const Tensor hidden_states = encoder.encode(m);
  if (m.task != "feature-extraction") m.offer("last_hidden_state", [hidden_states] { return hidden_states; });
  return hidden_states;
}

void build_feature_extraction(const TextEncoder& encoder, ModelBuilder& m) {
  if (encoder.has_pooler) (m.base() / "pooler").idle();
  const Tensor hidden_states = encode(encoder, m);
  m.output("last_hidden_state", hidden_states);
  if (encoder.pooler) {
    m.offer("pooler_output", [&m, hidden_states, pooler = encoder.pooler] { return pooler(m, hidden_states); });
  } else if (encoder.has_pooler) {
    m.offer("pooler_output", [&m, hidden_states] { return heads::pooler(hidden_states, m.base() / "pooler"); });
  }
}

void build_multiple_choice(const TextEncoder& encoder, ModelBuilder& m) {
  Shape choices;
  for (const InputSpec& spec : input_specs(encoder, m.config, m.task)) {
    const Tensor input = m.input(spec.name);
    choices = {input.dim(0), input.dim(1)};
    m.set_input(spec.name, ops::reshape(input, {input.dim(0) * input.dim(1), input.dim(2)}));
  }
  m.output("logits", ops::reshape(encoder.heads.at(m.task)(m, encode(encoder, m)), choices));
}

void build_question_answering(const TextEncoder& encoder, ModelBuilder& m) {
  const Tensor logits = encoder.heads.at(m.task)(m, encode(encoder, m));
  m.output("start_logits", ops::select(logits, -1, 0));
  m.output("end_logits", ops::select(logits, -1, 1));
}

void build(const TextEncoder& encoder, ModelBuilder& m) {
  if (m.config.boolean("is_decoder", false)) m.config.unsupported("is_decoder");
  if (m.task == "feature-extraction") return build_feature_extraction(encoder, m);
  if (m.task == "multiple-choice") return build_multiple_choice(encoder, m);
  if (m.task == "question-answering") return build_question_answering(encoder, m);
  m.output("logits", encoder.heads.at(m.task)(m, encode(encoder, m)));
}

/// BERT's, and those of most config classes after it. `own` are those of the model type.
Json::Object with_common_defaults(Json::Object own) {
  const Json::Object common{{"vocab_size", 30522},
                            {"hidden_size", 768},
                            {"num_hidden_layers", 12},
                            {"num_attention_heads", 12},
                            {"max_position_embeddings", 512}};
  const auto is_stated = [&](const Json::Member& member) {
    return std::any_of(own.begin(), own.end(), [&](const Json::Member& other) { return other.first == member.first; });
  };
  for (const Json::Member& member : common)
    if (!is_stated(member)) own.push_back(member);
  return own;
}

std::string class_name_of(const TextEncoder& encoder, const std::string& task) {
  static const std::map<std::string, std::string> suffixes{{"feature-extraction", "Model"},
                                                           {"fill-mask", "ForMaskedLM"},
                                                           {"multiple-choice", "ForMultipleChoice"},
                                                           {"question-answering", "ForQuestionAnswering"},
                                                           {"text-classification", "ForSequenceClassification"},
                                                           {"token-classification", "ForTokenClassification"}};
  const auto own = encoder.class_names.find(task);
  return own != encoder.class_names.end() ? own->second : encoder.class_prefix + suffixes.at(task);
}

}  // namespace

void register_text_encoder(Registry& registry, TextEncoder encoder) {
  Architecture architecture{
      encoder.model_type, encoder.base_model_prefix, {}, encoder.aliases, with_common_defaults(encoder.defaults)};
  encoder.heads.try_emplace("feature-extraction");
  for (const auto& [task, head] : encoder.heads)
    architecture.tasks.push_back({task, class_name_of(encoder, task), [encoder, task = task](const Config& config) {
                                    return std::vector<Submodel>{{"model", input_specs(encoder, config, task),
                                                                  [encoder](ModelBuilder& m) { build(encoder, m); },
                                                                  output_specs(task)}};
                                  }});
  registry.add(std::move(architecture));
}

namespace heads {

Tensor first_token(Tensor hidden_states) { return ops::select(hidden_states, 1, 0); }

std::int64_t num_labels(const Config& config) {
  if (const auto labels = config.optional_section("id2label"))
    return static_cast<std::int64_t>(labels->json().object().size());
  return config.positive("num_labels", 2);
}

Tensor classifier(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "classifier";
  if (x.dim(-1).is_constant()) w.expect("weight", {num_labels(m.config), x.dim(-1).constant()});
  return nn::linear(x, w);
}

Tensor pooler(Tensor hidden_states, Weights w) {
  const auto scope = w.scope();
  return ops::tanh(nn::linear(first_token(hidden_states), w / "dense"));
}

Tensor pooled_classifier(ModelBuilder& m, Tensor hidden_states) {
  return classifier(m, pooler(hidden_states, m.base() / "pooler"));
}

Tensor pooled_choice(ModelBuilder& m, Tensor hidden_states) {
  return nn::linear(pooler(hidden_states, m.base() / "pooler"), m.root() / "classifier");
}

Tensor pre_classifier(ModelBuilder& m, Tensor hidden_states) {
  return ops::relu(nn::linear(first_token(hidden_states), m.root() / "pre_classifier"));
}

std::map<std::string, TextEncoder::Head> pooled(TextEncoder::Head masked_lm) {
  return {{"fill-mask", std::move(masked_lm)},
          {"multiple-choice", pooled_choice},
          {"question-answering", question_answering},
          {"text-classification", pooled_classifier},
          {"token-classification", token_classifier}};
}

Tensor token_classifier(ModelBuilder& m, Tensor hidden_states) { return classifier(m, hidden_states); }

Tensor question_answering(ModelBuilder& m, Tensor hidden_states) {
  return nn::linear(hidden_states, m.root() / "qa_outputs");
}

Tensor dense_classifier(ModelBuilder& m, Tensor hidden_states) {
  return dense_classifier_with("tanh", m, hidden_states);
}

Tensor dense_classifier_with(std::string_view activation, ModelBuilder& m, Tensor hidden_states) {
  const Weights w = m.root() / "classifier";
  w.expect_rows("out_proj.weight", num_labels(m.config));
  const auto scope = w.scope();
  return nn::linear(nn::activation(activation, nn::linear(first_token(hidden_states), w / "dense")), w / "out_proj");
}

Tensor sequence_summary(ModelBuilder& m, Tensor hidden_states, Weights w, std::string_view default_activation) {
  const auto scope = w.scope();
  const std::string type = m.config.string("summary_type", "first");
  Tensor x = hidden_states;
  if (type == "first") {
    x = first_token(x);
  } else if (type == "last" || type == "cls_index") {  // without an index of its own, cls_index is the last token
    x = ops::select(x, 1, x.dim(1) - 1);
  } else if (type == "mean") {
    x = ops::reduce_mean(x, {1}, false);
  } else {
    m.config.unsupported("summary_type");
  }
  if (m.config.boolean("summary_use_proj", true)) x = nn::linear(x, w / "summary");
  const Json* activation = m.config.json().find("summary_activation");
  if (activation != nullptr && activation->is_null()) return x;  // null is no activation, absent is the default
  return nn::activation(m.config.string("summary_activation", default_activation), x);
}

Tensor vocabulary(ModelBuilder& m, Tensor x, Weights decoder, Tensor bias) {
  const bool tied = m.config.boolean("tie_word_embeddings", true);
  const Weights w = tied ? m.base() / "embeddings.word_embeddings" : decoder;
  const auto scope = decoder.scope();
  decoder.idle();
  return ops::linear(x, w.expect_rows("weight", m.config.positive("vocab_size")), bias);
}

Tensor vocabulary(ModelBuilder& m, Tensor x, Weights w) {
  w.idle("bias");
  return vocabulary(m, x, w / "decoder", w.has("bias") || !w.has("decoder.bias") ? w["bias"] : w["decoder.bias"]);
}

Tensor lm_head(ModelBuilder& m, Tensor hidden_states) {
  const Weights w = m.root() / "lm_head";
  const Tensor x = nn::activation("gelu", nn::linear(hidden_states, w / "dense"));
  return vocabulary(m, nn::layer_norm(x, w / "layer_norm", m.config.number("layer_norm_eps", 1e-12)), w);
}

}  // namespace heads
}  // namespace onnxport
