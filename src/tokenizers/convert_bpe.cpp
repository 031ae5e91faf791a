#include <algorithm>
#include <limits>
#include <set>

#include "onnxport/error.h"
#include "tokenizers/convert_internal.h"
#include "tokenizers/pretrained_class.h"
#include "tokenizers/pretrained_text.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kClasses[] = {
    "BartTokenizer",      "BlenderbotTokenizer", "CLIPTokenizer",    "CodeGenTokenizer",
    "DebertaTokenizer",   "GPT2Tokenizer",       "HerbertTokenizer", "LayoutLMv3Tokenizer",
    "LEDTokenizer",       "LongformerTokenizer", "MvpTokenizer",     "MarkupLMTokenizer",
    "OpenAIGPTTokenizer", "Qwen2Tokenizer",      "RobertaTokenizer", "WhisperTokenizer"};

/// Those that transformers gives to RobertaConverter.
constexpr std::string_view kRobertaClasses[] = {"BartTokenizer",       "LayoutLMv3Tokenizer", "LEDTokenizer",
                                                "LongformerTokenizer", "MvpTokenizer",        "RobertaTokenizer"};

constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kClipPattern = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

bool is_among(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

using Merge = std::pair<std::string_view, std::string_view>;

/// The lines of merges.txt that the class's Python reads as merges, with their numbers.
std::vector<std::pair<std::size_t, std::string_view>> merge_lines(const SlowTokenizer& slow,
                                                                  std::span<const std::string> lines,
                                                                  bool ends_with_newline) {
  std::vector<std::pair<std::size_t, std::string_view>> result;
  const bool is_qwen = slow.class_name == "Qwen2Tokenizer";
  const bool is_clip = slow.class_name == "CLIPTokenizer";
  const bool is_herbert = slow.class_name == "HerbertTokenizer";
  // Python's split("\n")[1:-1]: without the first line, and without what follows the last line end.
  std::size_t count = lines.size() - (!ends_with_newline && !is_qwen && !is_clip && !lines.empty() ? 1 : 0);
  if (is_clip) count = std::min<std::size_t>(count, 49152 - 256 - 2 + 1);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view line = is_qwen ? python_strip(lines[i]) : std::string_view(lines[i]);
    if (is_qwen) {
      if ((i == 0 && line.starts_with("#version:")) || line.empty()) continue;
    } else if (is_herbert) {
      if (i == 0 && line.starts_with("#version:")) continue;
    } else if (i == 0) {
      continue;
    }
    result.emplace_back(i + 1, line);
  }
  return result;
}

struct BpeFiles {
  Json vocab;
  std::vector<std::string> lines;
  std::vector<Merge> merges;
};

BpeFiles read_files(const SlowTokenizer& slow) {
  BpeFiles files;
  const std::string vocab_text = read_slow_file(slow.vocab_file);
  try {
    files.vocab = parse_json(vocab_text, slow.vocab_file.string());
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, error.what());
  }
  const auto fail = [&](const std::string& reason) {
    throw Error(ErrorKind::InvalidTokenizer, slow.vocab_file.string() + ": " + reason);
  };
  if (!files.vocab.is_object()) fail("must be an object of tokens and their ids");
  for (const auto& [token, id] : files.vocab.object()) {
    if (!id.is_integer() || id.integer() < 0 || id.integer() > std::numeric_limits<std::int32_t>::max()) {
      fail("the id of " + quote_json(token) + " must be an integer from 0 to 2147483647");
    }
  }

  std::string text = read_slow_file(slow.merges_file);
  if (!is_valid_utf8(text)) throw Error(ErrorKind::InvalidTokenizer, slow.merges_file.string() + ": not valid UTF-8");
  if (slow.class_name == "CLIPTokenizer") text = std::string(python_strip(text));
  const bool ends_with_newline = text.ends_with('\n') || text.ends_with('\r');
  files.lines = text_lines(text);
  std::set<Merge> seen;
  for (const auto& [number, line] : merge_lines(slow, files.lines, ends_with_newline)) {
    std::vector<std::string_view> parts = python_split(line);
    if (slow.class_name == "HerbertTokenizer" && parts.size() > 2) parts.resize(2);
    if (parts.size() != 2) {
      throw Error(ErrorKind::InvalidTokenizer, slow.merges_file.string() + ":" + std::to_string(number) +
                                                   ": a merge must be two tokens, is " + quote_json(line));
    }
    const Merge merge(parts[0], parts[1]);
    if (seen.insert(merge).second) files.merges.push_back(merge);
  }
  return files;
}

