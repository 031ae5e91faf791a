#include <algorithm>
#include <iterator>
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
  std::string_view stem;
  std::string_view extension;
};
constexpr WeightFormat weight_formats[] = {{"model", ".safetensors"}, {"pytorch_model", ".bin"}, {"tf_model", ".h5"}};

/// Whether a file is a shard: "model-00001-of-00002.safetensors"; of a variant "model.fp16-00001-of-00002.safetensors",
/// or as diffusers calls it "model-00001-of-00002.fp16.safetensors".
bool is_shard(std::string_view name, const WeightFormat& format, const std::string& variant_part) {
  if (name.find("-of-") == std::string_view::npos) return false;
  const std::string stem(format.stem);
  const std::string extension(format.extension);
  const bool is_numbered_last = name.starts_with(stem + variant_part + "-") && name.ends_with(extension);
  const bool is_named_last = name.starts_with(stem + "-") && name.ends_with(variant_part + extension);
  if (!variant_part.empty()) return is_numbered_last || is_named_last;
  // Without a variant, nothing stands between the number and the extension.
  return is_numbered_last && name.substr(0, name.size() - extension.size()).find('.') == std::string_view::npos;
}

/// One directory's weights: the names that the first format that there is has.
std::vector<std::string> weights(const std::set<std::string>& names, std::string_view variant) {
  const std::string variant_part = variant.empty() ? std::string() : "." + std::string(variant);
  for (const WeightFormat& format : weight_formats) {
    // TensorFlow's files have no variants.
    if (!variant.empty() && format.extension == ".h5") continue;
    const std::string stem(format.stem);
    const std::string extension(format.extension);
    if (const std::string file = stem + variant_part + extension; names.contains(file)) return {file};
    const std::string index = stem + extension + ".index" + variant_part + ".json";
    if (!names.contains(index)) continue;
    std::vector<std::string> selected{index};
    std::copy_if(names.begin(), names.end(), std::back_inserter(selected),
                 [&](const std::string& name) { return is_shard(name, format, variant_part); });
    return selected;
  }
  return {};
}

/// There are weights, perhaps, but none of the variant: says which.
[[noreturn]] void refuse_variant(const std::set<std::string>& names, std::string_view variant) {
  std::string others;
  for (const std::string& name : names) {
    const bool is_weights = std::any_of(
        std::begin(weight_formats), std::end(weight_formats),
        [&](const WeightFormat& format) { return name.starts_with(format.stem) && name.ends_with(format.extension); });
    if (is_weights) others += (others.empty() ? "" : ", ") + quote_json(name);
  }
  throw Error(ErrorKind::InvalidCheckpoint, "the model has no weights of the variant " + quote_json(variant) +
                                                " (model." + std::string(variant) + ".safetensors, pytorch_model." +
                                                std::string(variant) + ".bin or their index)" +
                                                (others.empty() ? std::string() : "; it has " + others));
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

std::vector<std::string> select_checkpoint_files(const std::vector<HubFile>& files, std::string_view subfolder,
                                                 std::string_view variant) {
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
    // Modules of sentence-transformers have no variants.
    std::vector<std::string> wanted = weights(names, is_module ? std::string_view() : variant);
    if (wanted.empty() && !is_module && !variant.empty()) refuse_variant(names, variant);
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

fs::path resolve_checkpoint(const fs::path& model, const HubOptions& options, std::string_view variant) {
  const auto selection = [&](const std::vector<HubFile>& files) {
    return select_checkpoint_files(files, options.subfolder, variant);
  };
  return resolve_model(model, selection, options);
}

}  // namespace onnxport
