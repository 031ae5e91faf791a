#include "tokenizers/post_processors.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

// ---- Steps ----------------------------------------------------------------------------------------------------------

struct Context {
  bool add_special_tokens = true;
  DraftFields fields{};
};

template <typename Visit>
void visit_windows(Draft& draft, Visit visit) {
  visit(draft);
  for (Draft& overflowing : draft.overflowing) visit(overflowing);
}

/// What GPT-2's alphabet has for a space.
constexpr char32_t kByteLevelSpace = 0x120;

bool is_trimmed(char32_t character) { return character == kByteLevelSpace || is_whitespace(character); }

/// Takes whitespace at the ends of tokens out of their offsets.
void trim_offsets(Draft& draft, bool add_prefix_space, DraftFields fields) {
  if (!fields.offsets) return;
  for (std::size_t i = 0; i < draft.size(); ++i) {
    const std::string& token = draft.encoding.tokens[i];
    Offset& offset = draft.encoding.offsets[i];
    std::uint32_t leading = 0;
    for (std::size_t position = 0; position < token.size() && is_trimmed(next_character(token, position));) ++leading;
    std::uint32_t trailing = 0;
    for (std::size_t position = token.size(); position > 0 && is_trimmed(previous_character(token, position));) {
      ++trailing;
    }
    // One space at the begin of a text is the one that was added: the text does not have it.
    const bool is_first = i == 0 || offset.begin == 0;
    if (is_first && add_prefix_space && leading == 1) leading = 0;
    if (leading > 0) offset.begin = std::min(offset.begin + leading, offset.end);
    if (trailing > 0 && offset.end >= trailing) offset.end = std::max(offset.end - trailing, offset.begin);
  }
}

/// The draft between special tokens; which were special before is forgotten.
Draft surround(const Draft& draft, const SpecialToken* before, const SpecialToken& after, std::uint32_t type_id,
               std::size_t sequence, DraftFields fields) {
  Draft inner{draft.encoding, {}, {}};
  std::fill(inner.encoding.special_tokens_mask.begin(), inner.encoding.special_tokens_mask.end(), 0U);
  std::fill(inner.encoding.attention_mask.begin(), inner.encoding.attention_mask.end(), 1U);
  Draft result;
  if (before != nullptr) append_special(result, *before, type_id, fields);
  const std::size_t begin = result.size();
  merge(result, inner);
  set_sequence(result, sequence, {begin, result.size()});
  append_special(result, after, type_id, fields);
  return result;
}

void apply(const BertProcessing& step, std::vector<Draft>& drafts, const Context& context) {
  if (!context.add_special_tokens) return;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    visit_windows(drafts[i], [&](Draft& draft) {
      std::vector<Draft> overflowing = std::move(draft.overflowing);
      draft = i == 0 ? surround(draft, &step.cls, step.sep, 0, 0, context.fields)
                     : surround(draft, nullptr, step.sep, 1, 1, context.fields);
      draft.overflowing = std::move(overflowing);
    });
  }
}

void apply(const RobertaProcessing& step, std::vector<Draft>& drafts, const Context& context) {
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    Draft& whole = drafts[i];
    if (step.trim_offsets) {
      visit_windows(whole, [&](Draft& draft) { trim_offsets(draft, step.add_prefix_space, context.fields); });
    }
    std::fill(whole.encoding.type_ids.begin(), whole.encoding.type_ids.end(), 0U);
    if (!context.add_special_tokens) continue;
    visit_windows(whole, [&](Draft& draft) {
      std::vector<Draft> overflowing = std::move(draft.overflowing);
      draft = surround(draft, i == 0 ? &step.cls : &step.sep, step.sep, 0, i == 0 ? 0 : 1, context.fields);
      std::fill(draft.encoding.type_ids.begin(), draft.encoding.type_ids.end(), 0U);
      draft.overflowing = std::move(overflowing);
    });
  }
}

void apply(const TemplateProcessing& step, std::vector<Draft>& drafts, const Context& context) {
  if (drafts.size() > 2) {
    throw Error(ErrorKind::InvalidTokenizer,
                "post_processor: TemplateProcessing behind another one that adds special tokens");
  }
  std::vector<Draft> result;
  for (const TemplateProcessing::Piece& piece : drafts.size() == 2 ? step.pair : step.single) {
    if (piece.is_sequence) {
      Draft& draft = drafts[piece.sequence];
      std::fill(draft.encoding.type_ids.begin(), draft.encoding.type_ids.end(), piece.type_id);
      set_sequence(draft, piece.sequence, {0, draft.size()});
      result.push_back(draft);
    } else if (context.add_special_tokens) {
      Draft& draft = result.emplace_back();
      for (const SpecialToken& token : step.special_tokens.at(piece.special_token)) {
        append_special(draft, token, piece.type_id, context.fields);
      }
    }
  }
  drafts = std::move(result);
}

