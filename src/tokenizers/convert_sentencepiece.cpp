#include <algorithm>
#include <span>

#include "onnxport/error.h"
#include "tokenizers/convert_internal.h"
#include "tokenizers/pretrained_class.h"
#include "tokenizers/pretrained_text.h"
#include "tokenizers/sentencepiece_model.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kClasses[] = {
    "AlbertTokenizer",    "BarthezTokenizer",  "BigBirdTokenizer",    "CamembertTokenizer",   "CodeLlamaTokenizer",
    "DebertaV2Tokenizer", "FNetTokenizer",     "GemmaTokenizer",      "LayoutXLMTokenizer",   "LlamaTokenizer",
    "MBart50Tokenizer",   "MBartTokenizer",    "MT5Tokenizer",        "NllbTokenizer",        "PegasusTokenizer",
    "Phi3Tokenizer",      "ReformerTokenizer", "RemBertTokenizer",    "SeamlessM4TTokenizer", "T5Tokenizer",
    "UdopTokenizer",      "XGLMTokenizer",     "XLMRobertaTokenizer", "XLNetTokenizer"};

/// Converters that several classes share go by the class that transformers names them after.
std::string_view converter_of(std::string_view name) {
  if (name == "FNetTokenizer") return "AlbertTokenizer";
  if (name == "LayoutXLMTokenizer") return "XLMRobertaTokenizer";
  if (name == "CodeLlamaTokenizer" || name == "Phi3Tokenizer") return "LlamaTokenizer";
  if (name == "MT5Tokenizer") return "T5Tokenizer";
  return name;
}

constexpr std::int64_t kXglmMadeUpWords = 7;
constexpr std::int64_t kLargestCount = 1 << 24;  ///< of extra ids and the like, which a config could state at any size

struct ScoredPiece {
  std::string piece;
  double score = 0;
};

class SentencePieceConverter {
 public:
  SentencePieceConverter(const SlowTokenizer& slow, SentencePieceModel model)
      : slow_(slow), converter_(converter_of(slow.class_name)), model_(std::move(model)), ids_(slow) {}