/// What differs between the classes' BPE models.
struct BpeOptions {
  Json unk_token;
  Json continuing_subword_prefix = Json("");
  Json end_of_word_suffix = Json("");
};

std::string model_text(const BpeFiles& files, const BpeOptions& options) {
  ModelText model(Json(Json::Object{{"type", "BPE"},
                                    {"dropout", Json()},
                                    {"unk_token", options.unk_token},
                                    {"continuing_subword_prefix", options.continuing_subword_prefix},
                                    {"end_of_word_suffix", options.end_of_word_suffix},
                                    {"fuse_unk", false},
                                    {"byte_fallback", false},
                                    {"ignore_merges", false}}));
  model.begin_object("vocab");
  for (const auto& [token, id] : files.vocab.object()) model.token(token, static_cast<std::uint32_t>(id.integer()));
  model.end();
  model.begin_array("merges");
  for (const auto& [left, right] : files.merges) model.merge(left, right);
  model.end();
  return model.finish();
}

Json with_tokens(std::string_view type, const SlowVocabulary& vocabulary, std::string_view sep, std::string_view cls) {
  const auto member = [&](std::string_view argument) {
    const auto [token, id] = vocabulary.special(argument);
    return Json(Json::Array{Json(token), Json(static_cast<std::int64_t>(id))});
  };
  return Json::Object{{"type", type}, {"sep", member(sep)}, {"cls", member(cls)}};
}

void convert_openai_gpt(const SlowTokenizer& slow, const SlowVocabulary& vocabulary, ConvertedTokenizer& converted) {
  const std::string unk = slow.token("unk_token");
  if (vocabulary.find(unk)) converted.added_tokens.push_back({.content = unk, .normalized = false, .special = true});
  converted.normalizer = bert_normalizer(true, Json(), true);
  converted.pre_tokenizer = component("BertPreTokenizer");
  converted.decoder = Json::Object{{"type", "BPEDecoder"}, {"suffix", "</w>"}};
}

