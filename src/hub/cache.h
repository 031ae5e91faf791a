#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The cache of huggingface_hub:
///
///     models--organization--name/
///       blobs/<etag>                    a file's bytes; the etag is their SHA-256, or git's SHA-1 for small files
///       snapshots/<commit>/<path>       links to blobs
///       refs/<revision>                 the commit that a branch or tag was last seen at
///       .no_exist/<commit>/<path>       empty files: what was asked for and is not there
///     .locks/models--organization--name/<etag>.lock
namespace onnxport::hub {

/// HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub (XDG_CACHE_HOME in place of ~/.cache).
std::filesystem::path default_cache_directory();
/// HF_HOME and what stands for it.
std::filesystem::path home_directory();

/// Whether the text can be a commit, or an etag that names a blob: 40 to 64 hexadecimal digits.
bool is_hexadecimal_name(std::string_view text);
/// Whether a repository's path may become one below a directory: relative, no "..", no control characters.
bool is_safe_path(std::string_view path);

/// A model's part of the cache.
class ModelCache {
 public:
  ModelCache(const std::filesystem::path& cache_directory, std::string_view model_id);

  std::filesystem::path blob(std::string_view etag) const;
  std::filesystem::path snapshot(std::string_view commit) const;

  /// The commit that a revision stood at when it was last asked for; a commit stands for itself.
  std::optional<std::string> commit_of(std::string_view revision) const;
  void write_reference(std::string_view revision, std::string_view commit) const;
  void write_missing(std::string_view commit, std::string_view path) const;

  /// Paths of all files of a snapshot whose bytes are there.
  std::vector<std::string> files(std::string_view commit) const;
  /// Links snapshots/<commit>/<path> to a blob; a file system without links gets a copy.
  void link(std::string_view commit, std::string_view path, std::string_view etag) const;

  /// Held while a blob is written, so that two processes do not download one file twice. Waits for the other.
  class Lock {
   public:
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock();

   private:
    friend class ModelCache;
    explicit Lock(const std::filesystem::path& file);
    int descriptor_;
  };
  Lock lock(std::string_view etag) const;

 private:
  std::filesystem::path directory_;
  std::filesystem::path locks_;
};

/// A blob on its way: bytes arrive in segments, in any order, and survive the process. What is complete stands in a
/// journal beside the file, which gets its name when all is there and the hash is right.
class PartialBlob {
 public:
  static constexpr std::uint64_t segment_size = 16 << 20;

  /// Opens blobs/<etag>.segments and its journal, which go on where they stopped if they are of the same size.
  /// Throws Error(HubFailed) if the disk has not the space.
  PartialBlob(const std::filesystem::path& blob, std::uint64_t size);
  ~PartialBlob();
  PartialBlob(const PartialBlob&) = delete;
  PartialBlob& operator=(const PartialBlob&) = delete;

  std::size_t segment_count() const { return complete_.size(); }
  bool is_complete(std::size_t segment) const { return complete_[segment]; }
  std::uint64_t begin(std::size_t segment) const { return segment * segment_size; }
  std::uint64_t end(std::size_t segment) const;

  /// Throws Error(HubFailed) if the disk is full.
  void write(std::uint64_t position, std::span<const std::byte> bytes) const;
  void set_complete(std::size_t segment);

  /// Checks the bytes against the etag and gives the blob its name. False if they are others: all is discarded then.
  bool publish(std::string_view etag);

 private:
  void read_journal();

  std::filesystem::path blob_;
  std::filesystem::path data_path_;
  std::filesystem::path journal_path_;
  std::uint64_t size_;
  int data_ = -1;
  int journal_ = -1;
  std::vector<bool> complete_;
};

}  // namespace onnxport::hub