void apply(const ByteLevelPreTokenizer& step, std::vector<Draft>& drafts, const Context& context) {
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    if (step.trim_offsets) {
      visit_windows(drafts[i], [&](Draft& draft) { trim_offsets(draft, step.add_prefix_space, context.fields); });
    }
    set_sequence(drafts[i], i, {0, drafts[i].size()});
  }
}

void apply_step(const PostProcessor& post_processor, std::vector<Draft>& drafts, const Context& context);

void apply(const PostProcessorSequence& step, std::vector<Draft>& drafts, const Context& context) {
  for (const PostProcessor& processor : step.processors) apply_step(processor, drafts, context);
}

void apply_step(const PostProcessor& post_processor, std::vector<Draft>& drafts, const Context& context) {
  std::visit([&](const auto& step) { apply(step, drafts, context); }, post_processor.step);
}

std::size_t count_of(const BertProcessing&, bool is_pair) { return is_pair ? 3 : 2; }
std::size_t count_of(const RobertaProcessing&, bool is_pair) { return is_pair ? 4 : 2; }
std::size_t count_of(const ByteLevelPreTokenizer&, bool) { return 0; }

std::size_t count_of(const TemplateProcessing& step, bool is_pair) {
  std::size_t count = 0;
  for (const TemplateProcessing::Piece& piece : is_pair ? step.pair : step.single) {
    if (!piece.is_sequence) count += step.special_tokens.at(piece.special_token).size();
  }
  return count;
}

std::size_t count_of(const PostProcessorSequence& step, bool is_pair) {
  std::size_t count = 0;
  for (const PostProcessor& processor : step.processors) count += added_token_count(processor, is_pair);
  return count;
}

bool trims(const BertProcessing&) { return false; }
bool trims(const RobertaProcessing& step) { return step.trim_offsets; }
bool trims(const TemplateProcessing&) { return false; }
bool trims(const ByteLevelPreTokenizer& step) { return step.trim_offsets; }
bool trims(const PostProcessorSequence& step) {
  return std::any_of(step.processors.begin(), step.processors.end(), trims_offsets);
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

Json json_of(const SpecialToken& token) { return Json::Array{token.content, std::int64_t{token.id}}; }

Json json_of(const BertProcessing& step) {
  return Json::Object{{"type", "BertProcessing"}, {"sep", json_of(step.sep)}, {"cls", json_of(step.cls)}};
}

Json json_of(const RobertaProcessing& step) {
  return Json::Object{{"type", "RobertaProcessing"},
                      {"sep", json_of(step.sep)},
                      {"cls", json_of(step.cls)},
                      {"trim_offsets", step.trim_offsets},
                      {"add_prefix_space", step.add_prefix_space}};
}

Json json_of(const std::vector<TemplateProcessing::Piece>& pieces) {
  Json::Array result;
  for (const TemplateProcessing::Piece& piece : pieces) {
    const std::string id = !piece.is_sequence ? piece.special_token : piece.sequence == 0 ? "A" : "B";
    result.push_back(Json::Object{
        {piece.is_sequence ? "Sequence" : "SpecialToken",
         Json::Object{{"id", id}, {"type_id", std::int64_t{piece.type_id}}}},
    });
  }
  return result;
}

Json json_of(const TemplateProcessing& step) {
  Json::Object special_tokens;
  for (const auto& [name, tokens] : step.special_tokens) {
    Json::Array ids;
    Json::Array contents;
    for (const SpecialToken& token : tokens) {
      ids.push_back(std::int64_t{token.id});
      contents.push_back(token.content);
    }
    special_tokens.emplace_back(name, Json::Object{{"id", name}, {"ids", ids}, {"tokens", contents}});
  }
  return Json::Object{{"type", "TemplateProcessing"},
                      {"single", json_of(step.single)},
                      {"pair", json_of(step.pair)},
                      {"special_tokens", std::move(special_tokens)}};
}

Json json_of(const ByteLevelPreTokenizer& step) { return to_json(step); }

Json json_of(const PostProcessorSequence& step) {
  Json::Array processors;
  for (const PostProcessor& processor : step.processors) processors.push_back(to_json(processor));
  return Json::Object{{"type", "Sequence"}, {"processors", std::move(processors)}};
}

/// ["[SEP]", 102]
SpecialToken read_special_token(const JsonField& field) {
  const std::vector<JsonField> elements = field.elements();
  if (elements.size() != 2) field.fail("expected a token and its id");
  return {elements[0].string(), elements[1].unsigned_32()};
}

std::vector<TemplateProcessing::Piece> read_pieces(const JsonField& field, bool is_pair,
                                                   const TemplateProcessing& step) {
  std::vector<TemplateProcessing::Piece> pieces;
  for (const JsonField& element : field.elements()) {
    TemplateProcessing::Piece& piece = pieces.emplace_back();
    piece.is_sequence = element.has("Sequence");
    const JsonField content = element.at(piece.is_sequence ? "Sequence" : "SpecialToken");
    piece.type_id = content.at("type_id").unsigned_32();
    const JsonField id = content.at("id");
    if (!piece.is_sequence) {
      piece.special_token = id.string();
      if (!step.special_tokens.contains(piece.special_token)) {
        id.fail("the token " + quote_json(piece.special_token) + " is not among special_tokens");
      }
    } else {
      piece.sequence = id.one_of({"A", "B"});
      if (piece.sequence == 1 && !is_pair) id.fail("a template for one text has no sequence B");
    }
  }
  return pieces;
}

TemplateProcessing read_template(const JsonField& field) {
  TemplateProcessing step;
  for (const auto& [name, token] : field.at("special_tokens").members()) {
    const std::vector<JsonField> ids = token.at("ids").elements();
    const std::vector<JsonField> contents = token.at("tokens").elements();
    if (ids.size() != contents.size()) token.fail("ids and tokens differ in number");
    std::vector<SpecialToken>& tokens = step.special_tokens[std::string(name)];
    for (std::size_t i = 0; i < ids.size(); ++i) tokens.push_back({contents[i].string(), ids[i].unsigned_32()});
  }
  step.single = read_pieces(field.at("single"), false, step);
  step.pair = read_pieces(field.at("pair"), true, step);
  return step;
}

/// The type of a step that a very old file does not name.
std::string_view guess_type(const JsonField& field) {
  if (field.has("trim_offsets") && field.has("sep")) return "RobertaProcessing";
  if (field.has("sep")) return "BertProcessing";
  if (field.has("single")) return "TemplateProcessing";
  return field.at("type").string();
}

}  // namespace

