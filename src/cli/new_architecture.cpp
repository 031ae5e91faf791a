// onnxport new-architecture: the file that a new architecture begins with.
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "architectures/build.h"
#include "checkpoint/checkpoint.h"
#include "cli/architecture_skeleton.h"
#include "cli/commands.h"
#include "onnx/staged_directory.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view fixture_tool = "tests/golden/tools/text.py";

struct Request {
  std::string name;
  std::string from = "bert";
  fs::path output;
  bool plugin = false;
};

// ---- Where definitions are ------------------------------------------------------------------------------------------

bool is_checkout(const fs::path& directory) {
  std::error_code ignored;
  return fs::exists(directory / "src/architectures/registry.h", ignored) &&
         fs::exists(directory / fixture_tool, ignored);
}

/// The checkout that a directory is in.
std::optional<fs::path> checkout_above(fs::path directory) {
  while (!is_checkout(directory)) {
    if (directory == directory.parent_path()) return std::nullopt;
    directory = directory.parent_path();
  }
  return directory;
}

/// The folder with the folders of definitions: of a checkout, or what was installed with the program.
fs::path definitions_directory(const std::optional<fs::path>& checkout) {
  if (checkout) return *checkout / "src/architectures";
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* folder : {"../share/onnxport/architectures", "../src/architectures"})
    if (fs::is_directory(program / folder / "text", error)) return (program / folder).lexically_normal();
  throw Error(ErrorKind::InvalidArgument,
              "there are no definitions to begin with: run it in a checkout of onnxport, or install onnxport whole");
}

struct Definition {
  fs::path file;
  std::string text;
};

