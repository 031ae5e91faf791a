#include "tokenizers/marian.h"

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "onnxport/error.h"
#include "tokenizers/charsmap.h"
#include "tokenizers/convert_internal.h"
#include "tokenizers/models/vocabulary.h"
#include "tokenizers/pretrained_text.h"

namespace onnxport::tokenizers {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSpace = "\u2581";

[[noreturn]] void fail(const fs::path& file, const std::string& reason) {
  throw Error(ErrorKind::InvalidTokenizer, file.string() + ": " + reason);
}

SentencePieceModel read_model(const fs::path& file) {
  SentencePieceModel model = read_sentencepiece_model(read_slow_file(file), file.string());
  if (model.algorithm != SentencePieceAlgorithm::Unigram) {
    fail(file, "is no Unigram model, which MarianTokenizer is supported with");
  }
  if (model.byte_fallback) fail(file, "byte_fallback is not supported for MarianTokenizer");
  if (model.treat_whitespace_as_suffix) {
    fail(file, "treat_whitespace_as_suffix is not supported for MarianTokenizer");
  }
  return model;
}

/// vocab.json, checked.
Json read_vocabulary(const fs::path& file, const SlowTokenizer& slow) {
  Json json;
  try {
    json = parse_json(read_slow_file(file), file.string());
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, error.what());
  }
  if (!json.is_object()) fail(file, "must be a JSON object of tokens and their ids");
  for (const std::string_view argument : {"unk_token", "pad_token"}) {
    const std::string token = slow.token(argument);
    if (json.find(token) == nullptr) fail(file, "must have " + quote_json(token) + ", the " + std::string(argument));
  }
  return json;
}

/// The scores with which sentencepiece chooses between pieces (unigram_model.cc, EncodeOptimized). Control pieces and
/// unused ones are never found in a text; a symbol of the user's always wins.
std::string model_text(const SentencePieceModel& model, const Json& vocabulary, const SlowTokenizer& slow,
                       const fs::path& file) {
  float largest = 0;
  bool has_normal = false;
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type != PieceType::Normal) continue;
    largest = has_normal ? std::max(largest, piece.score) : piece.score;
    has_normal = true;
  }
  if (!has_normal) fail(file, "has no pieces of the type NORMAL");
  ModelText text(Json(Json::Object{{"type", "Marian"}, {"unk_token", slow.token("unk_token")}, {"vocab", vocabulary}}));
  text.begin_array("pieces");
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type == PieceType::Normal) text.scored(piece.piece, static_cast<double>(piece.score));
    if (piece.type == PieceType::UserDefined) {
      text.scored(piece.piece, static_cast<double>(static_cast<float>(piece.piece.size()) * largest) - 0.1);
    }
  }
  text.end();
  return text.finish();
}

/// `eos_id` is the source's id of the eos_token.
ConvertedTokenizer convert_side(const SentencePieceModel& model, const Json& vocabulary, std::uint32_t eos_id,
                                const SlowTokenizer& slow, const fs::path& file) {
  ConvertedTokenizer converted;
  converted.model = model_text(model, vocabulary, slow, file);
  converted.normalizer =
      Json::Object{{"type", "SentencePiece"},
                   {"precompiled_charsmap",
                    model.precompiled_charsmap.empty() ? Json() : Json(encode_base64(model.precompiled_charsmap))},
                   {"add_dummy_prefix", model.add_dummy_prefix},
                   {"remove_extra_whitespaces", model.remove_extra_whitespaces},
                   {"keep_language_code", true}};
  converted.decoder = metaspace("always");
  const std::string eos = slow.token("eos_token");
  converted.post_processor = template_processing({{"$A"}, {eos}}, {{"$A"}, {"$B"}, {eos}}, TokenIds{{eos, eos_id}});
  return converted;
}

/// SentencePieceProcessor::Decode() of pieces, and what MarianTokenizer does around it.
class PieceDecoder {
 public:
  explicit PieceDecoder(SentencePieceModel model)
      : strips_begin_(model.add_dummy_prefix || model.remove_extra_whitespaces),
        strips_all_(model.remove_extra_whitespaces),
        unk_surface_(std::move(model.unk_surface)) {
    for (SentencePiece& piece : model.pieces) types_.emplace(std::move(piece.piece), piece.type);
  }

  /// Special tokens stay as they are, each with a space behind it.
  std::string operator()(std::span<const std::string> tokens, const std::set<std::string>& special_tokens) const {
    std::string text;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (!special_tokens.contains(tokens[i])) continue;
      text += decode(tokens.subspan(begin, i - begin)) + tokens[i] + " ";
      begin = i + 1;
    }
    text += decode(tokens.subspan(begin));
    return std::string(python_strip(replace_all(std::move(text), kSpace, " ")));
  }

 private:
  std::string decode(std::span<const std::string> pieces) const {
    std::string text;
    bool is_begin = true;
    bool has_stripped = false;
    for (const std::string& piece : pieces) {
      if (has_stripped || !text.empty()) is_begin = false;
      has_stripped = false;
      const auto found = types_.find(piece);
      if (found == types_.end()) {
        text += piece;  // unknown text is kept
      } else if (found->second == PieceType::Unknown) {
        text += unk_surface_;
      } else if (found->second != PieceType::Control) {
        std::string_view rest = piece;
        if (is_begin && strips_begin_ && rest.starts_with(kSpace)) {
          rest.remove_prefix(kSpace.size());
          has_stripped = !strips_all_;
        }
        text += replace_all(std::string(rest), kSpace, " ");
      }
    }
    return text;
  }

  bool strips_begin_;  ///< a space that the text begins with
  bool strips_all_;    ///< even several of them
  std::string unk_surface_;
  std::unordered_map<std::string, PieceType> types_;
};

}  // namespace

SlowOnlyTokenizer convert_marian(const SlowTokenizer& slow) {
  const fs::path& directory = slow.vocab_file;
  const fs::path source_file = directory / "source.spm";
  const fs::path target_file = directory / "target.spm";
  const fs::path vocabulary_file = directory / "vocab.json";
  const fs::path target_vocabulary_file = directory / "target_vocab.json";
  const bool is_separate = slow.flag("separate_vocabs", false);

  const Json vocabulary = read_vocabulary(vocabulary_file, slow);
  const Json target_vocabulary = is_separate ? read_vocabulary(target_vocabulary_file, slow) : vocabulary;
  const SentencePieceModel source = read_model(source_file);
  SentencePieceModel target = read_model(target_file);

  const std::string eos = slow.token("eos_token");
  const Json* eos_id = vocabulary.find(eos);
  if (eos_id == nullptr || !eos_id->is_integer() || eos_id->integer() < 0 ||
      eos_id->integer() > Vocabulary::largest_id) {
    fail(vocabulary_file, "must have " + quote_json(eos) + ", the eos_token, with its id");
  }
  const auto id = static_cast<std::uint32_t>(eos_id->integer());

  SlowOnlyTokenizer result;
  result.source = convert_side(source, vocabulary, id, slow, source_file);
  result.target = convert_side(target, target_vocabulary, id, slow, target_file);
  result.tokens_to_string = [decoder = std::make_shared<const PieceDecoder>(std::move(target))](
                                std::span<const std::string> tokens, const std::set<std::string>& special_tokens) {
    return (*decoder)(tokens, special_tokens);
  };
  result.vocabulary_files = {vocabulary_file};
  if (is_separate) result.vocabulary_files.push_back(target_vocabulary_file);
  result.vocabulary_files.insert(result.vocabulary_files.end(), {source_file, target_file});
  return result;
}

}  // namespace onnxport::tokenizers
