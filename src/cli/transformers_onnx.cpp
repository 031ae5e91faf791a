// onnxport transformers.onnx: `python -m transformers.onnx`, which transformers had up to version 4.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/core.h>

#include "checkpoint/checkpoint.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "export/legacy_features.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

struct Request {
  ExportOptions options;
  std::string preprocessor = "auto";
  bool with_transformers = false;
};

OptionGroup required_arguments(Request& request) {
  return {"Required arguments",
          {{.names = "-m,--model",
            .value = "MODEL",
            .help = "Model ID on huggingface.co or path on disk to load model from.",
            .apply = store(request.options.model),
            .required = true},
           {.names = "output",
            .value = "OUTPUT",
            .help = "Path indicating where to store generated ONNX model.",
            .apply = store(request.options.output),
            .required = true}}};
}

OptionGroup options_of(Request& request) {
  ExportOptions& options = request.options;
  return {"Options",
          {{"--feature", "FEATURE",
            "The type of features to export the model with: default, masked-lm, causal-lm, seq2seq-lm, "
            "sequence-classification, token-classification, multiple-choice, question-answering, "
            "image-classification, masked-im, ..., with the suffix -with-past for a key/value cache.",
            "default", store(options.task)},
           {"--opset", "N", "ONNX opset version to export the model with, 13 to 24.",
            "18; with --export_with_transformers that of the model type", store_integer(options.opset)},
           {"--atol", "X", "Absolute difference tolerance when validating the model.",
            "1e-4; with --export_with_transformers that of the model type", store_number(options.atol)},
           {"--framework",
            "FRAMEWORK",
            "The framework whose weights to read, where a checkpoint has both.",
            "safetensors, then pytorch_model.bin, then tf_model.h5",
            store(options.framework),
            {"pt", "tf"}},
           {"--cache_dir", "DIR", "Path indicating where to store cache.", "HF_HUB_CACHE, else HF_HOME/hub",
            store(options.hub.cache_dir)},
           {"--preprocessor",
            "KIND",
            "Which type of preprocessor makes the inputs to validate with. Changes nothing: they are made without one.",
            "auto",
            store(request.preprocessor),
            {"auto", "tokenizer", "feature_extractor", "image_processor", "processor"}},
           {"--export_with_transformers", "",
            "Whether to use transformers.onnx instead of optimum.exporters.onnx to perform the ONNX export: its names "
            "of inputs, outputs and axes, its opset, tolerance and log, and OUTPUT/model.onnx alone.",
            "", store_flag(request.with_transformers)}}};
}

// ---- With Optimum, as is the default --------------------------------------------------------------------------------

int export_with_optimum(Request& request, Terminal& terminal) {
  request.options.log = [&](std::string_view line) { terminal.log(line); };
  export_onnx(request.options);
  terminal.log(
      "The export was done by `onnxport export onnx`. We recommend using this command directly in future, as "
      "transformers.onnx is deprecated.");
  return 0;
}

// ---- With transformers ----------------------------------------------------------------------------------------------

/// "a, b" as Python prints a set: {'a', 'b'}.
std::string python_set(std::string_view names) {
  std::string text = "{'";
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find(", ", begin), names.size());
    if (begin > 0) text += "', '";
    text += names.substr(begin, end - begin);
    begin = end == names.size() ? end : end + 2;
  }
  return text + "'}";
}

/// A line of Optimum's log as transformers has it; empty for one that it has not.
std::string legacy_line(std::string_view line) {
  constexpr std::string_view validating = "Validating ONNX model ";
  constexpr std::string_view matching = "\t-[✓] ONNX model output names match reference model (";
  constexpr std::string_view bad = "\t\t-[x] values not close enough, ";
  if (line.starts_with(validating)) return "Validating ONNX model...";
  if (line.starts_with(matching))
    return std::string(matching) + python_set(line.substr(matching.size(), line.size() - matching.size() - 1)) + ")";
  if (line.starts_with(bad)) {
    const std::size_t atol = line.rfind("(atol: ");
    return "\t\t-[x] values not close enough " + std::string(line.substr(std::min(atol, line.size())));
  }
  return line.starts_with("\t") ? std::string(line) : std::string();
}

