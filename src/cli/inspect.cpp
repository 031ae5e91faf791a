// onnxport inspect: what a checkpoint or an ONNX model holds.
#include "onnx/inspect.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "cli/architecture_options.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "core/text_table.h"
#include "export/inspect_checkpoint.h"
#include "onnxport/error.h"
#include "onnxport/hub.h"
#include "onnxport/json.h"
#include "onnxport/onnx_config.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

struct Request {
  fs::path path;
  bool outputs = false;
  std::string task;
  ArchitectureOptions architecture;
  bool json = false;
};

// ---- --outputs ------------------------------------------------------------------------------------------------------

/// {"input_ids": {"0": "batch_size", "1": "sequence_length"}}, as json.dumps writes Optimum's inputs and outputs.
Json describe(const std::vector<OnnxValue>& values) {
  Json result = Json::Object{};
  for (const OnnxValue& value : values) {
    Json axes = Json::Object{};
    for (const auto& [axis, name] : value.axes) axes.set(std::to_string(axis), name);
    result.set(value.name, std::move(axes));
  }
  return result;
}

Json describe(const OnnxConfig& config) {
  Json files = Json::Object{};
  for (const std::string& file : config.files()) {
    Json entry;
    entry.set("inputs", describe(config.inputs(file)));
    entry.set("outputs", describe(config.outputs(file)));
    const std::vector<std::string> names = config.available_outputs(file);
    entry.set("available_outputs", Json::Array(names.begin(), names.end()));
    files.set(file + ".onnx", std::move(entry));
  }
  Json result;
  result.set("model_type", config.model_type());
  result.set("task", config.task());
  result.set("default_onnx_opset", config.default_onnx_opset());
  result.set("atol_for_validation", config.atol_for_validation());
  result.set("files", std::move(files));
  return result;
}

std::string format(const std::vector<OnnxValue>& values) {
  TextTable table;
  for (const OnnxValue& value : values) {
    std::string axes;
    for (const auto& [axis, name] : value.axes) axes += fmt::format("{}{}: {}", axes.empty() ? "" : ", ", axis, name);
    table.add({value.name, axes});
  }
  return table.draw();
}

std::string format(const OnnxConfig& config) {
  std::string text = fmt::format("{}, {}\n", config.model_type(), config.task());
  for (const std::string& file : config.files()) {
    const std::vector<OnnxValue> outputs = config.outputs(file);
    text += fmt::format("\n{}.onnx\nInputs\n{}Outputs\n{}", file, format(config.inputs(file)), format(outputs));
    TextTable others;
    const std::vector<std::string> own = names_of(outputs);
    for (const std::string& name : config.available_outputs(file))
      if (std::find(own.begin(), own.end(), name) == own.end()) others.add({name});
    if (const std::string drawn = others.draw(); !drawn.empty()) text += "Others, for --outputs\n" + drawn;
  }
  return text;
}

int inspect_outputs(const Request& request) {
  HubOptions hub;
  Terminal terminal({.log = true, .progress = true});
  hub.warn = [&](std::string_view line) { terminal.warn(line); };
  const OnnxConfig config(request.path, request.task.empty() ? "auto" : request.task, hub, request.architecture);
  fmt::print("{}", request.json ? dump_json(describe(config), 2) + "\n" : printable(format(config)));
  return 0;
}

// ---- All that a checkpoint or a model holds -------------------------------------------------------------------------

/// What an export leaves is no checkpoint: its models are to be named one by one.
void refuse_exported_models(const fs::path& directory) {
  std::vector<std::string> models;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const fs::path name = entry.path().filename();
    if (name.extension() == ".onnx") models.push_back(quote_json((directory / name).string()));
    if (name.string().find(".safetensors") != std::string::npos) return;
  }
  if (models.empty()) return;
  std::sort(models.begin(), models.end());
  throw Error(ErrorKind::InvalidArgument, fmt::format("{} holds ONNX models and no checkpoint; name one of them: {}",
                                                      quote_json(directory.string()), fmt::join(models, ", ")));
}

/// The two kinds of things that can be inspected: how to look into one, and how to show what was found.
struct Inspector {
  std::function<Json(const fs::path& path)> inspect;
  std::string (*format)(const Json& inspection);
};

Inspector inspector_of(const Request& request) {
  const fs::path& path = request.path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    refuse_exported_models(path);
    return {[&](const fs::path& directory) { return inspect_checkpoint(directory, request.architecture); },
            format_checkpoint_inspection};
  }
  if (path.extension() == ".onnx") {
    if (!(request.architecture == ArchitectureOptions{}))
      throw UsageError("--as, --config-map, --weights-map and --plugin are for a checkpoint, not for a model");
    return {onnx::inspect_model, onnx::format_inspection};
  }
  throw Error(ErrorKind::InvalidArgument,
              quote_json(path.string()) + (fs::exists(path, ignored)
                                               ? " is neither a checkpoint's directory nor an .onnx file"
                                               : " does not exist; name a checkpoint's directory or an .onnx file"));
}

int inspect(const Request& request) {
  if (request.outputs) return inspect_outputs(request);
  if (!request.task.empty()) throw UsageError("--task is for --outputs");
  const Inspector inspector = inspector_of(request);
  const Json inspection = inspector.inspect(request.path);
  fmt::print("{}", request.json ? dump_json(inspection, 2) + "\n" : printable(inspector.format(inspection)));
  return 0;
}

}  // namespace

Command inspect_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "inspect", .summary = "Prints what a checkpoint or an ONNX model holds"};
  command.details =
      "Of a checkpoint: architecture, tasks, tensors, sizes, and which tensors a task lacks or leaves unused. Of a "
      "model: inputs, outputs, opsets, operators, weights and metadata. No weight is read.";
  command.examples = {{"onnxport inspect distilbert-base-uncased/", "Look into a checkpoint"},
                      {"onnxport inspect --outputs distilbert-base-uncased/ --task fill-mask",
                       "See which inputs and outputs its export has"},
                      {"onnxport inspect --json distilbert_onnx/model.onnx", "Look into a model, from a script"}};
  command.groups = {
      {"Required arguments",
       {{.names = "path",
         .value = "PATH",
         .help = "Directory of a checkpoint, or an .onnx file.",
         .apply = store(request->path),
         .required = true}}},
      architecture_options(request->architecture),
      {"Options",
       {{"--outputs", "",
         "Print inputs and outputs, with the names of their axes, of the model that an export of the checkpoint gives, "
         "and the other outputs that it may be given by `onnxport export onnx --outputs`. PATH may be the id of a "
         "model "
         "on the Hub.",
         "", store_flag(request->outputs)},
        {"--task", "TASK", "The task of --outputs, or a synonym of it.", "the one that the checkpoint was trained for",
         store(request->task)},
        {"--json", "", "Print one JSON object.", "", store_flag(request->json)}}},
  };
  command.run = [request] { return inspect(*request); };
  return command;
}

}  // namespace onnxport::cli