  ConvertedTokenizer convert() {
    pieces_ = vocabulary();
    for (const ScoredPiece& piece : pieces_) ids_.append(piece.piece);
    ids_.append_special_tokens();

    ConvertedTokenizer converted;
    converted.model = model();
    converted.added_tokens = added_tokens();
    converted.normalizer = normalizer();
    converted.pre_tokenizer = pre_tokenizer();
    converted.decoder = decoder();
    converted.post_processor = post_processor();
    return converted;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorKind::InvalidTokenizer, slow_.vocab_file.string() + ": " + reason);
  }

  bool is(std::string_view converter) const { return converter_ == converter; }

  std::int64_t count_argument(std::string_view name, std::int64_t fallback) const {
    const Json* value = slow_.arguments.find(name);
    if (value == nullptr || value->is_null()) return fallback;
    if (!value->is_integer() || value->integer() < 0 || value->integer() > kLargestCount) {
      throw Error(ErrorKind::InvalidTokenizer, slow_.vocab_file.parent_path().string() + ": \"" + std::string(name) +
                                                   "\" must be an integer from 0 to " + std::to_string(kLargestCount));
    }
    return value->integer();
  }

  // ---- Vocabulary ---------------------------------------------------------------------------------------------------

  void append_pieces(std::vector<ScoredPiece>& result, std::size_t first) const {
    for (std::size_t i = first; i < model_.pieces.size(); ++i) {
      result.push_back({model_.pieces[i].piece, model_.pieces[i].score});
    }
  }

  std::vector<ScoredPiece> vocabulary() const {
    std::vector<ScoredPiece> result;
    if (is("AlbertTokenizer") || is("XLNetTokenizer")) {
      append_pieces(result, 0);
      for (ScoredPiece& piece : result) {
        if (ends_with_number_and_comma(piece.piece)) piece.score -= 100;
      }
    } else if (is("CamembertTokenizer")) {
      result = {{"<s>NOTUSED", 0}, {"<pad>", 0}, {"</s>NOTUSED", 0}, {"<unk>", 0}, {"<unk>NOTUSED", -100}};
      append_pieces(result, 1);
      result.push_back({"<mask>", 0});
    } else if (is("MBartTokenizer") || is("MBart50Tokenizer") || is("NllbTokenizer") || is("XLMRobertaTokenizer") ||
               is("XGLMTokenizer")) {
      result = {{"<s>", 0}, {"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}};
      append_pieces(result, 3);
      if (is("MBartTokenizer") || is("MBart50Tokenizer")) {
        for (const std::string& language : class_languages(converter_)) result.push_back({language, 0});
      }
      if (is("XGLMTokenizer")) {
        for (std::int64_t i = 0; i < kXglmMadeUpWords; ++i) {
          result.push_back({"<madeupword" + std::to_string(i) + ">", 0});
        }
      } else if (!is("NllbTokenizer")) {
        result.push_back({"<mask>", 0});
      }
    } else if (is("SeamlessM4TTokenizer")) {
      result = {{"<pad>", 0}, {"<unk>", 0}, {"<s>", 0}, {"</s>", 0}};
      append_pieces(result, 3);
    } else if (is("PegasusTokenizer")) {
      result = pegasus_vocabulary();
    } else if (is("T5Tokenizer")) {
      append_pieces(result, 0);
      for (std::int64_t i = count_argument("extra_ids", 100) - 1; i >= 0; --i) {
        result.push_back({"<extra_id_" + std::to_string(i) + ">", 0});
      }
    } else if (is("GemmaTokenizer")) {
      result = {{slow_.token("pad_token"), 0}, {slow_.token("eos_token"), 0}, {slow_.token("bos_token"), 0}};
      append_pieces(result, 3);
      // Old Gemma models lack the tab.
      const auto named = [&](std::string_view piece) { return std::ranges::find(result, piece, &ScoredPiece::piece); };
      if (named("\t") == result.end()) {
        if (const auto byte = named("<0x09>"); byte != result.end()) *byte = {"\t", 0};
      }
    } else if (is("LlamaTokenizer")) {
      for (std::uint32_t id = 0; id < 3; ++id) {
        const auto added = slow_.added_tokens.find(id);
        if (added == slow_.added_tokens.end() && id >= model_.pieces.size()) fail("needs at least 3 pieces");
        result.push_back({added != slow_.added_tokens.end() ? added->second : model_.pieces[id].piece, 0});
      }
      append_pieces(result, 3);
    } else {
      append_pieces(result, 0);
    }
    return result;
  }

  std::vector<ScoredPiece> pegasus_vocabulary() const {
    const std::int64_t offset = count_argument("offset", 103);
    std::vector<ScoredPiece> result = {{slow_.token("pad_token"), 0}, {slow_.token("eos_token"), 0}};
    // As the slow tokenizer numbers them: mask_token_sent and mask_token follow, if there is a mask_token_sent.
    if (const Json* value = slow_.arguments.find("mask_token_sent"); value != nullptr && !value->is_null()) {
      result.push_back({slow_.token("mask_token_sent"), 0});
      if (offset > 3) result.push_back({slow_.token("mask_token"), 0});
    }
    for (std::int64_t i = 2; i < offset; ++i) result.push_back({"<unk_" + std::to_string(i) + ">", -100});
    append_pieces(result, 2);
    return result;
  }

  /// "…1,": such pieces are made unlikely, so that the comma stands alone.
  static bool ends_with_number_and_comma(std::string_view piece) {
    if (piece.size() < 2 || !piece.ends_with(',')) return false;
    const char before = piece[piece.size() - 2];
    if (before >= '0' && before <= '9') return true;
    // Python's isdigit() also knows digits of other scripts; those that real models hold are these.
    static constexpr std::string_view kOtherDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    piece.remove_suffix(1);
    return std::ranges::any_of(kOtherDigits, [&](std::string_view digit) { return piece.ends_with(digit); });
  }

  bool has_byte_fallback() const { return is("LlamaTokenizer") || is("GemmaTokenizer"); }

  std::int64_t unk_id() const {
    if (is("BarthezTokenizer") || is("CamembertTokenizer") || is("MBartTokenizer") || is("MBart50Tokenizer") ||
        is("NllbTokenizer") || is("XLMRobertaTokenizer") || is("XGLMTokenizer") || is("GemmaTokenizer")) {
      return 3;
    }
    if (is("SeamlessM4TTokenizer")) return ids_.id(slow_.token("unk_token"));
    if (is("PegasusTokenizer")) return model_.unk_id + count_argument("offset", 103);
    return is("LlamaTokenizer") ? 0 : model_.unk_id;
  }

  std::string model() const {
    switch (model_.algorithm) {
      case SentencePieceAlgorithm::Unigram:
        return unigram_model();
      case SentencePieceAlgorithm::Bpe:
        return bpe_model();
      case SentencePieceAlgorithm::Word:
      case SentencePieceAlgorithm::Char:
        break;
    }
    fail("only models of the types Unigram and BPE can be used");
  }

  std::string unigram_model() const {
    const std::int64_t unknown = unk_id();
    if (unknown >= static_cast<std::int64_t>(pieces_.size())) {
      fail("the unknown token's id " + std::to_string(unknown) + " is beyond the vocabulary");
    }
    ModelText text(Json(Json::Object{{"type", "Unigram"}, {"unk_id", unknown}}));
    text.begin_array("vocab");
    for (const ScoredPiece& piece : pieces_) text.scored(piece.piece, piece.score);
    text.end();
    return text.finish(has_byte_fallback() ? R"("byte_fallback": true)" : R"("byte_fallback": false)");
  }

  std::string bpe_model() const {
    ModelText text(Json(Json::Object{{"type", "BPE"},
                                     {"dropout", Json()},
                                     {"unk_token", model_.unk_piece},
                                     {"continuing_subword_prefix", Json()},
                                     {"end_of_word_suffix", Json()},
                                     {"fuse_unk", true},
                                     {"byte_fallback", has_byte_fallback()},
                                     {"ignore_merges", false}}));
    std::unordered_map<std::string_view, std::size_t> last_ids;
    for (std::size_t id = 0; id < pieces_.size(); ++id) last_ids[pieces_[id].piece] = id;
    text.begin_object("vocab");
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      if (last_ids[pieces_[id].piece] == id) text.token(pieces_[id].piece, static_cast<std::uint32_t>(id));
    }
    text.end();
    append_merges(text);
    return text.finish();
  }

  /// Every way to split a piece into two others is a merge; better scores come first, then longer parts.
  void append_merges(ModelText& text) const {
    struct Merge {
      std::string_view piece;
      std::size_t border;
      double score;
      std::size_t left_length, right_length;
      std::size_t left_id, right_id;
    };
    std::unordered_map<std::string_view, std::size_t> raw_ids;
    for (std::size_t id = 0; id < model_.pieces.size(); ++id) raw_ids.emplace(model_.pieces[id].piece, id);
    if (is("GemmaTokenizer") && !raw_ids.contains("\t")) {
      if (const auto byte = raw_ids.find("<0x09>"); byte != raw_ids.end()) raw_ids.emplace("\t", byte->second);
    }

    // Bounds the work on pieces of hostile length: it grows with the square of that.
    std::size_t work = 0;
    for (const ScoredPiece& piece : pieces_) work += piece.piece.size() * piece.piece.size();
    if (work > std::size_t{1} << 32) fail("its pieces are too long for a BPE model");

    // As in a Python dict: a piece that occurs twice stands where it was first, with its last score.
    std::unordered_map<std::string_view, double> scores;
    for (const ScoredPiece& piece : pieces_) scores[piece.piece] = piece.score;
    std::vector<Merge> merges;
    for (const ScoredPiece& scored : pieces_) {
      const std::string_view piece = scored.piece;
      const auto score = scores.find(piece);
      if (score == scores.end()) continue;
      const std::size_t first = merges.size();
      const std::size_t length = count_characters(piece);
      std::size_t left_length = 0;
      for (std::size_t border = 0; border < piece.size();) {
        border += code_point_size(piece[border]);
        ++left_length;
        if (border >= piece.size()) break;
        const auto left = raw_ids.find(piece.substr(0, border));
        if (left == raw_ids.end()) continue;
        const auto right = raw_ids.find(piece.substr(border));
        if (right == raw_ids.end()) continue;
        merges.push_back(
            {piece, border, score->second, left_length, length - left_length, left->second, right->second});
      }
      std::stable_sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
                       [](const Merge& a, const Merge& b) {
                         return std::pair(a.left_id, a.right_id) < std::pair(b.left_id, b.right_id);
                       });
      scores.erase(score);
    }
    std::ranges::stable_sort(merges, [](const Merge& a, const Merge& b) {
      return std::tuple(a.score, a.left_length, a.right_length) > std::tuple(b.score, b.left_length, b.right_length);
    });
    text.begin_array("merges");
    for (const Merge& merge : merges) text.merge(merge.piece.substr(0, merge.border), merge.piece.substr(merge.border));
    text.end();
  }

  std::vector<AddedToken> added_tokens() const {
    std::vector<AddedToken> tokens;
    for (const SentencePiece& piece : model_.pieces) {
      if (piece.type != PieceType::Control && piece.type != PieceType::UserDefined) continue;
      const bool is_turn_marker =
          is("GemmaTokenizer") && (piece.piece == "<start_of_turn>" || piece.piece == "<end_of_turn>");
      tokens.push_back(
          {.content = piece.piece, .normalized = false, .special = piece.type == PieceType::Control || is_turn_marker});
    }
    return tokens;
  }

  // ---- Pipeline -----------------------------------------------------------------------------------------------------

  bool add_prefix_space() const {
    const bool has_attribute = is("LlamaTokenizer") || is("T5Tokenizer") || is("SeamlessM4TTokenizer");
    return !has_attribute || slow_.flag("add_prefix_space", true);
  }

  bool is_legacy() const {
    if (is("SeamlessM4TTokenizer")) return false;
    const bool has_attribute = is("LlamaTokenizer") || is("T5Tokenizer") || is("UdopTokenizer");
    return !has_attribute || slow_.flag("legacy", true);
  }

  std::string_view prepend_scheme() const {
    if (!add_prefix_space()) return "never";
    return is_legacy() ? "always" : "first";
  }

  Json precompiled() const {
    return Json::Object{{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(model_.precompiled_charsmap)}};
  }

  Json normalizer() const {
    const bool has_charsmap = !model_.precompiled_charsmap.empty();
    Json::Array items;
    if (is("AlbertTokenizer") || is("XLNetTokenizer") || is("RemBertTokenizer")) {
      items = {replace("``", "\""), replace("''", "\"")};
      if (is("RemBertTokenizer")) items.push_back(replace_regex(" {2,}", " "));
      if (!slow_.flag("keep_accents", false)) {
        items.push_back(component("NFKD"));
        items.push_back(component("StripAccents"));
      }
      if (slow_.flag("do_lower_case", false)) items.push_back(component("Lowercase"));
      if (has_charsmap) items.push_back(precompiled());
      if (!is("RemBertTokenizer")) items.push_back(replace_regex(" {2,}", " "));
    } else if (is("DebertaV2Tokenizer")) {
      if (slow_.flag("do_lower_case", false)) items.push_back(component("Lowercase"));
      items.push_back(strip_normalizer(true, true));
      if (has_charsmap) items.push_back(precompiled());
      items.push_back(replace_regex(" {2,}", " "));
    } else if (is("GemmaTokenizer")) {
      return replace(" ", "▁");
    } else if (is("LlamaTokenizer")) {
      if (!is_legacy()) return {};
      if (add_prefix_space()) items.push_back(Json(Json::Object{{"type", "Prepend"}, {"prepend", "▁"}}));
      items.push_back(replace(" ", "▁"));
    } else {
      if (has_charsmap) items.push_back(precompiled());
      items.push_back(strip_normalizer(false, true));
      items.push_back(replace_regex(" {2,}", "▁"));
    }
    return sequence("normalizers", std::move(items));
  }

  Json pre_tokenizer() const {
    if (is("GemmaTokenizer")) {
      return Json::Object{{"type", "Split"},
                          {"pattern", Json::Object{{"String", " "}}},
                          {"behavior", "MergedWithPrevious"},
                          {"invert", false}};
    }
    if (is("LlamaTokenizer")) return is_legacy() ? Json() : metaspace(prepend_scheme(), false);
    if (is("PegasusTokenizer")) {
      return sequence("pretokenizers", {component("WhitespaceSplit"), metaspace(prepend_scheme())});
    }
    if (is("DebertaV2Tokenizer")) {
      Json::Array items;
      if (slow_.flag("split_by_punct", false)) {
        items.push_back(Json(Json::Object{{"type", "Punctuation"}, {"behavior", "Isolated"}}));
      }
      items.push_back(metaspace(prepend_scheme()));
      return sequence("pretokenizers", std::move(items));
    }
    return metaspace(prepend_scheme());
  }

  Json decoder() const {
    if (!is("GemmaTokenizer") && !is("LlamaTokenizer")) return metaspace(prepend_scheme());
    Json::Array items = {replace("▁", " "), component("ByteFallback"), component("Fuse")};
    if (is("LlamaTokenizer") && add_prefix_space()) items.push_back(strip_decoder(" ", 1, 0));
    return sequence("decoders", std::move(items));
  }

  /// The tokens as pieces of a template; those that are no "$A" or "$B" are looked up.
  Json tokens_template(const std::vector<TemplatePiece>& single, const std::vector<TemplatePiece>& pair,
                       const std::vector<std::string>& special_tokens) const {
    TokenIds ids;
    for (const std::string& token : special_tokens) ids.emplace_back(token, ids_.id(token));
    return template_processing(single, pair, ids);
  }

  Json post_processor() const {
    if (is("AlbertTokenizer") || is("BigBirdTokenizer") || is("DebertaV2Tokenizer") || is("RemBertTokenizer")) {
      return tokens_template({{"[CLS]", 0}, {"$A", 0}, {"[SEP]", 0}},
                             {{"[CLS]", 0}, {"$A", 0}, {"[SEP]", 0}, {"$B", 1}, {"[SEP]", 1}}, {"[CLS]", "[SEP]"});
    }
    if (is("BarthezTokenizer") || is("CamembertTokenizer") || is("XLMRobertaTokenizer")) {
      return tokens_template({{"<s>"}, {"$A"}, {"</s>"}}, {{"<s>"}, {"$A"}, {"</s>"}, {"</s>"}, {"$B"}, {"</s>"}},
                             {"<s>", "</s>"});
    }
    if (is("MBartTokenizer")) {
      return tokens_template({{"$A"}, {"</s>"}, {"en_XX"}}, {{"$A"}, {"$B"}, {"</s>"}, {"en_XX"}}, {"en_XX", "</s>"});
    }
    if (is("MBart50Tokenizer") || is("NllbTokenizer") || is("SeamlessM4TTokenizer")) {
      const std::string language = is("MBart50Tokenizer") ? "en_XX" : (is("NllbTokenizer") ? "eng_Latn" : "__eng__");
      return tokens_template({{language}, {"$A"}, {"</s>"}}, {{language}, {"$A"}, {"$B"}, {"</s>"}},
                             {language, "</s>"});
    }
    if (is("XLNetTokenizer")) {
      return tokens_template({{"$A", 0}, {"<sep>", 0}, {"<cls>", 2}},
                             {{"$A", 0}, {"<sep>", 0}, {"$B", 1}, {"<sep>", 1}, {"<cls>", 2}}, {"<sep>", "<cls>"});
    }
    if (is("PegasusTokenizer")) {
      const std::string eos = slow_.token("eos_token");
      return tokens_template({{"$A"}, {eos}}, {{"$A"}, {"$B"}, {eos}}, {eos});
    }
    if (is("T5Tokenizer") || is("UdopTokenizer")) {
      return tokens_template({{"$A"}, {"</s>"}}, {{"$A"}, {"</s>"}, {"$B"}, {"</s>"}}, {"</s>"});
    }
    if (is("XGLMTokenizer")) {
      return tokens_template({{"</s>"}, {"$A"}}, {{"</s>"}, {"$A"}, {"</s>"}, {"</s>"}, {"$B"}}, {"<s>", "</s>"});
    }
    return {};
  }

  const SlowTokenizer& slow_;
  std::string_view converter_;
  SentencePieceModel model_;
  SlowVocabulary ids_;
  std::vector<ScoredPiece> pieces_;
};

}  // namespace

bool is_sentencepiece_class(std::string_view name) {
  return std::ranges::find(kClasses, name) != std::ranges::end(kClasses);
}

ConvertedTokenizer convert_sentencepiece(const SlowTokenizer& slow) {
  return convert_sentencepiece(slow,
                               read_sentencepiece_model(read_slow_file(slow.vocab_file), slow.vocab_file.string()));
}

ConvertedTokenizer convert_sentencepiece(const SlowTokenizer& slow, SentencePieceModel model) {
  return SentencePieceConverter(slow, std::move(model)).convert();
}

}  // namespace onnxport::tokenizers
