// onnxport inspect: what a checkpoint or an ONNX model holds.
#include "onnx/inspect.h"

#include <algorithm>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "export/inspect_checkpoint.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

struct Request {
  fs::path path;
  bool json = false;
};

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
  Json (*inspect)(const fs::path& path);
  std::string (*format)(const Json& inspection);
};

Inspector inspector_of(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    refuse_exported_models(path);
    return {inspect_checkpoint, format_checkpoint_inspection};
  }
  if (path.extension() == ".onnx") return {onnx::inspect_model, onnx::format_inspection};
  throw Error(ErrorKind::InvalidArgument,
              quote_json(path.string()) + (fs::exists(path, ignored)
                                               ? " is neither a checkpoint's directory nor an .onnx file"
                                               : " does not exist; name a checkpoint's directory or an .onnx file"));
}

int inspect(const Request& request) {
  const Inspector inspector = inspector_of(request.path);
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
                      {"onnxport inspect --json distilbert_onnx/model.onnx", "Look into a model, from a script"}};
  command.groups = {
      {"Required arguments",
       {{.names = "path",
         .value = "PATH",
         .help = "Directory of a checkpoint, or an .onnx file.",
         .apply = store(request->path),
         .required = true}}},
      {"Options", {{"--json", "", "Print one JSON object.", "", store_flag(request->json)}}},
  };
  command.run = [request] { return inspect(*request); };
  return command;
}

}  // namespace onnxport::cli