PostProcessor read_post_processor(const JsonField& field) {
  const std::string_view type = field.has("type") ? field.at("type").string() : guess_type(field);
  if (type == "BertProcessing") {
    return {BertProcessing{.sep = read_special_token(field.at("sep")), .cls = read_special_token(field.at("cls"))}};
  }
  if (type == "RobertaProcessing") {
    return {RobertaProcessing{.sep = read_special_token(field.at("sep")),
                              .cls = read_special_token(field.at("cls")),
                              .trim_offsets = field.at("trim_offsets").boolean(),
                              .add_prefix_space = field.at("add_prefix_space").boolean()}};
  }
  if (type == "TemplateProcessing") return {read_template(field)};
  if (type == "ByteLevel") return {read_byte_level(field)};
  if (type == "Sequence") {
    PostProcessorSequence sequence;
    for (const JsonField& element : field.at("processors").elements()) {
      sequence.processors.push_back(read_post_processor(element));
    }
    return {std::move(sequence)};
  }
  field.at("type").fail("unknown post-processor " + quote_json(type) +
                        "; known ones: BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
}

Json to_json(const PostProcessor& post_processor) {
  return std::visit([](const auto& step) { return json_of(step); }, post_processor.step);
}

std::size_t added_token_count(const PostProcessor& post_processor, bool is_pair) {
  return std::visit([&](const auto& step) { return count_of(step, is_pair); }, post_processor.step);
}

bool trims_offsets(const PostProcessor& post_processor) {
  return std::visit([](const auto& step) { return trims(step); }, post_processor.step);
}

Draft post_process(const PostProcessor* post_processor, Draft draft, std::optional<Draft> pair, bool add_special_tokens,
                   DraftFields fields) {
  std::vector<Draft> drafts;
  drafts.push_back(std::move(draft));
  if (pair) drafts.push_back(std::move(*pair));
  if (post_processor != nullptr) {
    for (std::size_t i = 0; i < drafts.size(); ++i) {
      visit_windows(drafts[i], [&](Draft& window) { set_sequence(window, i, {0, window.size()}); });
      std::fill(drafts[i].encoding.type_ids.begin(), drafts[i].encoding.type_ids.end(), static_cast<std::uint32_t>(i));
    }
    apply_step(*post_processor, drafts, {add_special_tokens, fields});
  } else if (drafts.size() > 1) {
    for (std::size_t i = 0; i < drafts.size(); ++i) set_sequence(drafts[i], i, {0, drafts[i].size()});
  }
  if (drafts.empty()) return {};
  Draft result = std::move(drafts.front());
  for (std::size_t i = 1; i < drafts.size(); ++i) merge(result, drafts[i]);
  return result;
}

}  // namespace onnxport::tokenizers
