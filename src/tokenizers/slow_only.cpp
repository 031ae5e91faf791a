#include "tokenizers/slow_only.h"

#include <algorithm>
#include <cctype>

#include "onnxport/error.h"
#include "tokenizers/convert_internal.h"
#include "tokenizers/decoders.h"
#include "tokenizers/marian.h"
#include "tokenizers/pretrained_text.h"

namespace onnxport::tokenizers {
namespace {

// ---- ByT5Tokenizer --------------------------------------------------------------------------------------------------

SlowOnlyTokenizer convert_byt5(const SlowTokenizer& slow) {
  Json::Array first_tokens;
  constexpr std::string_view arguments[] = {"pad_token", "eos_token", "unk_token"};
  for (std::uint32_t id = 0; id < std::size(arguments); ++id) {
    const auto added = slow.added_tokens.find(id);
    first_tokens.emplace_back(added != slow.added_tokens.end() ? added->second : slow.token(arguments[id]));
  }
  SlowOnlyTokenizer result;
  result.source.decoder = component("Bytes");
  const JsonField decoder_field(result.source.decoder, "ByT5Tokenizer");
  result.tokens_to_string = [decoder = read_decoder(decoder_field)](std::span<const std::string> tokens,
                                                                    const std::set<std::string>&) {
    return decode(decoder, {tokens.begin(), tokens.end()}).front();
  };
  result.source.model = dump_json(Json::Object{{"type", "Bytes"}, {"first_tokens", std::move(first_tokens)}});
  const std::string eos = slow.token("eos_token");
  result.source.post_processor =
      template_processing({{"$A"}, {eos}}, {{"$A"}, {eos}, {"$B"}, {eos}}, TokenIds{{eos, 1}});
  return result;
}

// ---- EsmTokenizer ---------------------------------------------------------------------------------------------------

std::string join_with_spaces(std::span<const std::string> tokens, const std::set<std::string>&) {
  std::string text;
  for (const std::string& token : tokens) text += (&token == tokens.data() ? "" : " ") + token;
  return text;
}

/// A regular expression for any of these words, the longest first.
std::string any_of(std::vector<std::string> words) {
  std::ranges::stable_sort(words, std::ranges::greater{}, &std::string::size);
  std::string regex;
  for (const std::string& word : words) {
    if (word.empty()) continue;
    if (!regex.empty()) regex += '|';
    for (const char c : word) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x80 && std::isalnum(byte) == 0) regex += '\\';
      regex += c;
    }
  }
  return regex;
}

SlowOnlyTokenizer convert_esm(const SlowTokenizer& slow) {
  const std::filesystem::path file = slow.vocab_file / "vocab.txt";
  std::vector<std::string> words;
  for (const std::string& line : text_lines(read_slow_file(file))) words.emplace_back(python_strip(line));
  SlowTokenizer with_file = slow;
  with_file.vocab_file = file;
  SlowVocabulary vocabulary(with_file);
  ModelText model(Json(Json::Object{{"type", "WordLevel"}, {"unk_token", slow.token("unk_token")}}));
  model.begin_object("vocab");
  std::set<std::string_view> seen;
  for (std::uint32_t id = 0; id < words.size(); ++id) {
    if (!seen.insert(words[id]).second) {
      throw Error(ErrorKind::InvalidTokenizer, file.string() + ": " + quote_json(words[id]) + " is there twice");
    }
    vocabulary.append(words[id]);
    model.token(words[id], id);
  }
  model.end();
  vocabulary.append_special_tokens();

  SlowOnlyTokenizer result;
  result.tokens_to_string = join_with_spaces;
  result.vocabulary_files = {file};
  result.source.model = model.finish();
  // Every word is found in the text, wherever it stands; what is between them falls into words.
  result.source.pre_tokenizer =
      sequence("pretokenizers", {split(any_of(words), "Isolated"), split("[\\s\\x1c-\\x1f]+", "Removed")});
  const auto cls = vocabulary.special("cls_token");
  const auto eos = vocabulary.special("eos_token");
  result.source.post_processor = template_processing(
      {{cls.first}, {"$A"}, {eos.first}}, {{cls.first}, {"$A"}, {eos.first}, {"$B"}, {eos.first}}, TokenIds{cls, eos});
  return result;
}

}  // namespace

SlowOnlyTokenizer convert_slow_only(const SlowTokenizer& slow) {
  if (slow.class_name == "MarianTokenizer") return convert_marian(slow);
  if (slow.class_name == "ByT5Tokenizer") return convert_byt5(slow);
  return convert_esm(slow);
}

}  // namespace onnxport::tokenizers
