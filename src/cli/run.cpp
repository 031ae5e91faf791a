// onnxport run: the pipelines, one command each.
#include <algorithm>
#include <charconv>
#include <deque>
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
#include "cli/run_output.h"
#include "cli/terminal.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "onnxport/pipeline.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

struct Request {
  std::string task;
  fs::path model;
  std::vector<std::string> texts;
  fs::path file;
  bool jsonl = false;
  bool quiet = false;
  std::int64_t batch_size = 0;
  std::int64_t num_workers = 0;
  ORTModelOptions model_options;
  Json input;  ///< members of every input beside the text: the question, the pair
  Json options;
};

// ---- Running --------------------------------------------------------------------------------------------------------

Pipeline open_pipeline(const Request& request, Terminal& terminal) {
  PipelineOptions options{.model_options = request.model_options,
                          .num_workers = static_cast<int>(request.num_workers),
                          .batch_size = static_cast<std::size_t>(request.batch_size)};
  options.model_options.warn = [&](std::string_view line) { terminal.note(line); };
  options.model_options.progress = [&](const ExportProgress& progress) { terminal.show(progress); };
  return pipeline(request.task, request.model, options);
}

/// One line of text as the input that it stands for.
Json input_of_text(const Request& request, std::string text) {
  Json input = request.input;
  if (request.task == "question-answering") {
    if (input.find("context") != nullptr)
      throw UsageError("--context is given, and a text as well; leave one of them out");
    if (input.find("question") == nullptr) throw UsageError("--question is missing", "onnxport run question-answering");
    input.set("context", std::move(text));
    return input;
  }
  if (request.task == "text-classification") {
    input.set("text", std::move(text));
    return input;
  }
  return Json(std::move(text));
}

/// An input on its way, and where it came from.
struct Pending {
  std::size_t line;
  Json input;
};

class Runner {
 public:
  Runner(const Request& request, Terminal& terminal)
      : request_(request), terminal_(terminal), pipeline_(open_pipeline(request, terminal)) {}

  void run_stream(RunInput& lines) {
    const auto next = [&] { return next_item(lines); };
    const auto emit = [&](const Json& output) { emit_output(lines, output); };
    try {
      // Who types waits for every answer.
      if (lines.is_terminal())
        while (run_one(next, emit)) continue;
      else
        pipeline_.stream(next, emit);
    } catch (const UsageError&) {
      throw;
    } catch (const Error& error) {
      if (!is_reading_ && pending_.empty()) throw;
      // What came before has been printed, so the first that is left is what failed; else it was the line itself.
      const std::size_t line = pending_.empty() ? line_ : pending_.front().line;
      throw Error(error.kind(), lines.describe(line) + ": " + error.what());
    }
  }

  /// One input that is complete without lines.
  void run_single(Json input) {
    std::optional<Pipeline::Item> item{{input, request_.options}};
    pending_.push_back({0, std::move(input)});
    pipeline_.stream([&] { return std::exchange(item, std::nullopt); }, [&](const Json& output) { print(output); });
  }

 private:
  template <typename Next, typename Emit>
  bool run_one(const Next& next, const Emit& emit) {
    std::optional<Pipeline::Item> item = next();
    const bool has_item = item.has_value();
    if (has_item) pipeline_.stream([&] { return std::exchange(item, std::nullopt); }, emit);
    return has_item;
  }

  std::optional<Pipeline::Item> next_item(RunInput& lines) {
    is_reading_ = true;
    std::optional<RunInput::Line> line = lines.next();
    while (line && request_.jsonl && line->text.find_first_not_of(" \t") == std::string::npos) line = lines.next();
    if (!line) {
      is_reading_ = false;
      return std::nullopt;
    }
    line_ = line->number;
    Pipeline::Item item = request_.jsonl
                              ? json_item(line->text)
                              : Pipeline::Item{input_of_text(request_, std::move(line->text)), request_.options};
    pending_.push_back({line_, item.first});
    is_reading_ = false;
    return item;
  }

  /// What the line says goes before what the command line says.
  Pipeline::Item json_item(const std::string& text) {
    Pipeline::Item item = pipeline_.item_of(parse_json(text, "JSON"));
    Json options = request_.options;
    if (item.second.is_object())
      for (auto& [name, value] : item.second.object()) options.set(name, std::move(value));
    if (item.first.is_object() && request_.input.is_object())
      for (const auto& [name, value] : request_.input.object())
        if (item.first.find(name) == nullptr) item.first.set(name, value);
    return {std::move(item.first), std::move(options)};
  }

