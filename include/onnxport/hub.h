#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Models of the Hugging Face Hub, through the cache of huggingface_hub: what one of both has downloaded, the other
/// finds.
namespace onnxport {

/// Where a download is; `total` counts the bytes that were not in the cache when it began.
struct DownloadProgress {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

/// Names, meanings and defaults are those of huggingface_hub, its environment variables included.
struct HubOptions {
  std::string revision = "main";       ///< branch, tag or commit
  std::string subfolder{};             ///< of the repository, instead of its root
  std::filesystem::path cache_dir{};   ///< default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
  std::string endpoint{};              ///< default: HF_ENDPOINT
  std::optional<std::string> token{};  ///< default: HF_TOKEN, else the file that logging in wrote; "" for none
  bool local_files_only = false;       ///< use the cache alone, as HF_HUB_OFFLINE=1 says for all
  int connections = 8;                 ///< at most, at once
  std::chrono::milliseconds retry_delay{1000};  ///< before the first repetition of a failed request; doubled each time

  /// Called from the calling thread; what it throws interrupts the download.
  std::function<void(const DownloadProgress&)> progress{};
  std::function<void(std::string_view line)> warn{};
};

/// A file of a repository.
struct HubFile {
  std::string path;        ///< relative to the repository's root, with '/'
  std::uint64_t size = 0;  ///< 0 where only the cache was asked
};

/// Which of a repository's files are wanted; returns their paths.
using HubFileSelection = std::function<std::vector<std::string>(const std::vector<HubFile>& files)>;

/// Whether `text` can be the id of a model: "name" or "organization/name" in the Hub's alphabet.
bool is_model_id(std::string_view text);

/// Brings the selected files of a model into the cache and returns the snapshot's directory (with the subfolder, if one
/// is given). Files are downloaded in parallel, large ones in ranges, and checked against their size and hash before
/// they get their name; an interrupted download goes on where it stopped. Where the Hub cannot be reached, the cache
/// serves. Throws Error(HubFailed): no such model or revision, no access, no connection and nothing in the cache, a
/// damaged download, a full disk.
std::filesystem::path download_model(std::string_view model_id, const HubFileSelection& selection,
                                     const HubOptions& options = {});

/// What an export needs of a repository: configs, tokenizer and processor files, and the weights in the first of the
/// formats safetensors, PyTorch, TensorFlow that there is. `subfolder` as in HubOptions; `variant` as from_pretrained
/// has it: "fp16" takes model.fp16.safetensors. Throws Error(InvalidCheckpoint) if there are no weights of the variant.
std::vector<std::string> select_checkpoint_files(const std::vector<HubFile>& files, std::string_view subfolder = {},
                                                 std::string_view variant = {});

/// What a tokenizer needs: config.json and the files of tokenizers.
std::vector<std::string> select_tokenizer_files(const std::vector<HubFile>& files, std::string_view subfolder = {});

/// The directory of a model, with the subfolder if one is given: `model` itself if it is a directory, else what
/// download_model makes of it as an id.
/// Throws Error(InvalidCheckpoint) if it is neither; and what download_model throws.
std::filesystem::path resolve_model(const std::filesystem::path& model, const HubFileSelection& selection,
                                    const HubOptions& options = {});

/// The same with what an export needs of a repository.
std::filesystem::path resolve_checkpoint(const std::filesystem::path& model, const HubOptions& options = {},
                                         std::string_view variant = {});

}  // namespace onnxport
