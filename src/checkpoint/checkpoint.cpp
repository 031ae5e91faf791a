#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <system_error>

#include "checkpoint/config.h"
#include "checkpoint/tensorflow_file.h"
#include "checkpoint/torch_file.h"
#include "core/mapped_file.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaximumTextBytes = std::uint64_t{512} << 20;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidCheckpoint, message); }

bool is_present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// A name that cannot lead out of the directory. The link behind it may: the hub's cache keeps files elsewhere.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// ---- Which files --------------------------------------------------------------------------------------------------

/// "model", "safetensors", "fp16" -> "model.fp16.safetensors"
std::string with_variant(std::string_view stem, std::string_view extension, std::string_view variant) {
  std::string name(stem);
  if (!variant.empty()) name.append(".").append(variant);
  return name.append(".").append(extension);
}

/// Files of the directory that hold weights, though not the ones that were asked for.
struct OtherWeights {
  std::vector<std::string> known;
  std::vector<std::string> unknown_formats;
};

OtherWeights find_other_weights(const fs::path& directory) {
  static constexpr std::array<std::string_view, 3> kUnknownFormats{"flax_model.", "consolidated.0", "model.ckpt"};
  OtherWeights found;
  std::error_code ignored;
  for (fs::directory_iterator entry(directory, ignored), end; entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    const bool is_safetensors = name.starts_with("model") && name.find(".safetensors") != std::string::npos;
    if (is_safetensors || name.starts_with("pytorch_model") || name.starts_with("tf_model")) {
      found.known.push_back(quote_json(name));
    } else if (std::any_of(kUnknownFormats.begin(), kUnknownFormats.end(),
                           [&](std::string_view prefix) { return name.starts_with(prefix); })) {
      found.unknown_formats.push_back(quote_json(name));
    }
  }
  std::sort(found.known.begin(), found.known.end());
  std::sort(found.unknown_formats.begin(), found.unknown_formats.end());
  return found;
}

[[noreturn]] void fail_without_weights(const fs::path& directory, const std::vector<std::string>& candidates,
                                       std::string_view variant) {
  std::string message = directory.string() + " has no weights: there is none of " + join(candidates);
  const OtherWeights other = find_other_weights(directory);
  if (!other.unknown_formats.empty()) {
    message += "; there is " + join(other.unknown_formats) +
               ", a format that onnxport does not read (save the model with"
               " save_pretrained(..., safe_serialization=True))";
  }
  if (!other.known.empty()) {
    message += "; there is " + join(other.known) +
               (variant.empty() ? " (a variant, model.VARIANT.safetensors, must be asked for by --variant VARIANT;"
                                  " shards need their index; --framework pt leaves out tf_model.h5)"
                                : " (asked for is the variant " + quote_json(variant) +
                                      ": leave out --variant, or name another; shards need their index)");
  }
  fail(message);
}

void check_directory(const fs::path& directory) {
  std::error_code ignored;
  if (fs::is_directory(directory, ignored)) return;
  fail(quote_json(directory.string()) + " is not a directory; name a directory that save_pretrained wrote");
}

Json read_json_object(const fs::path& path) {
  Json json = parse_json(read_text_file(path), path.string());
  if (!json.is_object()) fail(path.string() + ": is not a JSON object");
  return json;
}

// ---- Shards -------------------------------------------------------------------------------------------------------

using TensorMap = std::map<std::string, TensorSource, std::less<>>;

/// Tensor name to file name, as the index says; every value is a plain file name.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const Json json = read_json_object(index);
  const Json* weight_map = json.find("weight_map");
  if (weight_map == nullptr || !weight_map->is_object()) fail(index.string() + ": has no object \"weight_map\"");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : weight_map->object()) {
    if (!file.is_string()) fail(index.string() + ": the file of tensor " + quote_json(tensor) + " is not a string");
    if (!is_plain_file_name(file.string())) {
      fail(index.string() + ": tensor " + quote_json(tensor) + " is said to be in " + quote_json(file.string()) +
           ", which is not the name of a file in the same directory");
    }
    files.emplace(tensor, file.string());
  }
  return files;
}

/// Every shard of the index, once, none of them missing.
std::vector<fs::path> shard_files(const fs::path& index, const std::map<std::string, std::string>& weight_map) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) {
    if (!names.insert(file).second || is_present(index.parent_path() / file)) continue;
    fail(index.string() + ": the file " + quote_json(file) + " of tensor " + quote_json(tensor) + " is missing");
  }
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(index.parent_path() / name);
  return files;
}

using ReadFile = std::function<TensorMap(const fs::path&)>;

void open_shards(const fs::path& index, const ReadFile& read, Checkpoint& checkpoint) {
  const std::map<std::string, std::string> weight_map = read_weight_map(index);
  checkpoint.weight_files = shard_files(index, weight_map);
  std::map<std::string, TensorMap> shards;
  for (const fs::path& file : checkpoint.weight_files) shards.emplace(file.filename().string(), read(file));
  for (const auto& [tensor, file] : weight_map) {
    TensorMap& shard = shards.at(file);
    const auto found = shard.find(tensor);
    if (found == shard.end()) {
      fail(index.string() + ": tensor " + quote_json(tensor) + " is not in " + quote_json(file));
    }
    checkpoint.tensors.insert(shard.extract(found));
  }
}

