#include "architectures/text/decoder_common.h"

#include "architectures/text/text_encoder_common.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

const Dim batch_size = Dim::symbol("batch_size");
const Dim sequence_length = Dim::symbol("sequence_length");
const Dim past_sequence_length = Dim::symbol("past_sequence_length");
constexpr std::string_view with_past = "-with-past";

bool remembers(std::string_view task) { return task.ends_with(with_past); }

std::string without_past(std::string_view task) {
  return std::string(remembers(task) ? task.substr(0, task.size() - with_past.size()) : task);
}

std::vector<InputSpec> input_specs(const TextDecoder& decoder, const Config& config, const std::string& task) {
  // As Optimum has it: only generation is given a past, and only it and feature-extraction are given positions.
  const bool has_past = task == "text-generation-with-past";
  const std::string base = without_past(task);
  const bool has_positions = base == "text-generation" || base == "feature-extraction";
  std::vector<InputSpec> specs;
  for (const std::string& name : decoder.inputs) {
    if (name == "past_key_values") {
      const CacheShape shape = decoder.cache_shape(config);
      for (std::int64_t i = 0; has_past && i < shape.num_layers; ++i)
        append_past_inputs(specs, std::to_string(i), shape, past_sequence_length);
    } else if (name == "attention_mask" && has_past) {
      specs.push_back({name, DataType::Int64, {batch_size, past_sequence_length + sequence_length}});
    } else if (name != "position_ids" || has_positions) {
      specs.push_back({name, DataType::Int64, {batch_size, sequence_length}});
    }
  }
  return specs;
}

std::vector<OutputSpec> output_specs(const TextDecoder& decoder, const Config& config, const std::string& task) {
  const std::map<int, Dim> of_tokens{{0, batch_size}, {1, sequence_length}};
  const std::string base = without_past(task);
  std::vector<OutputSpec> specs{{base == "feature-extraction" ? "last_hidden_state" : "logits", of_tokens}};
  if (base == "text-classification") specs.front().axes.erase(1);
  if (base == "question-answering") specs = {{"start_logits", of_tokens}, {"end_logits", of_tokens}};
  const Dim whole = Dim::symbol(past_sequence_length.to_string() + " + " + sequence_length.to_string());
  if (remembers(task))
    for (std::int64_t i = 0; i < decoder.cache_shape(config).num_layers; ++i)
      append_present_outputs(specs, std::to_string(i), whole);
  return specs;
}

void build(const TextDecoder& decoder, ModelBuilder& m) {
  DecoderState state(m);
  const Tensor hidden_states = decoder.decode(m, state);
  const std::string task = without_past(m.task);
  if (task != "feature-extraction") m.offer("last_hidden_state", [hidden_states] { return hidden_states; });
  if (task == "feature-extraction") {
    m.output("last_hidden_state", hidden_states);
  } else if (task == "question-answering") {
    const Tensor logits = decoder.heads.at(task)(m, hidden_states);
    m.output("start_logits", ops::select(logits, -1, 0));
    m.output("end_logits", ops::select(logits, -1, 1));
  } else {
    m.output("logits", decoder.heads.at(task)(m, hidden_states));
  }
  if (remembers(m.task)) state.cache.write_outputs();
}

std::string class_name_of(const TextDecoder& decoder, const std::string& task) {
  static const std::map<std::string, std::string> suffixes{{"feature-extraction", "Model"},
                                                           {"question-answering", "ForQuestionAnswering"},
                                                           {"text-classification", "ForSequenceClassification"},
                                                           {"text-generation", "ForCausalLM"},
                                                           {"token-classification", "ForTokenClassification"}};
  const auto own = decoder.class_names.find(task);
  return own != decoder.class_names.end() ? own->second : decoder.class_prefix + suffixes.at(task);
}

}  // namespace

DecoderState::DecoderState(ModelBuilder& m)
    : cache(m, past_sequence_length),
      m_(&m),
      past_length_(m.input("attention_mask").dim(1) - m.input("input_ids").dim(1)) {}