  void emit_output(const RunInput& lines, const Json& output) {
    print(output);
    terminal_.show({.stage = "Running", .done = lines.done(), .total = lines.total()});
  }

  void print(const Json& output) {
    const Json input = std::move(pending_.front().input);
    pending_.pop_front();
    if (request_.jsonl) {
      terminal_.log(dump_json(output));
      return;
    }
    std::string text = format_output(request_.task, input, output);
    if (text.ends_with('\n')) text.pop_back();
    // What belongs to one text stands apart from what belongs to the next.
    if (std::exchange(has_printed_, true) && text.find('\n') != std::string::npos) terminal_.log("");
    terminal_.log(text);
  }

  const Request& request_;
  Terminal& terminal_;
  Pipeline pipeline_;
  std::deque<Pending> pending_;
  std::size_t line_ = 0;
  bool is_reading_ = false;
  bool has_printed_ = false;
};

int run(const Request& request) {
  if (!request.texts.empty() && !request.file.empty()) throw UsageError("TEXT and --file exclude each other");
  Terminal terminal({.log = true, .progress = !request.quiet});
  Runner runner(request, terminal);
  const Json* context = request.input.find("context");
  if (context != nullptr && request.texts.empty() && request.file.empty() && !request.jsonl) {
    if (request.input.find("question") == nullptr) throw UsageError("--question is missing");
    runner.run_single(request.input);
    return 0;
  }
  if (request.task == "sentence-similarity" && !request.jsonl) {
    if (request.input.find("source_sentence") == nullptr) throw UsageError("--source-sentence is missing");
    RunInput lines(request.texts, request.file);
    Json::Array sentences;
    while (auto line = lines.next()) sentences.emplace_back(std::move(line->text));
    Json input = request.input;
    input.set("sentences", std::move(sentences));
    runner.run_single(std::move(input));
    return 0;
  }
  RunInput lines(request.texts, request.file);
  runner.run_stream(lines);
  return 0;
}

// ---- The options ----------------------------------------------------------------------------------------------------

std::int64_t parse_integer(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw UsageError("must be an integer, is " + quote_json(text));
  return value;
}