void convert_herbert(const SlowVocabulary& vocabulary, ConvertedTokenizer& converted) {
  converted.normalizer = bert_normalizer(true, Json(false), false);
  converted.pre_tokenizer = component("BertPreTokenizer");
  converted.decoder = Json::Object{{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  converted.post_processor = with_tokens("BertProcessing", vocabulary, "sep_token", "cls_token");
}

void convert_clip(const SlowVocabulary& vocabulary, ConvertedTokenizer& converted) {
  converted.normalizer =
      sequence("normalizers", {component("NFC"), replace_regex(R"(\s+)", " "), component("Lowercase")});
  converted.pre_tokenizer = sequence("pretokenizers", {split(kClipPattern, "Removed", true), byte_level(false)});
  converted.decoder = byte_level();
  converted.post_processor = with_tokens("RobertaProcessing", vocabulary, "eos_token", "bos_token");
  converted.post_processor.set("trim_offsets", false);
  converted.post_processor.set("add_prefix_space", false);
}

Json whisper_post_processor(const SlowTokenizer& slow, const SlowVocabulary& vocabulary) {
  const auto eos = vocabulary.special("eos_token");
  TokenIds tokens = {eos};
  std::vector<TemplatePiece> prefix;
  const auto append = [&](std::uint32_t id) {
    const std::string token = vocabulary.token(id);
    prefix.push_back({token, 0});
    tokens.emplace_back(token, id);
  };
  const std::uint32_t start = vocabulary.id("<|startoftranscript|>");
  append(start);
  if (const Json* language = slow.arguments.find("language"); language != nullptr && language->is_string()) {
    std::string name = language->string();
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const auto code = whisper_language_code(name);
    if (!code) throw Error(ErrorKind::InvalidTokenizer, "WhisperTokenizer: unknown \"language\" " + quote_json(name));
    const auto& codes = class_languages("WhisperTokenizer");
    append(start + 1 + static_cast<std::uint32_t>(std::ranges::find(codes, *code) - codes.begin()));
  }
  if (const Json* task = slow.arguments.find("task"); task != nullptr && task->is_string()) {
    if (task->string() != "transcribe" && task->string() != "translate") {
      throw Error(ErrorKind::InvalidTokenizer,
                  "WhisperTokenizer: \"task\" must be transcribe or translate, is " + quote_json(task->string()));
    }
    append(vocabulary.id("<|" + task->string() + "|>"));
  }
  if (!slow.flag("predict_timestamps", false)) append(vocabulary.id("<|notimestamps|>"));

  std::vector<TemplatePiece> single = prefix;
  single.insert(single.end(), {{"$A", 0}, {eos.first, 0}});
  std::vector<TemplatePiece> pair = prefix;
  pair.insert(pair.end(), {{"$A", 0}, {"$B", 1}, {eos.first, 1}});
  return template_processing(single, pair, tokens);
}

Json cls_sep_template(const std::pair<std::string, std::uint32_t>& cls,
                      const std::pair<std::string, std::uint32_t>& sep, int pair_type) {
  return template_processing({{cls.first, 0}, {"$A", 0}, {sep.first, 0}},
                             {{cls.first, 0}, {"$A", 0}, {sep.first, 0}, {"$B", pair_type}, {sep.first, pair_type}},
                             {cls, sep});
}

void convert_byte_level(const SlowTokenizer& slow, const SlowVocabulary& vocabulary, ConvertedTokenizer& converted) {
  const bool add_prefix_space = slow.flag("add_prefix_space", false);
  converted.pre_tokenizer = byte_level(add_prefix_space);
  converted.decoder = byte_level();
  const std::string_view name = slow.class_name;
  if (is_among(name, kRobertaClasses)) {
    converted.post_processor = with_tokens("RobertaProcessing", vocabulary, "sep_token", "cls_token");
    converted.post_processor.set("trim_offsets", true);
    converted.post_processor.set("add_prefix_space", add_prefix_space);
  } else if (name == "WhisperTokenizer") {
    converted.post_processor = whisper_post_processor(slow, vocabulary);
  } else if (name == "DebertaTokenizer") {
    converted.post_processor =
        cls_sep_template({"[CLS]", vocabulary.id("[CLS]")}, {"[SEP]", vocabulary.id("[SEP]")}, 1);
  } else if (name == "MarkupLMTokenizer") {
    converted.post_processor = cls_sep_template(vocabulary.special("cls_token"), vocabulary.special("sep_token"), 0);
  } else if (name == "BlenderbotTokenizer") {
    const auto eos = vocabulary.special("eos_token");
    converted.post_processor = template_processing({{"$A", 0}, {eos.first, 0}}, {{"$A", 0}, {"$B", 1}}, {eos});
  } else if (name == "Qwen2Tokenizer") {
    converted.normalizer = component("NFC");
    converted.pre_tokenizer =
        sequence("pretokenizers", {split(kQwen2Pattern, "Isolated"), byte_level(add_prefix_space, true, false)});
    converted.post_processor = byte_level(true, false);
  } else if (slow.flag("add_bos_token", false)) {  // GPT-2 and CodeGen
    const auto bos = vocabulary.special("bos_token");
    converted.post_processor =
        template_processing({{bos.first, 0}, {"$A", 0}}, {{bos.first, 0}, {"$A", 0}, {"$B", 1}}, {bos});
  } else {
    converted.post_processor = byte_level(true, false);
  }
}

}  // namespace

bool is_bpe_class(std::string_view name) { return is_among(name, kClasses); }

ConvertedTokenizer convert_bpe(const SlowTokenizer& slow) {
  const BpeFiles files = read_files(slow);
  SlowVocabulary vocabulary(slow);
  for (const auto& [token, id] : files.vocab.object()) vocabulary.add(token, static_cast<std::uint32_t>(id.integer()));
  vocabulary.append_special_tokens();

  const std::string_view name = slow.class_name;
  BpeOptions options;
  if (name == "OpenAIGPTTokenizer" || name == "HerbertTokenizer") options.continuing_subword_prefix = Json();
  if (name == "OpenAIGPTTokenizer" || name == "HerbertTokenizer" || name == "CLIPTokenizer") {
    options.end_of_word_suffix = Json("</w>");
    options.unk_token = Json(slow.token("unk_token"));
  }
  if (name == "MarkupLMTokenizer") options.unk_token = Json(slow.token("unk_token"));

  ConvertedTokenizer converted;
  converted.model = model_text(files, options);
  if (name == "OpenAIGPTTokenizer") {
    convert_openai_gpt(slow, vocabulary, converted);
  } else if (name == "HerbertTokenizer") {
    convert_herbert(vocabulary, converted);
  } else if (name == "CLIPTokenizer") {
    convert_clip(vocabulary, converted);
  } else {
    convert_byte_level(slow, vocabulary, converted);
  }
  return converted;
}

}  // namespace onnxport::tokenizers
