#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

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
  std::vector<std::string> safetensors;
  std::vector<std::string> later_formats;
};

OtherWeights find_other_weights(const fs::path& directory) {
  static constexpr std::array<std::string_view, 5> kLaterFormats{"pytorch_model.", "tf_model.", "flax_model.",
                                                                 "consolidated.0", "model.ckpt"};
  OtherWeights found;
  std::error_code ignored;
  for (fs::directory_iterator entry(directory, ignored), end; entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("model") && name.find(".safetensors") != std::string::npos) {
      found.safetensors.push_back(quote_json(name));
    } else if (std::any_of(kLaterFormats.begin(), kLaterFormats.end(),
                           [&](std::string_view prefix) { return name.starts_with(prefix); })) {
      found.later_formats.push_back(quote_json(name));
    }
  }
  std::sort(found.safetensors.begin(), found.safetensors.end());
  std::sort(found.later_formats.begin(), found.later_formats.end());
  return found;
}

[[noreturn]] void fail_without_weights(const fs::path& directory, const std::string& single, const std::string& index) {
  std::string message = directory.string() + " has no weights: there is neither " + single + " nor " + index;
  const OtherWeights other = find_other_weights(directory);
  if (!other.later_formats.empty()) {
    message += "; there is " + join(other.later_formats) +
               ", a format that a later release will read; this one needs safetensors"
               " (save the model with save_pretrained(..., safe_serialization=True))";
  }
  if (!other.safetensors.empty()) {
    message += "; there is " + join(other.safetensors) +
               " (a variant, model.VARIANT.safetensors, must be asked for; shards need their index)";
  }
  fail(message);
}

void check_directory(const fs::path& directory) {
  std::error_code ignored;
  if (fs::is_directory(directory, ignored)) return;
  fail(quote_json(directory.string()) +
       " is not a directory; name a directory that save_pretrained wrote or that was downloaded from the Hugging Face"
       " Hub (this release does not resolve model ids of the Hub)");
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

void open_shards(const fs::path& index, Checkpoint& checkpoint) {
  const std::map<std::string, std::string> weight_map = read_weight_map(index);
  std::map<std::string, TensorMap> shards;
  for (const auto& [tensor, file] : weight_map) {
    if (!shards.contains(file)) {
      const fs::path path = checkpoint.directory / file;
      if (!is_present(path)) {
        fail(index.string() + ": the file " + quote_json(file) + " of tensor " + quote_json(tensor) + " is missing");
      }
      shards.emplace(file, read_safetensors(path));
    }
    TensorMap& shard = shards.at(file);
    const auto found = shard.find(tensor);
    if (found == shard.end()) {
      fail(index.string() + ": tensor " + quote_json(tensor) + " is not in " + quote_json(file));
    }
    checkpoint.tensors.insert(shard.extract(found));
  }
  for (const auto& [file, tensors] : shards) checkpoint.weight_files.push_back(checkpoint.directory / file);
}

void open_weights(Checkpoint& checkpoint, std::string_view variant) {
  const std::string single = with_variant("model", "safetensors", variant);
  const std::string index = with_variant("model.safetensors.index", "json", variant);
  // from_pretrained looks for them in this order.
  if (const fs::path path = checkpoint.directory / single; is_present(path)) {
    checkpoint.weight_files.push_back(path);
    checkpoint.tensors = read_safetensors(path);
  } else if (const fs::path index_path = checkpoint.directory / index; is_present(index_path)) {
    open_shards(index_path, checkpoint);
  } else {
    fail_without_weights(checkpoint.directory, single, index);
  }
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

Checkpoint open_checkpoint(const std::filesystem::path& directory, std::string_view variant) {
  if (!variant.empty() && !is_plain_file_name(variant)) {
    throw Error(ErrorKind::InvalidArgument, "the variant " + quote_json(variant) + " cannot be part of a file name");
  }
  check_directory(directory);
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  const fs::path config = directory / "config.json";
  if (!is_present(config)) fail(directory.string() + " is not a checkpoint: it has no config.json");
  checkpoint.config = read_json_object(config);
  open_weights(checkpoint, variant);
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
