#include "export/stream_weights.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/tensor_regions.h"
#include "core/tensor_source.h"
#include "onnx/output_file.h"
#include "onnx/reader.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using hub::WeightStream;

/// The most bytes of a file that one job reads, where a tensor can be written in pieces.
constexpr std::uint64_t piece_size = std::uint64_t{4} << 20;

/// A part of one of the stream's files.
struct Part {
  std::size_t file = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// A run of a tensor: where it goes, and what has to be there first.
struct Job {
  const fs::path* path = nullptr;
  std::uint64_t offset = 0;
  TensorSource source;
  std::vector<Part> parts;
  std::pair<std::size_t, std::uint64_t> ready;  ///< file and its position behind the last byte that is read
};

/// How many jobs still need each block of each file; hashing a segment counts as one.
class Blocks {
 public:
  explicit Blocks(WeightStream& stream) : stream_(stream) {
    for (std::size_t i = 0; i < stream.file_count(); ++i) {
      uses_.emplace_back((stream.file_size(i) + WeightStream::block_size - 1) / WeightStream::block_size, 1U);
    }
  }

  void add(const Part& part) {
    const auto [first, last] = blocks_of(part);
    for (std::uint64_t i = first; i < last; ++i) ++uses_[part.file][i];
  }

  /// Gives back the room of blocks that are needed no more, neighbours together.
  void remove(const Part& part) {
    std::vector<std::uint32_t>& uses = uses_[part.file];
    const auto [first, last] = blocks_of(part);
    std::uint64_t begin = first;  // of a run of blocks to release
    for (std::uint64_t i = first; i < last; ++i) {
      if (--uses[i] == 0) continue;
      if (begin < i) stream_.release(part.file, begin, i);
      begin = i + 1;
    }
    if (begin < last) stream_.release(part.file, begin, last);
  }

 private:
  static std::pair<std::uint64_t, std::uint64_t> blocks_of(const Part& part) {
    if (part.begin == part.end) return {0, 0};
    return {part.begin / WeightStream::block_size, (part.end - 1) / WeightStream::block_size + 1};
  }

  WeightStream& stream_;
  std::vector<std::vector<std::uint32_t>> uses_;
};

class StreamedWeights {
 public:
  StreamedWeights(const std::vector<onnx::DeferredWeight>& weights, const std::vector<FileRegion>& kept,
                  WeightStream& stream)
      : stream_(stream), blocks_(stream) {
    for (const FileRegion& region : kept) {
      // Counted once more than it is used.
      if (const auto file = index_of(region.file)) blocks_.add({*file, region.offset, region.offset + region.size});
    }
    for (const onnx::DeferredWeight& weight : weights) add(weight);
    std::stable_sort(jobs_.begin(), jobs_.end(),
                     [](const Job& left, const Job& right) { return left.ready < right.ready; });
  }

  void run() {
    do_jobs({0, 0});  // what the cache has
    stream_.run([this, begin = std::pair<std::size_t, std::uint64_t>{}](std::size_t file, std::uint64_t end) mutable {
      if (begin.first != file) begin = {file, 0};
      do_jobs({file, end});
      blocks_.remove({file, begin.second, end});
      begin.second = end;
    });
    for (auto& [path, file] : files_) file->close();
  }

 private:
  void add(const onnx::DeferredWeight& weight) {
    const TensorSource& source = weight.source;
    const std::vector<FileRegion> regions = regions_of(source);
    const std::int64_t count = source.element_count();
    const bool is_divisible = regions.size() == 1 && count > 0 && is_elementwise(source);
    if (!is_divisible || regions.front().size <= piece_size) return add_job(weight, weight.offset, source, regions);

    const FileRegion& region = regions.front();
    const std::uint64_t read_size = region.size / static_cast<std::uint64_t>(count);  // bytes for an element
    const std::uint64_t written_size = size_of(source.data_type);
    const auto step = static_cast<std::int64_t>(piece_size / read_size);
    const TensorSource flat = reshape(source, {count});
    for (std::int64_t first = 0; first < count; first += step) {
      const std::int64_t last = std::min(count, first + step);
      const auto begin = static_cast<std::uint64_t>(first);
      add_job(weight, weight.offset + begin * written_size, slice(flat, 0, first, last),
              {{region.file, region.offset + begin * read_size, static_cast<std::uint64_t>(last - first) * read_size}});
    }
  }