/// What the command says about the framework before it exports.
void log_framework(const ExportOptions& options, Terminal& terminal) {
  const bool tensorflow = options.framework == "tf";
  if (options.framework.empty()) {
    std::error_code error;
    if (fs::is_directory(options.model, error)) terminal.log("Local PyTorch model found.");
    terminal.log("Framework not requested. Using onnxport to export to ONNX.");
  }
  terminal.log(std::string("Using framework ") + (tensorflow ? "TensorFlow" : "PyTorch") +
               ": not needed, onnxport " ONNXPORT_VERSION);
}

void log_overrides(const Json& overrides, Terminal& terminal) {
  if (overrides.object().empty()) return;
  terminal.log(fmt::format("Overriding {} configuration item(s)", overrides.object().size()));
  for (const auto& [name, value] : overrides.object())
    terminal.log(fmt::format("\t- {} -> {}", name, value == Json(true) ? "True" : "False"));
}

/// An existing file may be named in place of its directory.
fs::path directory_of(const fs::path& output) {
  std::error_code error;
  if (!fs::is_regular_file(output, error)) return output;
  if (output.filename() != "model.onnx")
    throw Error(ErrorKind::InvalidArgument,
                output.string() + " is a file; name the directory of the model, or its " + "model.onnx");
  return output.has_parent_path() ? output.parent_path() : fs::path(".");
}

int export_with_transformers(Request& request, Terminal& terminal) {
  ExportOptions& options = request.options;
  options.output = directory_of(options.output);
  const auto config = std::make_shared<const LegacyOnnxConfig>(
      open_checkpoint(resolve_checkpoint(options.model, options.hub)).config, options.task);
  if (options.opset && *options.opset < config->type().opset)
    throw Error(ErrorKind::InvalidArgument,
                fmt::format("Opset {} is not sufficient to export {}. At least {} is required.", *options.opset,
                            config->model_type(), config->type().opset));
  log_framework(options, terminal);
  log_overrides(config->values_override(), terminal);
  options.task = config->task();
  options.config = config;
  options.monolith = !options.task.ends_with("-with-past");
  options.companion_files = false;
  options.library_name = "transformers";
  options.pad_token_id = 0;  // unless config.json has one: what GPT2OnnxConfig and those after it set
  // One more than the sizes that transformers traces with.
  options.shapes.batch_size = 3;
  options.shapes.sequence_length = 9;
  options.log = [&](std::string_view line) {
    if (const std::string text = legacy_line(line); !text.empty()) terminal.log(text);
  };
  export_onnx(options);
  terminal.log("All good, model saved at: " + (options.output / "model.onnx").lexically_normal().string());
  terminal.warn(
      "transformers.onnx is deprecated and was removed in version 5 of transformers. We recommend using `onnxport "
      "export onnx` in future.");
  return 0;
}

int run(Request& request) {
  Terminal terminal({.log = true, .progress = true});
  request.options.warn = [&](std::string_view line) { terminal.warn(line); };
  request.options.progress = [&](const ExportProgress& progress) { terminal.show(progress); };
  return request.with_transformers ? export_with_transformers(request, terminal)
                                   : export_with_optimum(request, terminal);
}

}  // namespace

Command transformers_onnx_command() {
  const auto request = std::make_shared<Request>();
  request->options.task = "default";
  Command command{.name = "transformers.onnx", .summary = "The deprecated command python -m transformers.onnx"};
  command.details =
      "For scripts that call `python -m transformers.onnx`, which transformers had up to version 4. As there, the "
      "model "
      "is exported as Optimum exports it, unless --export_with_transformers asks for the files that transformers wrote "
      "before. Unlike there, --opset, --atol and --cache_dir are honoured in both cases, and a failed export fails.";
  command.examples = {
      {"onnxport transformers.onnx --model=distilbert-base-uncased onnx/",
       "Export a model of the Hub to onnx/model.onnx"},
      {"onnxport transformers.onnx -m gpt2/ --feature causal-lm-with-past --export_with_transformers onnx/",
       "Export a text generator with its cache, with the names that transformers gave"}};
  command.groups = {required_arguments(*request), options_of(*request)};
  command.run = [request] { return run(*request); };
  return command;
}

}  // namespace onnxport::cli
