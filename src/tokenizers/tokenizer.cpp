#include "onnxport/tokenizer.h"

#include <algorithm>
#include <fstream>
#include <tuple>
#include <utility>

#include "core/mapped_file.h"
#include "core/parallel_for.h"
#include "onnxport/error.h"
#include "tokenizers/models/bpe.h"
#include "tokenizers/models/word_piece.h"
#include "tokenizers/tokenizer_implementation.h"

namespace onnxport {
namespace {

using tokenizers::Draft;

/// Calls encode_one(i) for each of `count` inputs, on as many threads as the options say.
template <typename EncodeOne>
void for_each_input(std::size_t count, const EncodeOptions& options, EncodeOne encode_one) {
  const auto size = static_cast<std::int64_t>(count);
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) encode_one(static_cast<std::size_t>(i));
  };
  if (options.threads == 1) {
    run(0, size);
  } else if (options.threads > 1 && options.threads < thread_count()) {
    const std::int64_t shares = options.threads;
    parallel_for(shares, 1,
                 [&](std::int64_t begin, std::int64_t end) { run(size * begin / shares, size * end / shares); });
  } else {
    parallel_for(size, 1, run);
  }
}

void require_padding(const Padding& padding) {
  if (padding.length.value_or(0) > tokenizers::kMaximumPadding ||
      padding.pad_to_multiple_of.value_or(0) > tokenizers::kMaximumPadding) {
    throw Error(ErrorKind::InvalidArgument,
                "padding: more than " + std::to_string(tokenizers::kMaximumPadding) + " tokens");
  }
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Tokenizer Tokenizer::from_file(const std::filesystem::path& file) {
  std::shared_ptr<const MappedFile> mapped;
  try {
    mapped = MappedFile::open(file);
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, error.what());
  }
  const std::span<const std::byte> bytes = mapped->bytes();
  return from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string());
}

Tokenizer Tokenizer::from_json(std::string_view json, std::string_view origin) {
  tokenizers::TokenizerFile file = tokenizers::read_tokenizer_file(json, origin);
  auto implementation = std::make_shared<Implementation>();
  implementation->components = std::move(file.components);
  implementation->fast_path = tokenizers::FastPath::make(implementation->components);
  implementation->truncation = file.truncation;
  implementation->padding = std::move(file.padding);
  tokenizers::AddedVocabulary added;
  try {
    added.add(file.added_tokens, implementation->model(), implementation->normalizer());
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, std::string(origin) + ": " + error.what());
  }
  implementation->added = std::make_shared<const tokenizers::AddedVocabulary>(std::move(added));
  return Tokenizer(std::move(implementation));
}

// ---- Encoding -------------------------------------------------------------------------------------------------------

namespace {

template <typename Implementation, typename Input>
Encoding encode_one(const Implementation& implementation, const Input& input, const EncodeOptions& options) {
  Draft draft = implementation.encode(input, options);
  if (const auto& padding = implementation.padding) {
    tokenizers::pad(draft, tokenizers::padded_length(draft.size(), *padding), *padding,
                    implementation.draft_fields(options.fields));
  }
  return tokenizers::finish(std::move(draft), options.fields);
}

template <typename Implementation, typename Input>
std::vector<Encoding> encode_many(const Implementation& implementation, std::span<const Input> inputs,
                                  const EncodeOptions& options) {
  std::vector<Encoding> encodings(inputs.size());
  const std::optional<Padding>& padding = implementation.padding;
  if (!padding) {
    for_each_input(inputs.size(), options, [&](std::size_t i) {
      encodings[i] = tokenizers::finish(implementation.encode(inputs[i], options), options.fields);
    });
    return encodings;
  }
  std::vector<Draft> drafts(inputs.size());
  for_each_input(inputs.size(), options, [&](std::size_t i) { drafts[i] = implementation.encode(inputs[i], options); });
  std::size_t longest = 0;
  for (const Draft& draft : drafts) {
    longest = std::max(longest, tokenizers::padded_length(draft.size(), *padding));
  }
  const std::size_t length = tokenizers::padded_length(longest, *padding);
  for_each_input(inputs.size(), options, [&](std::size_t i) {
    tokenizers::pad(drafts[i], length, *padding, implementation.draft_fields(options.fields));
    encodings[i] = tokenizers::finish(std::move(drafts[i]), options.fields);
  });
  return encodings;
}

}  // namespace

