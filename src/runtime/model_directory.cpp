#include "runtime/model_directory.h"

#include <algorithm>
#include <system_error>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr const char* standard_name = "model.onnx";
/// Folders below the given one that are searched: what the Hub has is onnx/model.onnx.
constexpr int search_depth = 3;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidModel, message); }

/// All ONNX files in a folder and below it, relative to it: those near the top first, then by name.
std::vector<fs::path> onnx_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry.depth() >= search_depth) entry.disable_recursion_pending();
    std::error_code ignored;
    if (entry->path().extension() == ".onnx" && entry->is_regular_file(ignored))
      files.push_back(entry->path().lexically_relative(folder));
  }
  sort_by_depth(files);
  return files;
}

std::string listed(const std::vector<fs::path>& files) {
  std::string text;
  for (std::size_t i = 0; i < files.size() && i < 10; ++i)
    text += (i > 0 ? ", " : "") + quote_json(files[i].generic_string());
  return text + (files.size() > 10 ? ", ..." : "");
}

}  // namespace

void sort_by_depth(std::vector<fs::path>& paths) {
  const auto depth = [](const fs::path& path) { return std::distance(path.begin(), path.end()); };
  std::sort(paths.begin(), paths.end(),
            [&](const fs::path& a, const fs::path& b) { return depth(a) != depth(b) ? depth(a) < depth(b) : a < b; });
}

fs::path choose_onnx_file(const std::vector<fs::path>& files, const std::string& place, const std::string& file_name) {
  const auto named = [&](const fs::path& wanted) {
    return std::find_if(files.begin(), files.end(),
                        [&](const fs::path& file) { return file == wanted || file.filename() == wanted; });
  };
  if (!file_name.empty()) {
    if (const auto found = named(fs::path(file_name).lexically_normal()); found != files.end()) return *found;
    fail(place + " has no ONNX file " + quote_json(file_name) + (files.empty() ? "" : "; it has " + listed(files)) +
         ". Check file_name and subfolder");
  }
  if (files.empty()) fail(place + " has neither an ONNX file nor a checkpoint, which would be config.json and weights");
  if (const auto found = named(standard_name); found != files.end()) return *found;
  if (files.size() > 1)
    fail(place + " has several ONNX files and none is called " + standard_name + ": " + listed(files) +
         ". Choose one with file_name");
  return files.front();
}

fs::path model_folder(const fs::path& directory, const std::string& subfolder) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) fail(directory.string() + " is not a directory");
  if (subfolder.empty()) return directory;
  if (!fs::is_directory(directory / subfolder, error))
    fail(directory.string() + " has no folder " + quote_json(subfolder));
  return directory / subfolder;
}

bool has_onnx_file(const fs::path& folder) { return !onnx_files(folder).empty(); }

ModelDirectory find_model_files(const fs::path& directory, const std::string& subfolder, const std::string& file_name) {
  const fs::path folder = model_folder(directory, subfolder);
  ModelDirectory result;
  result.onnx_file = folder / choose_onnx_file(onnx_files(folder), folder.string(), file_name);
  for (const fs::path& candidate : {result.onnx_file.parent_path(), folder, directory}) {
    result.config_file = candidate / "config.json";
    if (std::error_code error; fs::exists(result.config_file, error)) return result;
  }
  throw Error(ErrorKind::InvalidCheckpoint,
              directory.string() +
                  " has no config.json, which says what the model is. Copy it there from the model's "
                  "checkpoint");
}

}  // namespace onnxport