/// Store a member of the pipeline's options.
Apply set_integer(Json& target, std::string name) {
  return [&target, name](const std::string& value) { target.set(name, parse_integer(value)); };
}
Apply set_text(Json& target, std::string name) {
  return [&target, name](const std::string& value) { target.set(name, value); };
}
Apply set_flag(Json& target, std::string name, bool value = true) {
  return [&target, name, value](const std::string&) { target.set(name, value); };
}
/// "PER,LOC" is a list of two; nothing is a list of none.
Apply set_list(Json& target, std::string name) {
  return [&target, name](const std::string& value) {
    Json::Array list;
    for (std::size_t begin = 0; begin < value.size();) {
      const std::size_t end = std::min(value.find(',', begin), value.size());
      if (end > begin) list.emplace_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
    target.set(name, std::move(list));
  };
}

/// Truncation as the tokenizer's arguments, which are members of `name` in some pipelines.
std::vector<Option> truncation_options(Json& options, const std::string& name) {
  const auto set = [&options, name](const std::string& member, Json value) {
    if (name.empty()) {
      options.set(member, std::move(value));
      return;
    }
    Json arguments = options.find(name) == nullptr ? Json{} : *options.find(name);
    arguments.set(member, std::move(value));
    options.set(name, std::move(arguments));
  };
  return {{.names = "--truncation",
           .value = "",
           .help = "Cut texts that are longer than the model; they are an error otherwise.",
           .apply = [set](const std::string&) { set("truncation", true); }},
          {.names = "--max-length",
           .value = "N",
           .help = "With --truncation: tokens to keep.",
           .default_value = "the tokenizer's model_max_length",
           .apply = [set](const std::string& value) { set("max_length", parse_integer(value)); }}};
}

struct TaskCommand {
  std::string task;
  std::string summary;
  std::string text_help;  ///< of TEXT
  std::string example;    ///< arguments behind --model
  std::string jsonl_example;
  std::vector<Option> (*options)(Request&);
};

std::vector<Option> classification_options(Request& request) {
  Json& options = request.options;
  std::vector<Option> list{
      {"--text-pair", "TEXT", "Second text of a pair, the same for all.", "", set_text(request.input, "text_pair")},
      {"--top-k", "N", "How many labels to print, best first, or all.", "1",
       [&options](const std::string& value) {
         options.set("top_k", value == "all" ? Json{} : Json(parse_integer(value)));
       }},
      {"--function-to-apply",
       "FUNCTION",
       "What makes scores of the model's outputs. default: none for regression, sigmoid for several labels at once or "
       "a "
       "single one, else softmax.",
       "default",
       set_text(options, "function_to_apply"),
       {"default", "sigmoid", "softmax", "none"}}};
  for (Option& option : truncation_options(options, "")) list.push_back(std::move(option));
  return list;
}

std::vector<Option> token_options(Request& request) {
  Json& options = request.options;
  return {{"--aggregation-strategy",
           "STRATEGY",
           "How tokens become entities: none prints every token; simple groups neighbours of one label; first, average "
           "and max also keep words together.",
           "none",
           set_text(options, "aggregation_strategy"),
           {"none", "simple", "first", "average", "max"}},
          {"--ignore-labels", "LABELS", "Labels to leave out, with commas between them.", "O",
           set_list(options, "ignore_labels")},
          {"--stride", "N",
           "Read texts longer than the model in windows that overlap by N tokens; without it they are cut. Needs an "
           "aggregation strategy.",
           "", set_integer(options, "stride")}};
}

std::vector<Option> question_options(Request& request) {
  Json& options = request.options;
  return {{"--question", "TEXT", "The question.", "", set_text(request.input, "question")},
          {"--context", "TEXT", "Text to find the answer in, instead of TEXT.", "", set_text(request.input, "context")},
          {"--top-k", "N", "How many answers to print, best first.", "1", set_integer(options, "top_k")},
          {"--max-answer-len", "N", "Most tokens of an answer.", "15", set_integer(options, "max_answer_len")},
          {"--max-seq-len", "N", "Tokens of a window of the context together with the question.",
           "model_max_length, at most 384", set_integer(options, "max_seq_len")},
          {"--doc-stride", "N", "Tokens that windows overlap by.", "half a window, at most 128",
           set_integer(options, "doc_stride")},
          {"--max-question-len", "N", "Accepted as transformers does; only its slow tokenizers use it.", "64",
           set_integer(options, "max_question_len")},
          {"--handle-impossible-answer", "", "Accept that the context may hold no answer.", "",
           set_flag(options, "handle_impossible_answer")},
          {"--no-align-to-words", "", "Let answers begin and end inside words.", "",
           set_flag(options, "align_to_words", false)}};
}

std::vector<Option> mask_options(Request& request) {
  Json& options = request.options;
  std::vector<Option> list{
      {"--top-k", "N", "How many tokens to print for each mask, best first.", "5", set_integer(options, "top_k")},
      {"--targets", "WORDS", "Score these words only, with commas between them.", "", set_list(options, "targets")}};
  for (Option& option : truncation_options(options, "tokenizer_kwargs")) list.push_back(std::move(option));
  return list;
}

std::vector<Option> feature_options(Request& request) { return truncation_options(request.options, "tokenize_kwargs"); }

std::vector<Option> zero_shot_options(Request& request) {
  Json& options = request.options;
  return {{"--candidate-labels", "LABELS", "The labels to choose from, with commas between them.", "",
           set_text(options, "candidate_labels")},
          {"--hypothesis-template", "TEXT", "The sentence that a label makes a hypothesis of; {} is where it stands.",
           "This example is {}.", set_text(options, "hypothesis_template")},
          {"--multi-label", "", "Score each label alone: several may be true.", "", set_flag(options, "multi_label")}};
}

std::vector<Option> embedding_options(Request& request) {
  Json& options = request.options;
  return {
      {"--normalize-embeddings", "", "Bring embeddings to length 1.", "", set_flag(options, "normalize_embeddings")},
      {"--prompt", "TEXT", "Text to put before every sentence.", "the model's default prompt",
       set_text(options, "prompt")}};
}

std::vector<Option> similarity_options(Request& request) {
  std::vector<Option> list{
      {"--source-sentence", "TEXT", "The sentence to compare with.", "", set_text(request.input, "source_sentence")}};
  for (Option& option : embedding_options(request)) list.push_back(std::move(option));
  return list;
}

std::vector<TaskCommand> task_commands() {
  return {
      {"text-classification", "Labels texts", "Text to label.", "\"I loved every minute of it.\"",
       R"({"text": "...", "text_pair": "...", "top_k": 2})", classification_options},
      {"token-classification", "Finds named entities, parts of speech, or whatever the model labels", "Text to read.",
       "--aggregation-strategy simple \"Anna lives in Oslo.\"",
       R"({"inputs": "...", "aggregation_strategy": "simple"})", token_options},
      {"question-answering", "Finds answers to a question in texts", "Text to find the answer in.",
       "--question \"Who lives in Oslo?\" \"Anna lives in Oslo.\"",
       R"({"question": "...", "context": "...", "top_k": 3})", question_options},
      {"fill-mask", "Fills the masks of texts", "Text with the model's mask token in it.",
       "\"Paris is the [MASK] of France.\"", R"({"inputs": "... [MASK] ...", "targets": ["capital", "heart"]})",
       mask_options},
      {"feature-extraction", "Prints the hidden states of texts", "Text to read.", "--jsonl --file texts.jsonl",
       R"({"inputs": "..."})", feature_options},
      {"zero-shot-classification", "Labels texts with labels of your own", "Text to label.",
       "--candidate-labels travel,food,music \"The ferry leaves at nine.\"",
       R"({"sequences": "...", "candidate_labels": ["travel", "food"]})", zero_shot_options},
      {"embeddings", "Prints sentence embeddings", "Sentence to embed.", "--jsonl --file sentences.jsonl",
       R"({"text": "..."})", embedding_options},
      {"sentence-similarity", "Compares a sentence with others by their embeddings", "Sentence to compare with.",
       "--source-sentence \"A ship sails.\" \"The ferry leaves.\" \"I like cake.\"",
       R"({"source_sentence": "...", "sentences": ["...", "..."]})", similarity_options},
  };
}

Command task_command(const TaskCommand& description, const std::string& name, bool hidden) {
  const auto request = std::make_shared<Request>();
  request->task = description.task;
  Command command{.name = name, .summary = description.summary};
  command.details =
      "Texts come from the command line, from a file or from standard input, one a line, of any length. With "
      "--jsonl lines are JSON objects such as " +
      description.jsonl_example +
      ": the pipeline's arguments and options by their names in Python, of which those on the command line "
      "are the defaults; each line of output is what the pipeline gives for it. A checkpoint without an "
      "ONNX model is exported to a temporary directory first.";
  command.examples = {{fmt::format("onnxport run {} --model model_onnx/ {}", description.task, description.example),
                       description.summary}};
  command.groups = {
      {"Required arguments",
       {{.names = "-m,--model",
         .value = "DIR",
         .help = "Directory of an exported model with its tokenizer, or of a checkpoint. Or the id of a "
                 "model on the Hub.",
         .apply = store(request->model),
         .required = true}}},
      {"Input and output",
       {{.names = "text",
         .value = "TEXT",
         .help = description.text_help,
         .default_value = "lines of --file, or of standard input",
         .apply = [request](const std::string& text) { request->texts.push_back(text); },
         .repeated = true},
        {"--file", "FILE", "Read texts from a file, one a line; - is standard input.", "", store(request->file)},
        {"--jsonl", "", "Read and write JSON, one value a line.", "", store_flag(request->jsonl)},
        {"-q,--quiet", "", "Print no notes and draw no progress bar.", "", store_flag(request->quiet)}}},
      {"Pipeline", description.options(*request)},
      {"Model",
       {{"--batch-size", "N", "Texts that the model runs at a time at most.", "by their lengths",
         store_integer(request->batch_size, 1)},
        {"--num-workers", "N", "Runs of the model at a time, each on one core.", "one for each core",
         store_integer(request->num_workers, 1)},
        {"--provider", "NAME", "Execution provider of ONNX Runtime.", request->model_options.provider,
         store(request->model_options.provider)},
        {"--file-name", "NAME", "The ONNX file, if the directory holds several.", "model.onnx, or the only one",
         store(request->model_options.file_name)},
        {"--subfolder", "DIR", "Folder of the directory that the model lies in.", "",
         store(request->model_options.subfolder)}}},
      {"Models of the Hub", hub_options(request->model_options)}};
  command.run = [request] { return run(*request); };
  command.hidden = hidden;
  return command;
}

}  // namespace

Command run_pipeline_command() {
  Command command{.name = "run", .summary = "Runs a model on texts: classification, questions, embeddings and more"};
  for (const TaskCommand& description : task_commands()) {
    command.subcommands.push_back(task_command(description, description.task, false));
    // Names that users of transformers know them by.
    if (description.task == "text-classification")
      command.subcommands.push_back(task_command(description, "sentiment-analysis", true));
    if (description.task == "token-classification")
      command.subcommands.push_back(task_command(description, "ner", true));
  }
  return command;
}

}  // namespace onnxport::cli