  void add_job(const onnx::DeferredWeight& weight, std::uint64_t offset, TensorSource source,
               const std::vector<FileRegion>& regions) {
    Job job;
    job.path = &weight.path;
    job.offset = offset;
    job.source = std::move(source);
    for (const FileRegion& region : regions) {
      const std::optional<std::size_t> file = index_of(region.file);
      if (!file) continue;
      job.parts.push_back({*file, region.offset, region.offset + region.size});
      blocks_.add(job.parts.back());
      job.ready = std::max(job.ready, {*file, region.offset + region.size});
    }
    jobs_.push_back(std::move(job));
  }

  std::optional<std::size_t> index_of(const std::shared_ptr<const MappedFile>& file) {
    const auto [entry, is_new] = indices_.try_emplace(file);
    if (is_new) {
      entry->second = stream_.index_of(*file);
      if (entry->second) mapped_files_.push_back(file);
    }
    return entry->second;
  }

  void do_jobs(const std::pair<std::size_t, std::uint64_t>& arrived) {
    for (; next_ < jobs_.size() && jobs_[next_].ready <= arrived; ++next_) {
      Job& job = jobs_[next_];
      onnx::OutputFile& file = output(*job.path);
      file.skip_to(job.offset);
      file.write(job.source);
      for (const Part& part : job.parts) blocks_.remove(part);
      job.source = {};
    }
  }

  onnx::OutputFile& output(const fs::path& path) {
    auto& file = files_[path];
    if (!file) file = std::make_unique<onnx::OutputFile>(onnx::OutputFile::Reopen{}, path, mapped_files_);
    return *file;
  }

  WeightStream& stream_;
  Blocks blocks_;
  std::vector<Job> jobs_;
  std::size_t next_ = 0;
  std::map<std::shared_ptr<const MappedFile>, std::optional<std::size_t>> indices_;
  onnx::MappedFiles mapped_files_;
  std::map<fs::path, std::unique_ptr<onnx::OutputFile>> files_;
};

bool have_equal_regions(const TensorSource& left, const TensorSource& right) {
  return std::ranges::equal(regions_of(left), regions_of(right), [](const FileRegion& one, const FileRegion& other) {
    return one.file == other.file && one.offset == other.offset && one.size == other.size;
  });
}

/// Whether a parameter is a tensor of the checkpoint, as it is there.
bool is_tensor_of(const TensorMap& tensors, const Value& parameter) {
  const auto tensor = tensors.find(parameter.name);
  if (tensor == tensors.end()) return false;
  const TensorSource& own = parameter.source;
  const TensorSource& other = tensor->second;
  return own.shape == other.shape && own.data_type == other.data_type && own.bytes.data() == other.bytes.data() &&
         have_equal_regions(own, other);
}

/// Whether a parameter became an initializer of its name, cast at most.
bool is_initializer_of(const std::map<std::string_view, const TensorSource*>& initializers, const Value& parameter) {
  const auto initializer = initializers.find(parameter.name);
  return initializer != initializers.end() && initializer->second->shape == parameter.source.shape &&
         have_equal_regions(*initializer->second, parameter.source);
}

}  // namespace

void stream_weights(const std::vector<onnx::DeferredWeight>& weights, const std::vector<FileRegion>& kept,
                    WeightStream& stream) {
  StreamedWeights(weights, kept, stream).run();
}

std::vector<FileRegion> unreadable_regions(const Graph& graph, const TensorMap& tensors, const onnx::Model& lowered) {
  std::map<std::string_view, const TensorSource*> initializers;
  for (const onnx::Initializer& initializer : lowered.graph.initializers) {
    initializers.emplace(initializer.name, &initializer.source);
  }
  std::vector<FileRegion> result;
  for (const Value& value : graph.values()) {
    if (value.kind != ValueKind::Parameter) continue;
    if (is_tensor_of(tensors, value) && is_initializer_of(initializers, value)) continue;
    const std::vector<FileRegion> regions = regions_of(value.source);
    result.insert(result.end(), regions.begin(), regions.end());
  }
  return result;
}

void read_back(const Graph& graph, const fs::path& model_file, TensorMap& tensors) {
  TensorMap written;
  onnx::Model model = onnx::read_model(model_file);
  for (onnx::Initializer& initializer : model.graph.initializers) {
    written.insert_or_assign(initializer.name, std::move(initializer.source));
  }
  for (const Value& value : graph.values()) {
    if (value.kind != ValueKind::Parameter || !is_tensor_of(tensors, value)) continue;
    // An initializer has its parameter's name; one that nothing is computed from is not written.
    const auto found = written.find(value.name);
    if (found != written.end() && found->second.shape == value.source.shape) tensors[value.name] = found->second;
  }
}

}  // namespace onnxport
