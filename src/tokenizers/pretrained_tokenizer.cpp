#include "tokenizers/pretrained_tokenizer.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/convert.h"
#include "tokenizers/pretrained_arguments.h"
#include "tokenizers/pretrained_text.h"

namespace onnxport {
namespace {

/// transformers' LARGE_INTEGER: a model_max_length beyond it counts as none.
constexpr double kLargeInteger = 1e20;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

/// Padding and truncation of one call, as _get_padding_truncation_strategies() decides on them.
struct CallSettings {
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;
};

CallSettings settings_of(const tokenizers::PretrainedState& state, const TokenizerCallOptions& options) {
  PaddingStrategy padding = options.padding;
  std::optional<TruncationStrategy> truncation = options.truncation;
  std::optional<std::size_t> max_length = options.max_length;
  std::optional<std::size_t> pad_to_multiple_of = options.pad_to_multiple_of;
  if (state.class_name == "SeamlessM4TTokenizer") {  // its call pads unless told otherwise
    if (padding == PaddingStrategy::DoNotPad) padding = PaddingStrategy::Longest;
    if (!pad_to_multiple_of) pad_to_multiple_of = 2;
  }
  // A maximum length alone asks for truncation; DPRReaderTokenizer's call never leaves that open.
  if (max_length && padding == PaddingStrategy::DoNotPad && !truncation && state.class_name != "DPRReaderTokenizer") {
    truncation = TruncationStrategy::LongestFirst;
  }

  if (!max_length) {
    const bool has_limit = state.model_max_length <= kLargeInteger;
    if (padding == PaddingStrategy::MaxLength && !has_limit) padding = PaddingStrategy::DoNotPad;
    if (truncation && !has_limit) truncation.reset();
    if (padding == PaddingStrategy::MaxLength || truncation) {
      max_length = static_cast<std::size_t>(state.model_max_length);
    }
  }

  CallSettings settings;
  if (truncation) {
    if (padding != PaddingStrategy::DoNotPad && pad_to_multiple_of.value_or(0) != 0 &&
        *max_length % *pad_to_multiple_of != 0) {
      fail("truncation and padding are both activated, but the truncation length (" + std::to_string(*max_length) +
           ") is not a multiple of pad_to_multiple_of (" + std::to_string(*pad_to_multiple_of) + ")");
    }
    settings.truncation = Truncation{.max_length = *max_length,
                                     .stride = options.stride,
                                     .strategy = *truncation,
                                     .direction = state.truncation_side};
  }
  if (padding != PaddingStrategy::DoNotPad) {
    const Json* token = state.special_token("pad_token");
    const auto content = token != nullptr ? tokenizers::token_content(*token) : std::nullopt;
    const auto id = content ? state.token_to_id(*content) : std::nullopt;
    if (!id) {
      fail(
          "asked to pad, but the tokenizer has no padding token: state \"pad_token\" in its tokenizer_config.json, "
          "for instance the end-of-sentence token");
    }
    settings.padding = Padding{.length = padding == PaddingStrategy::MaxLength ? max_length : std::nullopt,
                               .pad_to_multiple_of = pad_to_multiple_of,
                               .direction = options.padding_side.value_or(state.padding_side),
                               .pad_id = *id,
                               .pad_type_id = static_cast<std::uint32_t>(state.pad_token_type_id),
                               .pad_token = *content};
  }
  return settings;
}

/// Names of the tensors that a call returns.
std::vector<std::string> names_of(const tokenizers::PretrainedState& state, const TokenizerCallOptions& options) {
  const auto is_input = [&](std::string_view name) {
    return std::ranges::find(state.model_input_names, name) != state.model_input_names.end();
  };
  std::vector<std::string> names = {"input_ids"};
  if (options.return_token_type_ids.value_or(is_input("token_type_ids"))) names.emplace_back("token_type_ids");
  if (options.return_attention_mask.value_or(is_input("attention_mask"))) names.emplace_back("attention_mask");
  if (options.return_special_tokens_mask) names.emplace_back("special_tokens_mask");
  if (options.return_offsets_mapping) names.emplace_back("offset_mapping");
  return names;
}

/// With vocabularies of their own for source and target, added tokens have the source's ids in both.
void use_ids_of_source(const tokenizers::PretrainedState& state, std::span<Encoding> encodings) {
  std::map<std::uint32_t, std::uint32_t> source_ids;
  for (const AddedToken& token : state.target->added_tokens()) {
    const auto id = state.backend.token_to_id(token.content);
    if (id && *id != token.id) source_ids.emplace(token.id, *id);
  }
  if (source_ids.empty()) return;
  for (Encoding& encoding : encodings) {
    for (std::uint32_t& id : encoding.ids) {
      if (const auto found = source_ids.find(id); found != source_ids.end()) id = found->second;
    }
  }
}

/// MarianTokenizer.get_special_tokens_mask(): special tokens that the text has count, too, but for the unknown one.
void mark_special_tokens(const tokenizers::PretrainedState& state, std::span<Encoding> encodings) {
  std::set<std::uint32_t> special_ids;
  for (const std::string& token : state.all_special_tokens()) special_ids.insert(state.token_to_id(token).value_or(0));
  if (const Json* unknown = state.special_token("unk_token")) {
    if (const auto id = state.token_to_id(tokenizers::token_content(*unknown).value_or(""))) special_ids.erase(*id);
  }
  for (Encoding& encoding : encodings) {
    for (std::size_t i = 0; i < encoding.size(); ++i) {
      if (special_ids.contains(encoding.ids[i])) encoding.special_tokens_mask[i] = 1;
    }
  }
}

template <typename Input>
BatchEncoding encode(const tokenizers::PretrainedState& state, std::span<const Input> inputs,
                     const TokenizerCallOptions& options) {
  if (state.pretrained_class->has_update("needs_boxes")) {
    fail(state.class_name + " needs the boxes or paths of its words, which onnxport has no argument for");
  }
  const CallSettings settings = settings_of(state, options);
  if (options.as_target && state.pretrained_class->has_update("source_language")) {
    fail(state.class_name + " marks the target language with \"tgt_lang\", which onnxport does not switch to");
  }
  Tokenizer tokenizer = options.as_target && state.target ? *state.target : state.backend;
  tokenizer.set_encode_special_tokens(state.is_slow_only()
                                          ? state.split_special_tokens  // the call's argument is lost in Python
                                          : options.split_special_tokens.value_or(state.split_special_tokens));
  if (settings.truncation) tokenizer.set_truncation(settings.truncation);
  if (settings.padding) tokenizer.set_padding(settings.padding);
  EncodeOptions encode_options{
      .add_special_tokens = options.add_special_tokens, .fields = options.fields, .threads = options.threads};
  if (options.return_offsets_mapping && encode_options.fields == EncodingFields::Ids) {
    encode_options.fields = EncodingFields::Offsets;
  }
  std::vector<Encoding> encodings = tokenizer.encode_batch(inputs, encode_options);
  if (options.as_target && state.target) use_ids_of_source(state, encodings);
  if (state.class_name == "MarianTokenizer" && options.add_special_tokens) mark_special_tokens(state, encodings);

  std::vector<Encoding> rows;
  std::vector<std::size_t> samples;
  rows.reserve(encodings.size());
  for (std::size_t sample = 0; sample < encodings.size(); ++sample) {
    std::vector<Encoding> overflowing;
    if (options.return_overflowing_tokens) overflowing = std::move(encodings[sample].overflowing);
    encodings[sample].overflowing.clear();
    rows.push_back(std::move(encodings[sample]));
    samples.push_back(sample);
    for (Encoding& row : overflowing) {
      row.overflowing.clear();
      rows.push_back(std::move(row));
      samples.push_back(sample);
    }
  }
  return BatchEncoding(std::move(rows), names_of(state, options), std::move(samples));
}

/// ByT5Tokenizer adds no end to a text that has one, which takes the whitespace around it.
std::string_view without_end(const tokenizers::PretrainedState& state, std::string_view text) {
  const Json* token = state.special_token("eos_token");
  if (token == nullptr) return text;
  const AddedToken end = tokenizers::to_added_token(*token, true);
  const std::string_view stripped = end.rstrip ? tokenizers::python_rstrip(text) : text;
  if (end.content.empty() || !stripped.ends_with(end.content)) return text;
  const std::string_view rest = stripped.substr(0, stripped.size() - end.content.size());
  return end.lstrip ? tokenizers::python_rstrip(rest) : rest;
}

BatchEncoding encode_texts(const tokenizers::PretrainedState& state, std::vector<TextInput> inputs,
                           const TokenizerCallOptions& options) {
  if (state.class_name == "ByT5Tokenizer" && options.add_special_tokens && !state.split_special_tokens) {
    for (TextInput& input : inputs) {
      input.text = without_end(state, input.text);
      if (input.pair) input.pair = without_end(state, *input.pair);
    }
  }
  return encode(state, std::span<const TextInput>(inputs), options);
}

/// Given one text, CodeLlamaTokenizer takes a second one, or what stands behind "<FILL_ME>", for the end of a text
/// whose middle is to be filled in.
void refuse_infilling(const tokenizers::PretrainedState& state, std::string_view text, std::string_view pair) {
  if (state.class_name != "CodeLlamaTokenizer") return;
  const Json* fill = state.init_kwargs.find("fill_token");
  const std::string fill_token = fill != nullptr ? tokenizers::token_content(*fill).value_or("") : "";
  if (pair.empty() && (fill_token.empty() || text.find(fill_token) == std::string_view::npos)) return;
  fail("CodeLlamaTokenizer's infilling is not supported: write its prompt, or give pairs as a batch");
}

/// clean_up_tokenization(): spaces before punctuation and English contractions.
std::string clean_up(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> replacements[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : replacements) text = tokenizers::replace_all(std::move(text), from, to);
  return text;
}

/// Without Whisper's "<|1.23|>".
std::string without_timestamps(const std::string& text) {
  std::string result;
  const auto is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 2;
    bool is_timestamp = text.compare(i, 2, "<|") == 0 && is_digit(end);
    if (is_timestamp) {
      while (is_digit(end)) ++end;
      is_timestamp = end < text.size() && text[end] == '.' && is_digit(end + 1);
    }
    if (is_timestamp) {
      ++end;
      while (is_digit(end)) ++end;
      is_timestamp = text.compare(end, 2, "|>") == 0;
    }
    if (is_timestamp) {
      i = end + 2;
    } else {
      result += text[i++];
    }
  }
  return result;
}

/// Whisper's ids without the prompt before the transcript.
std::span<const std::uint32_t> without_prompt(const tokenizers::PretrainedState& state,
                                              std::span<const std::uint32_t> ids) {
  if (ids.empty() || state.token_to_id("<|startofprev|>") != ids.front()) return ids;
  const auto start = state.token_to_id("<|startoftranscript|>");
  if (!start) return {};
  return {std::ranges::find(ids, *start), ids.end()};
}

}  // namespace

