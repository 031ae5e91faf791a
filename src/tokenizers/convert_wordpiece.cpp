#include <algorithm>
#include <array>

#include "onnxport/error.h"
#include "tokenizers/convert_internal.h"
#include "tokenizers/pretrained_text.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::array<std::string_view, 17> kBertClasses = {"BertTokenizer",       "ConvBertTokenizer",
                                                           "DistilBertTokenizer", "DPRContextEncoderTokenizer",
                                                           "DPRReaderTokenizer",  "DPRQuestionEncoderTokenizer",
                                                           "ElectraTokenizer",    "FunnelTokenizer",
                                                           "LayoutLMTokenizer",   "LayoutLMv2Tokenizer",
                                                           "LxmertTokenizer",     "MobileBertTokenizer",
                                                           "MPNetTokenizer",      "RealmTokenizer",
                                                           "RetriBertTokenizer",  "SplinterTokenizer",
                                                           "SqueezeBertTokenizer"};

Json normalizer(const SlowTokenizer& slow) {
  if (!slow.flag("do_basic_tokenize", true)) return bert_normalizer(false, Json(false), false);
  const Json* strip_accents = slow.arguments.find("strip_accents");
  return bert_normalizer(slow.flag("tokenize_chinese_chars", true), strip_accents != nullptr ? *strip_accents : Json(),
                         slow.flag("do_lower_case", true));
}

Json post_processor(const SlowTokenizer& slow, const SlowVocabulary& vocabulary) {
  const auto cls = vocabulary.special("cls_token");
  const auto sep = vocabulary.special("sep_token");
  TokenIds special_tokens = {cls, sep};
  const int cls_type = slow.class_name == "FunnelTokenizer" ? 2 : 0;
  const std::vector<TemplatePiece> single = {{cls.first, cls_type}, {"$A", 0}, {sep.first, 0}};
  std::vector<TemplatePiece> pair = single;
  if (slow.class_name == "SplinterTokenizer") {
    const auto question = vocabulary.special("question_token");
    special_tokens.push_back(question);
    special_tokens.emplace_back(".", vocabulary.id("."));
    const TemplatePiece asked{question.first, 0};
    const TemplatePiece dot{".", 0};
    if (slow.pads_left) {
      pair.insert(pair.end(), {{"$B", 1}, asked, dot, {sep.first, 1}});
    } else {
      pair = {{cls.first, 0}, {"$A", 0}, asked, dot, {sep.first, 0}, {"$B", 1}, {sep.first, 1}};
    }
  } else {
    if (slow.class_name == "MPNetTokenizer") pair.push_back({sep.first, 0});
    pair.insert(pair.end(), {{"$B", 1}, {sep.first, 1}});
  }
  return template_processing(single, pair, special_tokens);
}

}  // namespace

bool is_wordpiece_class(std::string_view name) { return std::ranges::find(kBertClasses, name) != kBertClasses.end(); }

ConvertedTokenizer convert_wordpiece(const SlowTokenizer& slow) {
  const std::vector<std::string> tokens = text_lines(read_slow_file(slow.vocab_file));
  SlowVocabulary vocabulary(slow);
  std::unordered_map<std::string_view, std::size_t> last_ids;  // of a token that stands there twice, the last id holds
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!is_valid_utf8(tokens[id])) {
      throw Error(ErrorKind::InvalidTokenizer,
                  slow.vocab_file.string() + ":" + std::to_string(id + 1) + ": not valid UTF-8");
    }
    last_ids[tokens[id]] = id;
  }

  ModelText model(Json(Json::Object{{"type", "WordPiece"},
                                    {"unk_token", slow.token("unk_token")},
                                    {"continuing_subword_prefix", "##"},
                                    {"max_input_chars_per_word", 100}}));
  model.begin_object("vocab");
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (last_ids[tokens[id]] != id) continue;
    vocabulary.add(tokens[id], static_cast<std::uint32_t>(id));
    model.token(tokens[id], static_cast<std::uint32_t>(id));
  }
  model.end();
  vocabulary.append_special_tokens();

  ConvertedTokenizer converted;
  converted.model = model.finish();
  converted.normalizer = normalizer(slow);
  converted.pre_tokenizer = component("BertPreTokenizer");
  converted.post_processor = post_processor(slow, vocabulary);
  converted.decoder = Json::Object{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  return converted;
}

}  // namespace onnxport::tokenizers
