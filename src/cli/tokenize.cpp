// onnxport tokenize: texts to tokens and back, and chats to prompts.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/hub_options.h"
#include "cli/run_input.h"
#include "cli/terminal.h"
#include "core/environment.h"
#include "core/parallel_for.h"
#include "core/text_table.h"
#include "onnxport/auto_tokenizer.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/unicode.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;
using tokenizers::next_character;

struct Request {
  fs::path path;
  HubOptions hub;
  std::vector<std::string> texts;
  fs::path file;
  std::optional<std::string> pair;
  bool jsonl = false;
  bool decode = false;
  bool chat = false;
  bool special_tokens = true;
  bool generation_prompt = false;
};

/// A tokenizer.json as it stands, also that of a directory; else the one that the directory's other files make.
Tokenizer open_tokenizer(const fs::path& path, const HubOptions& hub) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return Tokenizer::from_file(path);
  if (fs::exists(path / "tokenizer.json", ignored)) return Tokenizer::from_file(path / "tokenizer.json");
  return AutoTokenizer::from_pretrained(path, hub).backend_tokenizer();
}

/// What cannot be written flush_stdout() finds out.
void write(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void write_line(std::string_view text) {
  write(text);
  write("\n");
}

// ---- Objects in -----------------------------------------------------------------------------------------------------

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

const Json* find_given(const Json& object, std::string_view name) {
  const Json* found = object.find(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::string text_of(const Json& object, std::string_view name) {
  const Json* found = object.find(name);
  if (found == nullptr || !found->is_string()) fail(fmt::format("\"{}\" must be a string", name));
  return found->string();
}

std::size_t count_of(const Json& value, std::string_view name) {
  if (!value.is_integer() || value.integer() < 0) fail(fmt::format("\"{}\" must be an integer of 0 or more", name));
  return static_cast<std::size_t>(value.integer());
}

std::uint32_t id_of(const Json& value, std::string_view name) {
  const std::size_t id = count_of(value, name);
  if (id > std::numeric_limits<std::uint32_t>::max()) fail(fmt::format("\"{}\" is beyond 32 bits", name));
  return static_cast<std::uint32_t>(id);
}

/// One of some names, by the position it has among them; 0 if the member is absent.
template <std::size_t count>
std::size_t choice_of(const Json& object, std::string_view name, const std::array<std::string_view, count>& choices) {
  const Json* found = find_given(object, name);
  if (found == nullptr) return 0;
  for (std::size_t i = 0; i < count; ++i)
    if (found->is_string() && found->string() == choices[i]) return i;
  fail(fmt::format("\"{}\" must be one of {}", name, fmt::join(choices, ", ")));
}

Direction direction_of(const Json& object) {
  return choice_of<2>(object, "direction", {"Right", "Left"}) == 0 ? Direction::Right : Direction::Left;
}

void refuse_other_members(const Json& object, std::string_view what, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) fail(fmt::format("\"{}\" must be an object or null", what));
  for (const auto& [name, value] : object.object())
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail(fmt::format("\"{}\" has no member {}", what, quote_json(name)));
}

Truncation read_truncation(const Json& object) {
  refuse_other_members(object, "truncation", {"max_length", "stride", "strategy", "direction"});
  constexpr std::array kStrategies{TruncationStrategy::LongestFirst, TruncationStrategy::OnlyFirst,
                                   TruncationStrategy::OnlySecond};
  Truncation truncation;
  if (const Json* length = find_given(object, "max_length")) truncation.max_length = count_of(*length, "max_length");
  if (const Json* stride = find_given(object, "stride")) truncation.stride = count_of(*stride, "stride");
  truncation.strategy = kStrategies.at(choice_of<3>(object, "strategy", {"LongestFirst", "OnlyFirst", "OnlySecond"}));
  truncation.direction = direction_of(object);
  return truncation;
}

/// "BatchLongest" or {"Fixed": 12}
std::optional<std::size_t> read_padding_length(const Json& object) {
  const Json* strategy = find_given(object, "strategy");
  if (strategy == nullptr || (strategy->is_string() && strategy->string() == "BatchLongest")) return std::nullopt;
  const Json* fixed = find_given(*strategy, "Fixed");
  if (fixed == nullptr) fail(R"("strategy" of "padding" must be "BatchLongest" or {"Fixed": length})");
  return count_of(*fixed, "Fixed");
}

Padding read_padding(const Json& object) {
  refuse_other_members(object, "padding",
                       {"strategy", "direction", "pad_to_multiple_of", "pad_id", "pad_type_id", "pad_token"});
  Padding padding;
  padding.length = read_padding_length(object);
  if (const Json* multiple = find_given(object, "pad_to_multiple_of"))
    padding.pad_to_multiple_of = count_of(*multiple, "pad_to_multiple_of");
  padding.direction = direction_of(object);
  if (const Json* id = find_given(object, "pad_id")) padding.pad_id = id_of(*id, "pad_id");
  if (const Json* id = find_given(object, "pad_type_id")) padding.pad_type_id = id_of(*id, "pad_type_id");
  if (find_given(object, "pad_token") != nullptr) padding.pad_token = text_of(object, "pad_token");
  return padding;
}

// ---- Objects out ----------------------------------------------------------------------------------------------------

Json numbers(const std::vector<std::uint32_t>& values) {
  Json::Array array;
  array.reserve(values.size());
  for (const std::uint32_t value : values) array.emplace_back(std::int64_t{value});
  return array;
}

Json indexes(const std::vector<std::int32_t>& values) {
  Json::Array array;
  array.reserve(values.size());
  for (const std::int32_t value : values) array.push_back(value == no_index ? Json() : Json(std::int64_t{value}));
  return array;
}

/// Adds the fields of an encoding; members of these names that the input had are replaced.
void describe(const Encoding& encoding, Json& object) {
  Json::Array offsets;
  offsets.reserve(encoding.offsets.size());
  for (const Offset& offset : encoding.offsets)
    offsets.emplace_back(Json::Array{std::int64_t{offset.begin}, std::int64_t{offset.end}});
  Json::Array tokens(encoding.tokens.begin(), encoding.tokens.end());
  object.set("ids", numbers(encoding.ids));
  object.set("type_ids", numbers(encoding.type_ids));
  object.set("attention_mask", numbers(encoding.attention_mask));
  object.set("special_tokens_mask", numbers(encoding.special_tokens_mask));
  object.set("offsets", std::move(offsets));
  object.set("tokens", std::move(tokens));
  object.set("word_ids", indexes(encoding.word_ids));
  object.set("sequence_ids", indexes(encoding.sequence_ids));
}

void describe_decoded(const Tokenizer& tokenizer, const std::vector<std::uint32_t>& ids, Json& object) {
  object.set("decoded_skip", tokenizer.decode(ids, true));
  object.set("decoded_keep", tokenizer.decode(ids, false));
}

// ---- A stream of objects --------------------------------------------------------------------------------------------

/// Lines of JSON to lines of JSON, in blocks that all cores work on.
class ObjectStream {
 public:
  ObjectStream(const Request& request, Tokenizer tokenizer) : request_(request), tokenizer_(std::move(tokenizer)) {}

  void run() {
    RunInput lines({}, request_.file);
    for (std::vector<RunInput::Line> block = read_block(lines); !block.empty(); block = read_block(lines)) {
      std::vector<Result> results(block.size());
      const auto process = [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto at = static_cast<std::size_t>(i);
          try {
            results[at].text = process_line(lines, block[at]);
          } catch (...) {
            results[at].error = std::current_exception();
          }
        }
      };
      parallel_for(static_cast<std::int64_t>(block.size()), 1, process);
      for (const Result& result : results) {
        if (result.error) std::rethrow_exception(result.error);
        write_line(result.text);
      }
      // A reader at the other end of a pipe is not kept waiting, and a disk that is full is noticed.
      flush_stdout();
    }
  }

 private:
  /// What a line gives; those before one that fails are printed.
  struct Result {
    std::string text;
    std::exception_ptr error;
  };

  std::vector<RunInput::Line> read_block(RunInput& lines) const {
    // From a terminal every line is answered at once.
    const std::size_t most_lines = lines.is_terminal() ? 1 : 1024;
    constexpr std::size_t kMostBytes = 1 << 20;
    std::vector<RunInput::Line> block;
    for (std::size_t bytes = 0; block.size() < most_lines && bytes < kMostBytes;) {
      std::optional<RunInput::Line> line = lines.next();
      if (!line) break;
      if (line->text.find_first_not_of(" \t") == std::string::npos) continue;
      bytes += line->text.size();
      block.push_back(std::move(*line));
    }
    return block;
  }

  std::string process_line(const RunInput& lines, const RunInput::Line& line) const {
    try {
      Json object = parse_json(line.text, "JSON", LargeIntegers::AsDouble);
      if (!object.is_object()) fail("the line must be a JSON object");
      request_.decode ? decode(object) : encode(object);
      return dump_json(object);
    } catch (const Error& error) {
      throw Error(ErrorKind::InvalidArgument, fmt::format("{}: {}", lines.describe(line.number), error.what()));
    }
  }

  void encode(Json& object) const {
    const std::string text = text_of(object, "text");
    std::optional<std::string> pair;
    if (find_given(object, "pair") != nullptr) pair = text_of(object, "pair");
    bool special_tokens = request_.special_tokens;
    if (const Json* given = find_given(object, "add_special_tokens")) {
      if (!given->is_boolean()) fail("\"add_special_tokens\" must be true or false");
      special_tokens = given->boolean();
    }
    Tokenizer tokenizer = tokenizer_;
    // null switches off what a tokenizer.json may store; what is not said at all stays as it stores it.
    std::optional<Truncation> truncation = tokenizer.truncation();
    if (const Json* given = object.find("truncation"))
      truncation = given->is_null() ? std::nullopt : std::optional(read_truncation(*given));
    std::optional<Padding> padding = tokenizer.padding();
    if (const Json* given = object.find("padding"))
      padding = given->is_null() ? std::nullopt : std::optional(read_padding(*given));
    Encoding encoding;
    try {
      if (truncation != tokenizer.truncation()) tokenizer.set_truncation(truncation);
      if (padding != tokenizer.padding()) tokenizer.set_padding(padding);
      const EncodeOptions options{.add_special_tokens = special_tokens, .threads = 1};
      encoding = pair ? tokenizer.encode(text, *pair, options) : tokenizer.encode(text, options);
    } catch (const Error& error) {
      // The object is right; what it asks for cannot be done with this text.
      object.set("error", error.what());
      return;
    }
    describe(encoding, object);
    describe_decoded(tokenizer, encoding.ids, object);
    Json::Array overflowing;
    for (const Encoding& window : encoding.overflowing) describe(window, overflowing.emplace_back());
    object.set("n_overflowing", static_cast<std::int64_t>(overflowing.size()));
    object.set("overflowing", std::move(overflowing));
  }

  void decode(Json& object) const {
    const Json* given = object.find("ids");
    if (given == nullptr || !given->is_array()) fail("\"ids\" must be an array");
    std::vector<std::uint32_t> ids;
    for (const Json& id : given->array()) ids.push_back(id_of(id, "ids"));
    describe_decoded(tokenizer_, ids, object);
  }

  const Request& request_;
  Tokenizer tokenizer_;
};

// ---- For a reader ---------------------------------------------------------------------------------------------------

/// [begin, end) in code points of valid UTF-8.
std::string_view part_of(std::string_view text, const Offset& offset) {
  std::size_t position = 0;
  std::size_t index = 0;
  for (; index < offset.begin && position < text.size(); ++index) next_character(text, position);
  const std::size_t begin = position;
  for (; index < offset.end && position < text.size(); ++index) next_character(text, position);
  return text.substr(begin, position - begin);
}

bool is_coloured() { return terminal_columns(stdout) > 0 && environment("NO_COLOR").empty(); }

/// The tokens in a line, each on another ground than its neighbours.
std::string coloured_tokens(const Encoding& encoding) {
  constexpr std::array<std::string_view, 4> kGrounds{"\x1b[30;46m", "\x1b[30;43m", "\x1b[30;42m", "\x1b[30;45m"};
  std::string line = "  ";
  for (std::size_t i = 0; i < encoding.size(); ++i)
    line += fmt::format("{}{}\x1b[0m", kGrounds.at(i % kGrounds.size()), printable(encoding.tokens[i]));
  return line + "\n";
}

std::string format_encoding(const Encoding& encoding, const std::string& text, const std::optional<std::string>& pair) {
  TextTable table({1});
  table.add({"token", "id", "offsets", "word", "text"});
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    const Offset& offset = encoding.offsets[i];
    const bool is_special = encoding.special_tokens_mask[i] != 0;
    const std::string& source = encoding.sequence_ids[i] == 1 && pair ? *pair : text;
    table.add({printable(encoding.tokens[i]), std::to_string(encoding.ids[i]),
               is_special ? "" : fmt::format("{}..{}", offset.begin, offset.end),
               encoding.word_ids[i] == no_index ? "" : std::to_string(encoding.word_ids[i]),
               is_special ? "" : quote_json(part_of(source, offset))});
  }
  return (is_coloured() ? coloured_tokens(encoding) : "") + table.draw();
}

