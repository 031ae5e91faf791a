#include "onnx/weight_plan.h"

#include <cerrno>
#include <map>
#include <system_error>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

/// Smaller initializers stay in the model file, as in Optimum and ONNX Runtime: shape inference needs the shapes among
/// them, and each external entry takes about a hundred bytes itself.
constexpr std::uint64_t kSmallestOutside = 1024;
/// ONNX asks for offsets that are multiples of the page size so that runtimes can map tensors. Tensors much smaller
/// than that only get what vector instructions like.
constexpr std::uint64_t kPageAlignment = 4096;
constexpr std::uint64_t kVectorAlignment = 64;
constexpr std::uint64_t kSmallestPageAligned = std::uint64_t{1} << 20;

bool goes_outside(const TensorSource& source) { return source.byte_size() >= kSmallestOutside; }

std::uint64_t align(std::uint64_t offset, std::uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

/// Lays tensors out in the data file of a plan, each region of memory once.
class DataFileLayout {
 public:
  DataFileLayout(WeightPlan& plan, const fs::path& model_path) : plan_(plan) {
    plan_.data_file_name = model_path.filename().string() + "_data";
  }

  ExternalLocation place(const TensorSource& source) {
    // Regions of one file are regions of its one mapping. What is computed has no address and is never shared.
    if (source.bytes.empty()) return {plan_.data_file_name, append(source)};
    const auto [entry, is_new] = offsets_.try_emplace({source.bytes.data(), source.bytes.size()}, 0);
    if (is_new) entry->second = append(source);
    return {plan_.data_file_name, entry->second};
  }

 private:
  std::uint64_t append(const TensorSource& source) {
    const std::uint64_t size = source.byte_size();
    const std::uint64_t offset =
        align(plan_.data_size, size >= kSmallestPageAligned ? kPageAlignment : kVectorAlignment);
    plan_.data.emplace_back(offset, &source);
    plan_.data_size = offset + size;
    return offset;
  }

  WeightPlan& plan_;
  std::map<std::pair<const std::byte*, std::size_t>, std::uint64_t> offsets_;
};

/// Chooses the names under which checkpoint files appear in the model's directory.
class CheckpointLinks {
 public:
  CheckpointLinks(WeightPlan& plan, const fs::path& model_path, const fs::path& destination)
      : plan_(plan),
        directory_(model_path.parent_path()),
        destination_(destination.empty() ? directory_ : destination),
        model_name_(model_path.filename().string()) {}

  const std::string& name_of(const MappedFile& file) {
    const auto [entry, is_new] = names_.try_emplace(&file);
    if (is_new) entry->second = choose_name(file.path());
    return entry->second;
  }

 private:
  enum class Name { Free, Taken, HoldsTarget };

  std::string choose_name(const fs::path& source) {
    std::error_code error;
    const fs::path target = fs::canonical(source, error);
    if (error) {
      throw Error(ErrorKind::InvalidArgument, source.string() + " cannot be referred to: " + error.message() +
                                                  ". It has been removed since it was opened; use --weights copy");
    }
    // The name that the user knows it by: in a hub cache the target's name is a hash.
    for (int attempt = 0;; ++attempt) {
      std::string name = source.stem().string();
      if (attempt > 0) name += "-" + std::to_string(attempt);
      name += source.extension().string();
      const Name state = state_of(name, target);
      if (state == Name::Taken) continue;
      if (state == Name::Free) plan_.links.emplace_back(name, target);
      return name;
    }
  }

  Name state_of(const std::string& name, const fs::path& target) const {
    if (name == model_name_ || name == plan_.data_file_name) return Name::Taken;
    for (const auto& [link, other] : plan_.links) {
      if (link == name) return other == target ? Name::HoldsTarget : Name::Taken;
    }
    const Name here = state_in(directory_, name, target);
    if (here != Name::Free) return here;
    // A link in a staged directory is needed even if the destination holds the target: the staged model is complete by
    // itself, and moving one link of a file over another changes nothing.
    return state_in(destination_, name, target) == Name::Taken ? Name::Taken : Name::Free;
  }

  static Name state_in(const fs::path& directory, const std::string& name, const fs::path& target) {
    std::error_code error;
    const fs::path path = directory / name;
    const fs::file_status status = fs::symlink_status(path, error);
    if (status.type() == fs::file_type::not_found) return Name::Free;
    // ONNX Runtime refuses external data behind a symbolic link that leaves the model's directory.
    const bool is_target = fs::is_regular_file(status) && fs::equivalent(path, target, error);
    return is_target ? Name::HoldsTarget : Name::Taken;
  }

  WeightPlan& plan_;
  fs::path directory_;
  fs::path destination_;
  std::string model_name_;
  std::map<const MappedFile*, std::string> names_;
};

/// Whether a runtime can use the tensor where it lies. ONNX Runtime maps at any offset, but reads elements in place,
/// and not every processor reads them across their natural alignment.
bool can_be_referred_to(const TensorSource& source) {
  return source.file != nullptr && source.file_offset % size_of(source.data_type) == 0;
}

/// Closes a descriptor when it goes.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

bool clone_file(const fs::path& target, const fs::path& link) {
  const Descriptor source{::open(target.c_str(), O_RDONLY | O_CLOEXEC)};
  const Descriptor clone{::open(link.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (source.value < 0 || clone.value < 0) return false;
  if (::ioctl(clone.value, FICLONE, source.value) == 0) return true;
  ::unlink(link.c_str());
  return false;
}

}  // namespace

WeightPlan plan_external(const Model& model, const fs::path& path) {
  WeightPlan plan;
  DataFileLayout layout(plan, path);
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers)
      if (goes_outside(initializer.source)) plan.locations.emplace(&initializer, layout.place(initializer.source));
  });
  return plan;
}

WeightPlan plan_reference(const Model& model, const fs::path& path, const WriteOptions& options) {
  WeightPlan plan;
  DataFileLayout layout(plan, path);
  CheckpointLinks links(plan, path, options.destination);
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers) {
      const TensorSource& source = initializer.source;
      if (!goes_outside(source)) continue;
      plan.locations.emplace(&initializer, can_be_referred_to(source)
                                               ? ExternalLocation{links.name_of(*source.file), source.file_offset}
                                               : layout.place(source));
    }
  });
  return plan;
}

void link_weights(const fs::path& target, const fs::path& link) {
  if (::link(target.c_str(), link.c_str()) == 0) return;
  const int error_number = errno;
  if (clone_file(target, link)) return;
  const std::string reason =
      error_number == EXDEV ? "they are on different file systems" : std::generic_category().message(error_number);
  throw Error(ErrorKind::InvalidArgument, "Cannot link " + link.string() + " to " + target.string() + ": " + reason +
                                              ". --weights reference needs the checkpoint and the output on the same "
                                              "file system; use --weights copy");
}

}  // namespace onnxport::onnx
