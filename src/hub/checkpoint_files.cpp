#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "checkpoint/file_names.h"
#include "onnxport/error.h"
#include "onnxport/hub.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// The formats of weights, the preferred first: a single file, or an index and files that are named after it.
struct WeightFormat {
  std::string_view file;
  std::string_view shard_begin;
  std::string_view shard_end;
};
constexpr WeightFormat weight_formats[] = {
    {"model.safetensors", "model-", ".safetensors"},
    {"pytorch_model.bin", "pytorch_model-", ".bin"},
    {"tf_model.h5", "tf_model-", ".h5"},
};

/// One directory's weights: the names that the first format that there is has.
std::vector<std::string> weights(const std::set<std::string>& names) {
  for (const WeightFormat& format : weight_formats) {
    const std::string file(format.file);
    if (names.contains(file)) return {file};
    if (!names.contains(file + ".index.json")) continue;
    std::vector<std::string> selected{file + ".index.json"};
    // "model-00001-of-00002.safetensors"
    for (const std::string& name : names) {
      const bool is_shard = name.starts_with(format.shard_begin) && name.ends_with(format.shard_end) &&
                            name.find("-of-") != std::string::npos;
      if (is_shard) selected.push_back(name);
    }
    return selected;
  }
  return {};
}

/// "1_Pooling": a module of sentence-transformers.
bool is_module_directory(std::string_view name) {
  const std::size_t digits = name.find_first_not_of("0123456789");
  return digits != 0 && digits != std::string_view::npos && name[digits] == '_';
}

bool is_config(std::string_view name) {
  return name == "config.json" || name == "modules.json" || is_companion_file(name);
}

}  // namespace

std::vector<std::string> select_checkpoint_files(const std::vector<HubFile>& files, std::string_view subfolder) {
  const fs::path root(subfolder);
  std::map<fs::path, std::set<std::string>> directories;
  for (const HubFile& file : files)
    directories[fs::path(file.path).parent_path()].insert(fs::path(file.path).filename());

  const bool has_modules = directories[root].contains("modules.json");
  std::vector<std::string> selected;
  for (const auto& [directory, names] : directories) {
    const bool is_module =
        has_modules && directory.parent_path() == root && is_module_directory(directory.filename().string());
    if (directory != root && !is_module) continue;
    std::vector<std::string> wanted = weights(names);
    std::copy_if(names.begin(), names.end(), std::back_inserter(wanted), is_config);
    for (const std::string& name : wanted) selected.push_back((directory / name).generic_string());
  }
  std::sort(selected.begin(), selected.end());
  return selected;
}

std::vector<std::string> select_tokenizer_files(const std::vector<HubFile>& files, std::string_view subfolder) {
  std::vector<std::string> selected;
  for (const HubFile& file : files) {
    const fs::path path(file.path);
    if (path.parent_path() == fs::path(subfolder) && is_config(path.filename().string())) selected.push_back(file.path);
  }
  return selected;
}

fs::path resolve_model(const fs::path& model, const HubFileSelection& selection, const HubOptions& options) {
  std::error_code error;
  if (fs::is_directory(model, error)) return options.subfolder.empty() ? model : model / options.subfolder;
  const std::string id = model.generic_string();
  if (fs::exists(model, error) || !is_model_id(id)) {
    throw Error(ErrorKind::InvalidCheckpoint,
                quote_json(id) +
                    " is not a directory; name a directory that save_pretrained wrote, or a model of the Hub "
                    "by its id, \"name\" or \"organization/name\"");
  }
  return download_model(id, selection, options);
}

fs::path resolve_checkpoint(const fs::path& model, const HubOptions& options) {
  const auto selection = [&](const std::vector<HubFile>& files) {
    return select_checkpoint_files(files, options.subfolder);
  };
  return resolve_model(model, selection, options);
}

}  // namespace onnxport