/// Whole texts: what a tokenizer.json says of truncation and padding is for models.
void print_encodings(const Request& request, Tokenizer tokenizer) {
  tokenizer.set_truncation(std::nullopt);
  tokenizer.set_padding(std::nullopt);
  RunInput lines(request.texts, request.file);
  std::optional<std::string> pair;
  if (request.pair) pair = tokenizers::to_valid_utf8(*request.pair);
  bool is_first = true;
  while (const std::optional<RunInput::Line> line = lines.next()) {
    const std::string text = tokenizers::to_valid_utf8(line->text);
    const EncodeOptions options{.add_special_tokens = request.special_tokens, .threads = 1};
    const Encoding encoding = pair ? tokenizer.encode(text, *pair, options) : tokenizer.encode(text, options);
    write((is_first ? "" : "\n") + printable(text) + "\n" + format_encoding(encoding, text, pair));
    is_first = false;
    flush_stdout();
  }
}

std::vector<std::uint32_t> parse_ids(const std::string& text) {
  std::vector<std::uint32_t> ids;
  constexpr std::string_view kSeparators = " ,\t[]";
  for (std::size_t begin = text.find_first_not_of(kSeparators); begin != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (word.size() > 10 || word.find_first_not_of("0123456789") != std::string::npos ||
        std::stoull(word) > std::numeric_limits<std::uint32_t>::max())
      fail(fmt::format("{} is not the id of a token", quote_json(word)));
    ids.push_back(static_cast<std::uint32_t>(std::stoull(word)));
    begin = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

/// Ids on the command line are one text; in a file each line is one.
void print_decoded(const Request& request, const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  for (const std::string& text : request.texts) {
    if (texts.empty()) texts.emplace_back();
    texts.front() += text + " ";
  }
  RunInput lines(std::move(texts), request.file);
  while (const std::optional<RunInput::Line> line = lines.next()) {
    try {
      write_line(tokenizer.decode(parse_ids(line->text), !request.special_tokens));
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}: {}", lines.describe(line->number), error.what()));
    }
    flush_stdout();
  }
}

// ---- Chats ----------------------------------------------------------------------------------------------------------

/// Messages alone, or an object of them with tools, documents and further variables of the template.
std::string make_prompt(const PreTrainedTokenizer& tokenizer, const Request& request, const Json& chat) {
  ChatTemplateOptions options{.add_generation_prompt = request.generation_prompt};
  if (chat.is_array()) return tokenizer.apply_chat_template(chat, options);
  const Json* messages = chat.find("messages");
  if (messages == nullptr || !messages->is_array())
    fail("a chat is an array of messages, or an object with \"messages\" and, if wanted, \"tools\", \"documents\"");
  for (const auto& [name, value] : chat.object()) {
    if (name == "messages") continue;
    if (name == "tools") {
      options.tools = value;
    } else if (name == "documents") {
      options.documents = value;
    } else if (name == "add_generation_prompt" || name == "continue_final_message") {
      if (!value.is_boolean()) fail(fmt::format("\"{}\" must be true or false", name));
      (name == "add_generation_prompt" ? options.add_generation_prompt : options.continue_final_message) =
          value.boolean();
    } else {
      options.variables.set(name, value);
    }
  }
  return tokenizer.apply_chat_template(*messages, options);
}

/// Standard input or the file: one chat, or with --jsonl one on each line.
void print_prompts(const Request& request) {
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(request.path, request.hub);
  RunInput lines({}, request.file);
  if (!request.jsonl) {
    std::string text;
    while (const std::optional<RunInput::Line> line = lines.next()) text += line->text + "\n";
    write(make_prompt(tokenizer, request, parse_json(text, "chat")));
    return;
  }
  while (const std::optional<RunInput::Line> line = lines.next()) {
    if (line->text.find_first_not_of(" \t") == std::string::npos) continue;
    try {
      Json result;
      result.set("prompt", make_prompt(tokenizer, request, parse_json(line->text, "chat")));
      write_line(dump_json(result));
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}: {}", lines.describe(line->number), error.what()));
    }
    flush_stdout();
  }
}