Encoding Tokenizer::encode(const TextInput& input, const EncodeOptions& options) const {
  return encode_one(*implementation_, input, options);
}

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  return encode(TextInput{text}, options);
}

Encoding Tokenizer::encode(std::string_view text, std::string_view pair, const EncodeOptions& options) const {
  return encode(TextInput{text, pair}, options);
}

Encoding Tokenizer::encode(const WordsInput& input, const EncodeOptions& options) const {
  return encode_one(*implementation_, input, options);
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const TextInput> inputs, const EncodeOptions& options) const {
  return encode_many(*implementation_, inputs, options);
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const std::string> texts, const EncodeOptions& options) const {
  std::vector<TextInput> inputs;
  inputs.reserve(texts.size());
  for (const std::string& text : texts) inputs.push_back({text});
  return encode_batch(inputs, options);
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const WordsInput> inputs, const EncodeOptions& options) const {
  return encode_many(*implementation_, inputs, options);
}

// ---- Decoding -------------------------------------------------------------------------------------------------------

std::string Tokenizer::decode(std::span<const std::uint32_t> ids, bool skip_special_tokens) const {
  return implementation_->decode(ids, skip_special_tokens);
}

std::vector<std::string> Tokenizer::decode_batch(std::span<const std::vector<std::uint32_t>> ids,
                                                 bool skip_special_tokens) const {
  std::vector<std::string> texts(ids.size());
  for_each_input(ids.size(), {}, [&](std::size_t i) { texts[i] = decode(ids[i], skip_special_tokens); });
  return texts;
}

std::string Tokenizer::decode_tokens(std::span<const std::string> tokens) const {
  std::vector<std::string> parts(tokens.begin(), tokens.end());
  const std::optional<tokenizers::Decoder>& decoder = implementation_->components->decoder;
  if (decoder) parts = tokenizers::decode(*decoder, std::move(parts));
  std::string text;
  for (const std::string& part : parts) text.append(!decoder && &part != &parts.front() ? " " : "").append(part);
  return text;
}

// ---- Vocabulary -----------------------------------------------------------------------------------------------------

std::optional<std::uint32_t> Tokenizer::token_to_id(std::string_view token) const {
  const std::optional<std::uint32_t> id = implementation_->added->token_to_id(token);
  return id ? id : implementation_->model().token_to_id(token);
}

std::optional<std::string> Tokenizer::id_to_token(std::uint32_t id) const {
  if (const AddedToken* token = implementation_->added->find(id)) return token->content;
  const std::optional<std::string_view> token = implementation_->model().id_to_token(id);
  return token ? std::optional(std::string(*token)) : std::nullopt;
}

std::vector<std::pair<std::string, std::uint32_t>> Tokenizer::vocabulary(bool with_added_tokens) const {
  const tokenizers::Model& model = implementation_->model();
  const auto& added = implementation_->added->ids();
  std::vector<std::pair<std::string, std::uint32_t>> entries;
  entries.reserve(model.vocabulary_size() + added.size());
  for (std::size_t id = 0; id < model.id_end(); ++id) {
    const std::optional<std::string_view> token = model.id_to_token(static_cast<std::uint32_t>(id));
    if (!token || (with_added_tokens && added.contains(std::string(*token)))) continue;
    entries.emplace_back(*token, static_cast<std::uint32_t>(id));
  }
  if (with_added_tokens) entries.insert(entries.end(), added.begin(), added.end());
  std::sort(entries.begin(), entries.end(), [](const auto& left, const auto& right) {
    return std::tie(left.second, left.first) < std::tie(right.second, right.first);
  });
  return entries;
}

std::size_t Tokenizer::vocabulary_size(bool with_added_tokens) const {
  const tokenizers::Model& model = implementation_->model();
  std::size_t size = model.vocabulary_size();
  if (with_added_tokens) {
    for (const auto& [token, id] : implementation_->added->ids()) size += model.token_to_id(token) ? 0 : 1;
  }
  return size;
}

std::span<const AddedToken> Tokenizer::added_tokens() const { return implementation_->added->tokens(); }

std::string Tokenizer::continuing_subword_prefix() const {
  const tokenizers::Model* const model = &implementation_->model();
  if (const auto* word_piece = dynamic_cast<const tokenizers::WordPiece*>(model))
    return word_piece->settings().continuing_subword_prefix;
  if (const auto* bpe = dynamic_cast<const tokenizers::Bpe*>(model))
    return bpe->settings().continuing_subword_prefix.value_or("");
  return "";
}

