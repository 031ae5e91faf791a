#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/mapped_file.h"
#include "hub/client.h"
#include "hub/repository.h"
#include "onnxport/hub.h"

namespace onnxport::hub {

/// A model's weights on their way to a reader that needs each byte once: no file of weights is ever there as a whole.
///
/// The model appears as a directory. Small files are links into the cache, as are weights that the cache has; each
/// other safetensors file is one of the right size without data, of which only the header is there. That is all that
/// reading its tensors' names, types and places needs. run() then brings the data, in the order of the files and of
/// their bytes and by several connections, and release() gives back the room of what was used.
class WeightStream {
 public:
  /// What one request brings.
  static constexpr std::uint64_t segment_size = std::uint64_t{8} << 20;
  /// release() gives back whole blocks.
  static constexpr std::uint64_t block_size = std::uint64_t{64} << 10;

  /// Asks the Hub for the model and makes the directory's files; `directory` is there, empty, and on the disk that the
  /// data is to pass through. Nothing if the selected weights are in a format that cannot be read from its beginning.
  /// Throws Error(HubFailed) as download_model, also where only the cache could serve.
  static std::unique_ptr<WeightStream> open(std::string_view model_id, const HubFileSelection& selection,
                                            const std::filesystem::path& directory, const HubOptions& options);
  ~WeightStream();
  WeightStream(const WeightStream&) = delete;
  WeightStream& operator=(const WeightStream&) = delete;

  /// The checkpoint: `directory`, or the subfolder in it.
  const std::filesystem::path& checkpoint() const { return checkpoint_; }

  std::size_t file_count() const { return files_.size(); }
  std::uint64_t file_size(std::size_t file) const { return files_[file].remote.size; }
  /// Which of the files is mapped; nothing for one that is there already.
  std::optional<std::size_t> index_of(const MappedFile& file) const;

  /// Brings all data. `arrived` is called in this thread when all bytes of a file before `end` are there, and all of
  /// the files before it; meanwhile later ones arrive, as far as a window of a few segments allows. Every file is
  /// checked against its hash. Throws Error(HubFailed), and what `arrived` throws, when all connections have ended.
  void run(const std::function<void(std::size_t file, std::uint64_t end)>& arrived);

  /// Gives back the room of blocks [begin, end) of a file, counted in block_size. They read as zeros from then on.
  void release(std::size_t file, std::uint64_t begin, std::uint64_t end);

 private:
  struct File {
    RemoteFile remote;
    std::filesystem::path path;
    int descriptor = -1;
    std::uint64_t present = 0;  ///< bytes from the beginning on that came with the header
  };
  struct Segment {
    std::size_t file;
    ByteRange range;
    bool is_there = false;
  };

  WeightStream(Identity identity, std::string commit, const HubOptions& options);
  void add(const RemoteFile& remote, const std::filesystem::path& path);
  void fetch_headers();
  void fetch_header(Client& client, File& file);
  void make_segments();
  void write(const File& file, std::uint64_t position, std::span<const std::byte> bytes) const;

  /// Runs `work` with a connection of its own in each of at most `count` threads.
  void start(std::size_t count, const std::function<void(Client&)>& work);
  void join();
  void fail_with(std::exception_ptr error);

  void fetch_segments(Client& client);
  void wait_for(const Segment& segment);
  void report() const;

  Identity identity_;
  std::string commit_;
  HubOptions options_;
  std::filesystem::path checkpoint_;
  std::vector<File> files_;
  std::vector<Segment> segments_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
  std::size_t next_ = 0;      ///< the segment that is fetched next
  std::size_t consumed_ = 0;  ///< segments that `arrived` was called for
  std::exception_ptr error_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace onnxport::hub