std::vector<fs::path> definition_files(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& room : fs::directory_iterator(directory)) {
    if (!room.is_directory()) continue;
    for (const auto& entry : fs::directory_iterator(room.path())) {
      const std::string stem = entry.path().stem().string();
      if (entry.path().extension() == ".cpp" && !stem.ends_with("_common") && !stem.ends_with("_layers"))
        files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// The file that registers a model type: the one that is called after it, or the first that names it there.
Definition find_definition(const fs::path& directory, const SkeletonNames& from) {
  std::optional<Definition> relative;
  for (const fs::path& file : definition_files(directory)) {
    const std::string text = read_text_file(file);
    if (file.stem() == from.file) return {file, text};
    std::string searched = text;
    // Types share prefixes of tensors' names: "bert" is in many files.
    for (std::size_t at = 0; (at = searched.find(".base_model_prefix", at)) != std::string::npos;)
      searched.erase(at, searched.find('\n', at) - at);
    if (!relative && searched.find('"' + from.model_type + '"') != std::string::npos) relative = Definition{file, text};
  }
  if (relative) return *relative;
  throw Error(ErrorKind::InvalidArgument, "no file in " + directory.string() + " defines " + from.model_type);
}

// ---- What is written ------------------------------------------------------------------------------------------------

void write_text(const fs::path& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  if (!stream.flush()) throw Error(ErrorKind::OutputFailed, path.string() + ": cannot be written");
}

/// All of the new text or all of the old.
void replace_text(const fs::path& path, std::string_view text) {
  const fs::path temporary = path.string() + ".new";
  write_text(temporary, text);
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) throw Error(ErrorKind::OutputFailed, path.string() + ": cannot be replaced: " + error.message());
}

void refuse_existing(const fs::path& path) {
  if (fs::exists(path)) throw Error(ErrorKind::OutputFailed, path.string() + " exists; it is left as it is");
}

void write_into_checkout(const fs::path& checkout, const Definition& definition, const SkeletonNames& from,
                         const SkeletonNames& names) {
  const fs::path file = definition.file.parent_path() / (names.file + ".cpp");
  refuse_existing(file);
  const std::string skeleton =
      skeleton_definition(definition.text, definition.file.stem().string(), from.model_type, names);
  const std::string tool = read_text_file(checkout / fixture_tool);
  const std::string extended = with_fixtures(tool, from.model_type, names);
  write_text(file, skeleton);
  fmt::print("{}: {} as it was {}, to be changed into what it is\n", file.lexically_relative(checkout).string(),
             names.model_type, from.model_type);
  if (extended != tool) {
    replace_text(checkout / fixture_tool, extended);
    fmt::print(
        "{0}: {1} beside {2}; fixtures of it are made by\n"
        "  venv/bin/python {0} --out tests/golden/fixtures {1} '{1}.*'\n",
        fixture_tool, names.model_type, from.model_type);
  } else {
    fmt::print("{} does not make fixtures of {}: give core.py's make_fixture what {} needs\n", fixture_tool,
               from.model_type, names.model_type);
  }
  fmt::print(
      "Then, as docs/add-an-architecture.md says:\n"
      "  venv/bin/python tests/golden/tools/loading.py tests/golden/fixtures tests/golden\n"
      "  venv/bin/python tests/golden/tools/outputs.py tests/golden/fixtures tests/golden/outputs {1}\n"
      "  make\n"
      "  cmake --build --preset release --target onnxport_golden_tests\n"
      "  build/onnxport_golden_tests --gtest_filter='*/{0}*:GoldenCoverage*'\n",
      names.file, names.model_type);
}

void write_project(const fs::path& directory, const Definition& definition, const SkeletonNames& from,
                   const SkeletonNames& names) {
  refuse_existing(directory);
  onnx::StagedDirectory staged(directory);
  write_text(staged.path() / (names.file + ".cpp"),
             skeleton_definition(definition.text, definition.file.stem().string(), from.model_type, names));
  write_text(staged.path() / "CMakeLists.txt", skeleton_project(names));
  staged.commit();
  fmt::print(
      "{0}: {1} as it was {2}, to be changed into what it is\n"
      "{3}: builds lib{4}.so and tests it; its head says how\n",
      (directory / (names.file + ".cpp")).string(), names.model_type, from.model_type,
      (directory / "CMakeLists.txt").string(), names.file);
}

int create(const Request& request) {
  const SkeletonNames names = skeleton_names(request.name);
  const SkeletonNames from = skeleton_names(architecture_named(request.from, "--from").model_type);
  if (registry().find(names.model_type) != nullptr)
    throw Error(ErrorKind::InvalidArgument, "onnxport has the model type " + names.model_type + " already");
  if (request.plugin) {
    const Definition definition = find_definition(definitions_directory(checkout_above(fs::current_path())), from);
    write_project(request.output.empty() ? fs::path(names.file) : request.output, definition, from, names);
    return 0;
  }
  const fs::path start = request.output.empty() ? fs::current_path() : fs::absolute(request.output);
  const std::optional<fs::path> checkout = checkout_above(start.lexically_normal());
  if (!checkout)
    throw Error(ErrorKind::InvalidArgument,
                start.string() + " is in no checkout of onnxport; --plugin makes a project of its own");
  write_into_checkout(*checkout, find_definition(definitions_directory(checkout), from), from, names);
  return 0;
}

}  // namespace

Command new_architecture_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "new-architecture", .summary = "Writes the file that a new architecture begins with"};
  command.details =
      "What is written builds as it is and exports a checkpoint of the new model type whose model is that of --from; "
      "docs/add-an-architecture.md says how it goes on. In a checkout of onnxport it becomes one of its architectures, "
      "with its line in the tool that makes golden fixtures; as a plugin it is a project of its own.";
  command.examples = {
      {"onnxport new-architecture my_model --from bert", "Begin in the checkout that is the working directory"},
      {"onnxport new-architecture my_model --from gpt2 --plugin", "Begin a plugin in the directory my_model"}};
  command.groups = {
      {"Required arguments",
       {{.names = "name",
         .value = "NAME",
         .help = "The model_type of the new architecture's config.json.",
         .apply = store(request->name),
         .required = true}}},
      {"Options",
       {{"--from", "MODEL_TYPE", "The supported model type that is nearest to it.", "bert", store(request->from)},
        {"--plugin", "", "Make a plugin: a CMake project for an installed onnxport.", "", store_flag(request->plugin)},
        {"--output", "DIR", "The checkout, or the directory of the plugin, which is created.",
         "the checkout around the working directory; NAME for a plugin", store(request->output)}}}};
  command.run = [request] { return create(*request); };
  return command;
}

}  // namespace onnxport::cli