// ---- Formats --------------------------------------------------------------------------------------------------------

/// The class that config.json says was saved: what a TensorFlow model's names mean depends on it.
std::string class_name(const Checkpoint& checkpoint) {
  const auto names =
      Config(checkpoint.config, (checkpoint.directory / "config.json").string()).optional_strings("architectures");
  return names && !names->empty() ? names->front() : std::string();
}

TensorMap from_tensorflow(const TensorFlowVariables& variables, const Checkpoint& checkpoint, const fs::path& file) {
  return pytorch_parameters(variables, class_name(checkpoint), file.string());
}

/// A safetensors file says in its metadata if a TensorFlow model wrote it, by names and shapes of its own.
bool is_of_tensorflow(const std::map<std::string, std::string>& metadata) {
  const auto format = metadata.find("format");
  return format != metadata.end() && format->second == "tf";
}

void open_safetensors(const fs::path& path, Checkpoint& checkpoint) {
  std::map<std::string, std::string> metadata;
  checkpoint.weight_files.push_back(path);
  checkpoint.tensors = read_safetensors(path, &metadata);
  if (!is_of_tensorflow(metadata)) return;
  checkpoint.tensors = from_tensorflow(restore_first_level(std::move(checkpoint.tensors)), checkpoint, path);
}

void open_safetensors_shards(const fs::path& index, Checkpoint& checkpoint) {
  bool any_of_tensorflow = false;
  open_shards(
      index,
      [&](const fs::path& file) {
        std::map<std::string, std::string> metadata;
        TensorMap tensors = read_safetensors(file, &metadata);
        any_of_tensorflow = any_of_tensorflow || is_of_tensorflow(metadata);
        return tensors;
      },
      checkpoint);
  if (!any_of_tensorflow) return;
  checkpoint.tensors = from_tensorflow(restore_first_level(std::move(checkpoint.tensors)), checkpoint, index);
}

void open_torch(const fs::path& path, Checkpoint& checkpoint) {
  checkpoint.weight_files.push_back(path);
  checkpoint.tensors = read_torch_file(path);
}

void open_torch_shards(const fs::path& index, Checkpoint& checkpoint) {
  open_shards(index, read_torch_file, checkpoint);
}

void open_tensorflow(const fs::path& path, Checkpoint& checkpoint) {
  checkpoint.weight_files.push_back(path);
  checkpoint.tensors = from_tensorflow(read_tensorflow_file(path), checkpoint, path);
}

void open_tensorflow_shards(const fs::path& index, Checkpoint& checkpoint) {
  const std::map<std::string, std::string> weight_map = read_weight_map(index);
  checkpoint.weight_files = shard_files(index, weight_map);
  checkpoint.tensors = from_tensorflow(read_tensorflow_shards(checkpoint.directory, weight_map), checkpoint, index);
}

struct Candidate {
  std::string name;
  void (*open)(const fs::path&, Checkpoint&);
};

/// In the order in which from_pretrained looks for them.
std::vector<Candidate> candidates(std::string_view variant, Framework framework) {
  const std::vector<Candidate> torch{
      {with_variant("model", "safetensors", variant), open_safetensors},
      {with_variant("model.safetensors.index", "json", variant), open_safetensors_shards},
      {with_variant("pytorch_model", "bin", variant), open_torch},
      {with_variant("pytorch_model.bin.index", "json", variant), open_torch_shards},
  };
  std::vector<Candidate> tensorflow;
  if (variant.empty()) {
    tensorflow = {{"tf_model.h5", open_tensorflow}, {"tf_model.h5.index.json", open_tensorflow_shards}};
  }
  if (framework == Framework::PyTorch) return torch;
  std::vector<Candidate> all = framework == Framework::TensorFlow ? tensorflow : torch;
  const std::vector<Candidate>& others = framework == Framework::TensorFlow ? torch : tensorflow;
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

void open_weights(Checkpoint& checkpoint, std::string_view variant, Framework framework) {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates(variant, framework)) {
    if (const fs::path path = checkpoint.directory / candidate.name; is_present(path)) {
      return candidate.open(path, checkpoint);
    }
    names.push_back(candidate.name);
  }
  fail_without_weights(checkpoint.directory, names, variant);
}

}  // namespace

const TensorSource* Checkpoint::find(std::string_view name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

std::uint64_t Checkpoint::byte_size() const {
  std::uint64_t size = 0;
  for (const auto& [name, source] : tensors) size += source.byte_size();
  return size;
}

Checkpoint open_checkpoint(const std::filesystem::path& directory, std::string_view variant, Framework framework) {
  if (!variant.empty() && !is_plain_file_name(variant)) {
    throw Error(ErrorKind::InvalidArgument, "the variant " + quote_json(variant) + " cannot be part of a file name");
  }
  check_directory(directory);
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  const fs::path config = directory / "config.json";
  if (!is_present(config)) fail(directory.string() + " is not a checkpoint: it has no config.json");
  checkpoint.config = read_json_object(config);
  open_weights(checkpoint, variant, framework);
  return checkpoint;
}

std::string read_text_file(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() > kMaximumTextBytes) {
    fail(path.string() + ": has " + std::to_string(bytes.size()) + " bytes, too many for a text file (512 MB)");
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace onnxport