// ---- State
// ------------------------------------------------------------------------------------------------------------

namespace tokenizers {

const Json* PretrainedState::special_token(std::string_view attribute) const {
  for (const auto& [name, value] : special_tokens) {
    if (name == attribute) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

std::vector<std::string> PretrainedState::all_special_tokens() const {
  std::vector<std::string> contents;
  std::set<std::string> seen;
  for (const auto& [name, value] : special_tokens) {
    for (const Json& token : value.is_array() ? value.array() : Json::Array{value}) {
      const auto content = token_content(token);
      if (content && !content->empty() && seen.insert(*content).second) contents.push_back(*content);
    }
  }
  return contents;
}

Json PretrainedState::special_tokens_map() const {
  Json map = Json::Object{};
  for (const auto& [name, value] : special_tokens) {
    if (value.is_array()) {
      Json::Array contents;
      for (const Json& token : value.array()) contents.emplace_back(token_content(token).value_or(""));
      if (!contents.empty()) map.set(name, std::move(contents));
    } else if (const auto content = token_content(value); content && !content->empty()) {
      map.set(name, *content);
    }
  }
  return map;
}

std::optional<std::uint32_t> PretrainedState::token_to_id(std::string_view token) const {
  if (const auto id = backend.token_to_id(token)) return id;
  if (class_name == "ByT5Tokenizer") return std::nullopt;  // a token is a byte, or is none
  const Json* unknown = special_token("unk_token");
  return unknown != nullptr ? backend.token_to_id(token_content(*unknown).value_or("")) : std::nullopt;
}

std::string decode_slow_only(const PretrainedState& state, std::span<const std::uint32_t> ids,
                             bool skip_special_tokens) {
  const Tokenizer& tokenizer = state.target ? *state.target : state.backend;
  const std::vector<std::string> special_list = state.all_special_tokens();
  const std::set<std::string> special_tokens(special_list.begin(), special_list.end());
  const Json* unknown = state.special_token("unk_token");
  const std::size_t vocabulary_size = tokenizer.vocabulary_size(false);
  const auto stands_alone = [&](const std::string& token) {
    if (!special_tokens.contains(token)) {
      return std::ranges::any_of(tokenizer.added_tokens(),
                                 [&](const AddedToken& added) { return added.content == token; });
    }
    const Json* additional = state.special_token("additional_special_tokens");
    return additional != nullptr && tokenizer.token_to_id(token).value_or(0) >= vocabulary_size &&
           std::ranges::any_of(additional->array(), [&](const Json& added) { return token_content(added) == token; });
  };

  std::string text;
  bool is_first = true;
  const auto append = [&](std::string_view part) {
    text.append(std::exchange(is_first, false) ? "" : " ").append(part);
  };
  std::vector<std::string> tokens;
  const auto flush = [&](bool keep_empty) {
    if (tokens.empty()) return;
    const std::string part = state.tokens_to_string(tokens, special_tokens);
    if (keep_empty || !part.empty()) append(part);
    tokens.clear();
  };
  for (const std::uint32_t id : ids) {
    // Added tokens have the source's ids, even where the target has a vocabulary of its own.
    std::optional<std::string> token;
    const std::span<const AddedToken> added = state.backend.added_tokens();
    if (const auto found = std::ranges::find(added, id, &AddedToken::id); found != added.end()) token = found->content;
    if (!token) token = tokenizer.id_to_token(id);
    // ByT5Tokenizer has no word for an id that is no byte's: it is left out, where Python fails.
    if (!token && state.class_name != "ByT5Tokenizer" && unknown != nullptr) token = token_content(*unknown);
    if (!token || (skip_special_tokens && special_tokens.contains(*token))) continue;
    if (stands_alone(*token)) {
      flush(false);
      append(*token);
    } else {
      tokens.push_back(std::move(*token));
    }
  }
  flush(true);
  return text;
}

}  // namespace tokenizers

// ---- Calls ----------------------------------------------------------------------------------------------------------

PreTrainedTokenizer::PreTrainedTokenizer(std::shared_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

PreTrainedTokenizer AutoTokenizer::from_pretrained(const std::filesystem::path& model, const HubOptions& hub) {
  const auto select = [&](const std::vector<HubFile>& files) { return select_tokenizer_files(files, hub.subfolder); };
  return PreTrainedTokenizer(std::make_shared<PreTrainedTokenizer::Implementation>(
      tokenizers::load_pretrained(resolve_model(model, select, hub))));
}

BatchEncoding PreTrainedTokenizer::operator()(std::string_view text, const TokenizerCallOptions& options) const {
  refuse_infilling(*implementation_, text, {});
  return encode_texts(*implementation_, {TextInput{text}}, options);
}

BatchEncoding PreTrainedTokenizer::operator()(std::string_view text, std::string_view text_pair,
                                              const TokenizerCallOptions& options) const {
  refuse_infilling(*implementation_, text, text_pair);
  TextInput input{text};
  // As transformers takes an empty one.
  if (!text_pair.empty() || implementation_->is_slow_only()) input.pair = text_pair;
  return encode_texts(*implementation_, {input}, options);
}

BatchEncoding PreTrainedTokenizer::operator()(std::span<const std::string> texts,
                                              const TokenizerCallOptions& options) const {
  std::vector<TextInput> inputs;
  inputs.reserve(texts.size());
  for (const std::string& text : texts) inputs.push_back({text});
  return encode_texts(*implementation_, std::move(inputs), options);
}

BatchEncoding PreTrainedTokenizer::operator()(std::span<const TextInput> inputs,
                                              const TokenizerCallOptions& options) const {
  return encode_texts(*implementation_, {inputs.begin(), inputs.end()}, options);
}

BatchEncoding PreTrainedTokenizer::operator()(std::span<const WordsInput> inputs,
                                              const TokenizerCallOptions& options) const {
  const Json& prefix_space = implementation_->add_prefix_space;
  if (implementation_->pretrained_class->has_update("words_need_prefix_space") &&
      !(prefix_space.is_boolean() && prefix_space.boolean())) {
    fail(implementation_->class_name +
         " takes words only if \"add_prefix_space\" is true in its tokenizer_config.json");
  }
  return encode(*implementation_, inputs, options);
}

std::string PreTrainedTokenizer::decode(std::span<const std::uint32_t> ids, bool skip_special_tokens,
                                        std::optional<bool> clean_up_tokenization_spaces) const {
  const tokenizers::PretrainedState& state = *implementation_;
  const bool is_whisper = state.class_name == "WhisperTokenizer";
  if (is_whisper && skip_special_tokens) ids = without_prompt(state, ids);
  std::string text = state.is_slow_only() ? tokenizers::decode_slow_only(state, ids, skip_special_tokens)
                                          : state.backend.decode(ids, skip_special_tokens);
  if (!state.end_of_word_suffix.empty()) {
    text = tokenizers::replace_all(std::move(text), state.end_of_word_suffix, " ");
    text = std::string(tokenizers::python_strip(text));
  }
  if (clean_up_tokenization_spaces.value_or(state.clean_up_tokenization_spaces)) text = clean_up(std::move(text));
  return is_whisper ? without_timestamps(text) : text;
}

std::vector<std::string> PreTrainedTokenizer::batch_decode(std::span<const std::vector<std::uint32_t>> ids,
                                                           bool skip_special_tokens,
                                                           std::optional<bool> clean_up_tokenization_spaces) const {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const auto& row : ids) texts.push_back(decode(row, skip_special_tokens, clean_up_tokenization_spaces));
  return texts;
}

std::string PreTrainedTokenizer::apply_chat_template(std::span<const ChatMessage> messages,
                                                     const ChatTemplateOptions& options) const {
  Json::Array conversation;
  for (const ChatMessage& message : messages) {
    conversation.emplace_back(Json::Object{{"role", message.role}, {"content", message.content}});
  }
  return apply_chat_template(Json(std::move(conversation)), options);
}

std::string PreTrainedTokenizer::apply_chat_template(const Json& messages, const ChatTemplateOptions& options) const {
  return tokenizers::apply_chat_template(*implementation_, messages, options);
}

// ---- Attributes
// -------------------------------------------------------------------------------------------------------

const std::string& PreTrainedTokenizer::tokenizer_class() const { return implementation_->class_name; }

std::size_t PreTrainedTokenizer::model_max_length() const {
  const double length = implementation_->model_max_length;
  return length <= kLargeInteger && length < static_cast<double>(std::numeric_limits<std::size_t>::max())
             ? static_cast<std::size_t>(length)
             : std::numeric_limits<std::size_t>::max();
}

const std::vector<std::string>& PreTrainedTokenizer::model_input_names() const {
  return implementation_->model_input_names;
}

Direction PreTrainedTokenizer::padding_side() const { return implementation_->padding_side; }
Direction PreTrainedTokenizer::truncation_side() const { return implementation_->truncation_side; }

// Copies share what they hold until one of them is changed.
void PreTrainedTokenizer::set_padding_side(Direction side) {
  implementation_ = std::make_shared<Implementation>(*implementation_);
  implementation_->padding_side = side;
}

void PreTrainedTokenizer::set_truncation_side(Direction side) {
  implementation_ = std::make_shared<Implementation>(*implementation_);
  implementation_->truncation_side = side;
}

void PreTrainedTokenizer::set_model_max_length(std::size_t length) {
  implementation_ = std::make_shared<Implementation>(*implementation_);
  implementation_->model_max_length =
      length == std::numeric_limits<std::size_t>::max() ? tokenizers::kVeryLargeInteger : static_cast<double>(length);
}

std::optional<std::string> PreTrainedTokenizer::special_token(std::string_view attribute) const {
  const Json* token = implementation_->special_token(attribute);
  return token != nullptr ? tokenizers::token_content(*token) : std::nullopt;
}

std::optional<std::uint32_t> PreTrainedTokenizer::special_token_id(std::string_view attribute) const {
  const auto token = special_token(attribute);
  return token ? implementation_->token_to_id(*token) : std::nullopt;
}

std::vector<std::string> PreTrainedTokenizer::all_special_tokens() const {
  return implementation_->all_special_tokens();
}

std::vector<std::uint32_t> PreTrainedTokenizer::all_special_ids() const {
  std::vector<std::uint32_t> ids;
  for (const std::string& token : all_special_tokens()) {
    if (const auto id = implementation_->token_to_id(token)) ids.push_back(*id);
  }
  return ids;
}

std::optional<std::uint32_t> PreTrainedTokenizer::convert_tokens_to_ids(std::string_view token) const {
  return implementation_->token_to_id(token);
}

std::optional<std::string> PreTrainedTokenizer::convert_ids_to_tokens(std::uint32_t id) const {
  return implementation_->backend.id_to_token(id);
}

const Tokenizer& PreTrainedTokenizer::backend_tokenizer() const { return implementation_->backend; }

std::vector<std::filesystem::path> PreTrainedTokenizer::save_pretrained(const std::filesystem::path& directory) const {
  return tokenizers::save_pretrained(*implementation_, directory);
}

}  // namespace onnxport
