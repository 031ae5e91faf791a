#include "architectures/text/seq2seq_common.h"

#include <optional>

namespace onnxport {
namespace {

const Dim batch_size = Dim::symbol("batch_size");
const Dim encoder_length = Dim::symbol("encoder_sequence_length");
const Dim decoder_length = Dim::symbol("decoder_sequence_length");
const Dim past_length = Dim::symbol("past_decoder_sequence_length");

std::string self_name(std::int64_t layer) { return std::to_string(layer) + ".decoder"; }
std::string cross_name(std::int64_t layer) { return std::to_string(layer) + ".encoder"; }

InputSpec ids(const std::string& name, const Dim& length) { return {name, DataType::Int64, {batch_size, length}}; }

/// A decoder's task: what it gives, and whether it remembers.
struct Decoding {
  bool logits = true;
  bool cache = false;
};

/// What encoder and decoder both have is called after them, as in transformers' Seq2SeqModelOutput.
void name_series(ModelBuilder& m, const std::string& part) {
  for (const char* series : {"hidden_states", "attentions"}) m.graph().rename_series(series, part + "_" + series);
}

Tensor encode(const Seq2Seq& model, ModelBuilder& m) {
  const Tensor hidden_states = model.encode(m);
  name_series(m, "encoder");
  return hidden_states;
}

Tensor decode(const Seq2Seq& model, const Decoding& decoding, ModelBuilder& m, Seq2SeqState& state) {
  const Tensor hidden_states = model.decode(m, state);
  name_series(m, "decoder");
  return decoding.logits ? model.lm_head(m, hidden_states) : hidden_states;
}

std::string output_name(const Decoding& decoding) { return decoding.logits ? "logits" : "last_hidden_state"; }

OutputSpec states(const std::string& name, const Dim& length) { return {name, {{0, batch_size}, {1, length}}}; }

/// The first of them, then the cache: of the encoder only where it is made.
std::vector<OutputSpec> decoder_outputs(OutputSpec first, const std::optional<CacheShape>& cache, bool with_encoder) {
  std::vector<OutputSpec> outputs{std::move(first)};
  const Dim whole = Dim::symbol(past_length.to_string() + " + " + decoder_length.to_string());
  for (std::int64_t i = 0; cache && i < cache->num_layers; ++i) {
    append_present_outputs(outputs, self_name(i), whole);
    if (with_encoder) append_present_outputs(outputs, cross_name(i), encoder_length);
  }
  return outputs;
}

Submodel encoder_model(const Seq2Seq& model) {
  return {"encoder_model",
          {ids("input_ids", encoder_length), ids("attention_mask", encoder_length)},
          [model](ModelBuilder& m) { m.output("last_hidden_state", encode(model, m)); },
          {states("last_hidden_state", encoder_length)}};
}

/// The first step of generation, or all of it without a cache.
Submodel decoder_model(const Seq2Seq& model, const Decoding& decoding, std::int64_t hidden_size,
                       const std::optional<CacheShape>& cache) {
  return {"decoder_model",
          {ids("encoder_attention_mask", encoder_length),
           ids("input_ids", decoder_length),
           {"encoder_hidden_states", DataType::Float32, {batch_size, encoder_length, hidden_size}}},
          [model, decoding](ModelBuilder& m) {
            Seq2SeqState state(m);
            m.output(output_name(decoding), decode(model, decoding, m, state));
            if (decoding.cache) state.cache.write_outputs();
          },
          decoder_outputs(states(output_name(decoding), decoder_length), cache, true)};
}

/// Later steps, of one token each as Optimum declares the output; the encoder's keys and values stay as they are.
Submodel decoder_with_past_model(const Seq2Seq& model, const Decoding& decoding, const CacheShape& shape) {
  std::vector<InputSpec> inputs{ids("encoder_attention_mask", encoder_length), ids("input_ids", decoder_length)};
  for (std::int64_t i = 0; i < shape.num_layers; ++i) {
    append_past_inputs(inputs, self_name(i), shape, past_length);
    append_past_inputs(inputs, cross_name(i), shape, encoder_length);
  }
  return {"decoder_with_past_model", std::move(inputs),
          [model, decoding](ModelBuilder& m) {
            Seq2SeqState state(m);
            const Tensor result = decode(model, decoding, m, state);
            m.output(output_name(decoding), result, {result.dim(0), 1, result.dim(2)});
            state.cache.write_outputs();
          },
          decoder_outputs({output_name(decoding), {{0, batch_size}}}, shape, false)};
}

/// Encoder and decoder in one file, without a cache.
Submodel whole_model(const Seq2Seq& model, const Decoding& decoding) {
  return {"model",
          {ids("input_ids", encoder_length),
           ids("attention_mask", encoder_length),
           ids("decoder_input_ids", decoder_length),
           {"decoder_attention_mask", DataType::Int64, {batch_size, decoder_length}, true}},
          [model, decoding](ModelBuilder& m) {
            const Tensor encoder_states = encode(model, m);
            m.offer("encoder_last_hidden_state", [encoder_states] { return encoder_states; });
            m.set_input("encoder_hidden_states", encoder_states);
            m.set_input("encoder_attention_mask", m.input("attention_mask"));
            m.set_input("input_ids", m.input("decoder_input_ids"));
            Seq2SeqState state(m);
            m.output(output_name(decoding), decode(model, decoding, m, state));
          },
          {states(output_name(decoding), decoder_length)}};
}

std::vector<Submodel> parts(const Seq2Seq& model, const Decoding& decoding, const Config& config) {
  const std::int64_t hidden_size = config.positive("d_model");
  std::optional<CacheShape> cache;
  if (decoding.cache) cache = model.cache_shape(config);
  std::vector<Submodel> submodels{encoder_model(model), decoder_model(model, decoding, hidden_size, cache)};
  if (cache) submodels.push_back(decoder_with_past_model(model, decoding, *cache));
  return submodels;
}

}  // namespace

Seq2SeqState::Seq2SeqState(ModelBuilder& m) : cache(m, past_length), m_(&m) {
  if (cache.has_past(self_name(0))) past_length_ = cache.past(self_name(0)).key.dim(2);
}

Tensor Seq2SeqState::query_positions() const {
  return ops::range(m_->graph(), past_length_, m_->input("input_ids").dim(1));
}

Tensor Seq2SeqState::key_positions() const {
  return ops::range(m_->graph(), 0, past_length_ + m_->input("input_ids").dim(1));
}

Tensor Seq2SeqState::causal_bias() const {
  const ScopeGuard scope(m_->graph(), "causal_mask");
  Tensor visible = ops::less_equal(ops::unsqueeze(key_positions(), 0), ops::unsqueeze(query_positions(), 1));
  if (m_->has_input("decoder_attention_mask")) {
    const Tensor real = ops::cast(m_->input("decoder_attention_mask"), DataType::Bool);
    visible = ops::logical_and(visible, ops::unsqueeze(ops::unsqueeze(real, 1), 1));
  }
  return ops::where(visible, m_->graph().add_scalar(DataType::Float32, 0.0), nn::lowest);
}

Tensor Seq2SeqState::self_attention(std::int64_t layer, Tensor query, const KeyValue& added, Tensor bias,
                                    std::optional<double> scale) {
  const KeyValue whole = cache.extend(self_name(layer), added);
  return nn::attention_of_heads(query, whole.key, whole.value, bias, scale);
}

Tensor Seq2SeqState::cross_attention(std::int64_t layer, Tensor query,
                                     const std::function<KeyValue(Tensor states)>& project, Tensor bias,
                                     std::optional<double> scale) {
  const std::string name = cross_name(layer);
  const bool known = cache.has_past(name);
  const KeyValue states = known ? cache.past(name) : project(m_->input("encoder_hidden_states"));
  if (!known) cache.keep(name, states);
  return nn::attention_of_heads(query, states.key, states.value, bias, scale, "cross_attentions");
}

void register_seq2seq(Registry& registry, Seq2Seq model) {
  const auto class_name = [&](const std::string& task, const std::string& suffix) {
    const auto own = model.class_names.find(task);
    return own != model.class_names.end() ? own->second : model.class_prefix + suffix;
  };
  const std::string generation_class = class_name("text2text-generation", "ForConditionalGeneration");
  const std::string base_class = class_name("feature-extraction", "Model");
  const auto decoding_task = [&](std::string task, std::string class_of, Decoding decoding) {
    return TaskDefinition{std::move(task), std::move(class_of),
                          [model, decoding](const Config& config) { return parts(model, decoding, config); }};
  };
  Architecture architecture{model.model_type, model.base_model_prefix, {}, model.aliases, model.defaults};
  const auto whole_task = [&](std::string task, std::string class_of, Decoding decoding) {
    return TaskDefinition{std::move(task), std::move(class_of), [model, decoding](const Config&) {
                            return std::vector<Submodel>{whole_model(model, decoding)};
                          }};
  };
  architecture.monolithic_tasks = {whole_task("text2text-generation", generation_class, {.logits = true})};
  architecture.tasks = {
      whole_task("feature-extraction", base_class, {.logits = false}),
      decoding_task("feature-extraction-with-past", base_class, {.logits = false, .cache = true}),
      decoding_task("text2text-generation", generation_class, {.logits = true, .cache = false}),
      decoding_task("text2text-generation-with-past", generation_class, {.logits = true, .cache = true})};
  registry.add(std::move(architecture));
}

}  // namespace onnxport