Tensor DecoderState::position_ids() const {
  if (m_->has_input("position_ids")) return m_->input("position_ids");
  const ScopeGuard scope(m_->graph(), "position_ids");
  return ops::unsqueeze(ops::range(m_->graph(), past_length_, m_->input("input_ids").dim(1)), 0);
}

Tensor DecoderState::causal_bias(std::optional<std::int64_t> window) const {
  const ScopeGuard scope(m_->graph(), "causal_mask");
  const Tensor attention_mask = m_->input("attention_mask");
  const Tensor keys = ops::unsqueeze(ops::range(m_->graph(), 0, attention_mask.dim(1)), 0);
  const Tensor queries = ops::unsqueeze(ops::range(m_->graph(), past_length_, m_->input("input_ids").dim(1)), 1);
  Tensor visible = ops::less_equal(keys, queries);
  if (window) visible = ops::logical_and(visible, ops::greater(keys, queries - static_cast<double>(*window)));
  const Tensor real = ops::unsqueeze(ops::unsqueeze(ops::cast(attention_mask, DataType::Bool), 1), 1);
  const Tensor zero = m_->graph().add_scalar(DataType::Float32, 0.0);
  return ops::where(ops::logical_and(visible, real), zero, nn::lowest);
}

Tensor DecoderState::attention(std::int64_t layer, Tensor query, const KeyValue& added, Tensor bias,
                               std::optional<double> scale) {
  const KeyValue whole = cache.extend(std::to_string(layer), added);
  return nn::attention_of_heads(query, whole.key, whole.value, bias, scale);
}

void register_text_decoder(Registry& registry, TextDecoder decoder) {
  Architecture architecture{decoder.model_type, decoder.base_model_prefix, {}, decoder.aliases, decoder.defaults};
  decoder.heads.try_emplace("feature-extraction");
  for (const auto& [base, head] : decoder.heads) {
    std::vector<std::string> tasks{base};
    if (base == "feature-extraction" || base == "text-generation") tasks.push_back(base + std::string(with_past));
    for (const std::string& task : tasks)
      architecture.tasks.push_back({task, class_name_of(decoder, base), [decoder, task](const Config& config) {
                                      return std::vector<Submodel>{{"model", input_specs(decoder, config, task),
                                                                    [decoder](ModelBuilder& m) { build(decoder, m); },
                                                                    output_specs(decoder, config, task)}};
                                    }});
  }
  registry.add(std::move(architecture));
}

namespace heads {

Tensor causal_lm(ModelBuilder& m, Tensor hidden_states, Weights embedding, bool tied_by_default) {
  const bool tied = m.config.boolean("tie_word_embeddings", tied_by_default);
  const Weights decoder = m.root() / "lm_head";
  const auto scope = decoder.scope();
  decoder.idle();
  return ops::linear(hidden_states, (tied ? embedding : decoder)["weight"], decoder.find("bias"));
}

Tensor last_token(ModelBuilder& m, Tensor hidden_states) {
  if (!m.config.has("pad_token_id"))
    throw Error(ErrorKind::InvalidArgument,
                "config.json has no pad_token_id, which tells a sequence's last token from padding; please provide it "
                "with --pad_token_id");
  const Tensor input_ids = m.input("input_ids");
  const Dim &batch = input_ids.dim(0), &length = input_ids.dim(1);
  const Tensor padding = ops::equal(input_ids, static_cast<double>(m.config.integer("pad_token_id")));
  const Tensor real = ops::cast(ops::logical_not(padding), DataType::Int64);
  const Tensor last = ops::reduce_max(real * ops::range(m.graph(), 0, length), {1}, false);
  const Tensor rows = ops::range(m.graph(), 0, batch) * ops::size(m.graph(), length) + last;
  return ops::gather(ops::reshape(hidden_states, {batch * length, hidden_states.dim(2)}), rows);
}

Tensor last_token_classifier(ModelBuilder& m, Tensor hidden_states) {
  const Weights w = m.root() / "score";
  w.expect("weight", {num_labels(m.config), hidden_states.dim(-1).constant()});
  return nn::linear(last_token(m, hidden_states), w);
}

}  // namespace heads
}  // namespace onnxport