std::size_t Tokenizer::num_special_tokens_to_add(bool is_pair) const {
  const tokenizers::PostProcessor* const post_processor = implementation_->post_processor();
  return post_processor != nullptr ? tokenizers::added_token_count(*post_processor, is_pair) : 0;
}

// ---- Settings -------------------------------------------------------------------------------------------------------

const std::optional<Truncation>& Tokenizer::truncation() const { return implementation_->truncation; }
const std::optional<Padding>& Tokenizer::padding() const { return implementation_->padding; }

void Tokenizer::set_truncation(std::optional<Truncation> truncation) {
  if (truncation) {
    const std::size_t added = num_special_tokens_to_add(false);
    // As in the library this wraps around where special tokens alone are too many.
    if (truncation->max_length - added < truncation->stride) {
      throw Error(ErrorKind::InvalidArgument, "truncation: the stride " + std::to_string(truncation->stride) +
                                                  " is larger than the " +
                                                  std::to_string(truncation->max_length - added) +
                                                  " tokens that max_length " + std::to_string(truncation->max_length) +
                                                  " leaves beside " + std::to_string(added) + " special tokens");
    }
  }
  auto changed = std::make_shared<Implementation>(*implementation_);
  changed->truncation = truncation;
  implementation_ = std::move(changed);
}

void Tokenizer::set_padding(std::optional<Padding> padding) {
  if (padding) require_padding(*padding);
  auto changed = std::make_shared<Implementation>(*implementation_);
  changed->padding = std::move(padding);
  implementation_ = std::move(changed);
}

void Tokenizer::set_encode_special_tokens(bool encode) {
  if (implementation_->added->encodes_special_tokens() == encode) return;
  auto changed = std::make_shared<Implementation>(*implementation_);
  auto added = std::make_shared<tokenizers::AddedVocabulary>(*implementation_->added);
  added->set_encode_special_tokens(encode);
  changed->added = std::move(added);
  implementation_ = std::move(changed);
}

std::size_t Tokenizer::add_tokens(std::span<const AddedToken> tokens) {
  tokenizers::AddedVocabulary added = *implementation_->added;
  const std::size_t count = added.add(tokens, implementation_->model(), implementation_->normalizer());
  auto changed = std::make_shared<Implementation>(*implementation_);
  changed->added = std::make_shared<const tokenizers::AddedVocabulary>(std::move(added));
  implementation_ = std::move(changed);
  return count;
}

std::string Tokenizer::to_json(bool pretty) const {
  return tokenizers::write_tokenizer_file(*implementation_->components, implementation_->added->tokens(),
                                          implementation_->truncation, implementation_->padding, pretty);
}

void Tokenizer::save(const std::filesystem::path& file) const {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  const std::string text = to_json();
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  stream.close();
  if (!stream) throw Error(ErrorKind::OutputFailed, "cannot write " + file.string());
}

// ---- DecodeStream ---------------------------------------------------------------------------------------------------

DecodeStream::DecodeStream(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

std::optional<std::string> DecodeStream::step(std::uint32_t id) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // ends text while a character is incomplete
  if (prefix_.empty() && !ids_.empty()) {
    std::string prefix = tokenizer_.decode(ids_, skip_special_tokens_);
    if (!prefix.ends_with(kReplacement)) {
      prefix_ = std::move(prefix);
      prefix_index_ = ids_.size();
    }
  }
  ids_.push_back(id);
  const std::string text = tokenizer_.decode(ids_, skip_special_tokens_);
  if (text.size() <= prefix_.size() || text.ends_with(kReplacement)) return std::nullopt;
  if (!text.starts_with(prefix_)) {
    throw Error(ErrorKind::InvalidArgument, "decoding in steps: the token " + std::to_string(id) +
                                                " changes the text before it from " + quote_json(prefix_) + " to " +
                                                quote_json(text));
  }
  std::string added = text.substr(prefix_.size());
  const std::size_t next_index = ids_.size() - prefix_index_;
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(prefix_index_));
  prefix_ = tokenizer_.decode(ids_, skip_special_tokens_);
  prefix_index_ = next_index;
  return added;
}

}  // namespace onnxport