// ---- The command ----------------------------------------------------------------------------------------------------

int run(const Request& request) {
  if (!request.texts.empty() && !request.file.empty()) throw UsageError("TEXT and --file exclude each other");
  if (!request.texts.empty() && (request.jsonl || request.chat))
    throw UsageError(fmt::format("with {} there is no TEXT: it reads --file or standard input",
                                 request.chat ? "--chat" : "--jsonl"));
  if (request.chat && request.decode) throw UsageError("--chat and --decode exclude each other");
  if (request.pair && (request.jsonl || request.chat || request.decode))
    throw UsageError("--pair goes with texts only");
  if (request.chat) {
    print_prompts(request);
    return 0;
  }
  const Tokenizer tokenizer = open_tokenizer(request.path, request.hub);
  if (request.jsonl) {
    ObjectStream(request, tokenizer).run();
  } else if (request.decode) {
    print_decoded(request, tokenizer);
  } else {
    print_encodings(request, tokenizer);
  }
  return 0;
}

}  // namespace

Command tokenize_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "tokenize", .summary = "Shows the tokens of texts, and the text of tokens"};
  command.details =
      "Texts come from the command line, from a file or from standard input, one a line. With --jsonl lines are JSON "
      "objects with the members text and, if wanted, pair, add_special_tokens, truncation and padding (as "
      "tokenizer.json "
      "writes them; null switches off what the file stores). Each comes out again, in order, with ids, type_ids, "
      "attention_mask, special_tokens_mask, offsets (in characters), tokens, word_ids, sequence_ids, decoded_skip and "
      "decoded_keep (decoded without and with special tokens) and overflowing, what truncation cut off; or with error, "
      "if the text cannot be truncated as asked.";
  command.examples = {
      {"onnxport tokenize model/ \"Hello world\"", "Show the tokens of a text with their ids and places in it"},
      {"onnxport tokenize model/tokenizer.json --jsonl < texts.jsonl", "Tokenize a stream of objects"},
      {"onnxport tokenize model/ --decode 101 7592 2088 102", "Show the text of tokens"},
      {"onnxport tokenize model/ --chat --add-generation-prompt < messages.json", "Show the prompt that a chat makes"}};
  command.groups = {
      {"Required arguments",
       {{.names = "model",
         .value = "DIR",
         .help = "Directory with a tokenizer's files, a tokenizer.json, or the id of a model on the Hub.",
         .apply = store(request->path),
         .required = true}}},
      {"Input",
       {{.names = "text",
         .value = "TEXT",
         .help = "Text to tokenize; with --decode the ids of tokens.",
         .default_value = "lines of --file, or of standard input",
         .apply = [request](const std::string& text) { request->texts.push_back(text); },
         .repeated = true},
        {"--pair", "TEXT", "Second text of a pair, the same for all.", "",
         [request](const std::string& text) { request->pair = text; }},
        {"--file", "FILE", "Read a file; - is standard input.", "", store(request->file)},
        {"--jsonl", "", "Read and write JSON objects, one a line.", "", store_flag(request->jsonl)}}},
      {"What to do",
       {{"--decode", "", "Print the text of ids; with --jsonl, of the member ids.", "", store_flag(request->decode)},
        {"--chat", "",
         "Print the prompt that the tokenizer's chat template makes of a JSON array of messages, or of an object with "
         "messages, tools, documents and other variables of the template.",
         "", store_flag(request->chat)},
        {"--add-generation-prompt", "", "With --chat: end with what the assistant's answer begins with.", "",
         store_flag(request->generation_prompt)},
        {"--no-special-tokens", "", "Add no special tokens; with --decode leave them out.", "",
         store_flag(request->special_tokens, false)}}},
      {"Models of the Hub", hub_options(request->hub)}};
  command.run = [request] { return run(*request); };
  return command;
}

}  // namespace onnxport::cli
