// The safetensors format: 8 bytes with the header's length, the header (JSON), and the tensors' bytes without gaps.
// https://github.com/huggingface/safetensors#format

#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "checkpoint/checkpoint.h"
#include "core/mapped_file.h"
#include "core/parallel_for.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they lie in the file");

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaximumHeaderBytes = 100'000'000;  // the library's own bound
constexpr std::string_view kMetadataKey = "__metadata__";

// ---- Reading ------------------------------------------------------------------------------------------------------

[[noreturn]] void fail(std::string_view origin, const std::string& what) {
  throw Error(ErrorKind::InvalidCheckpoint, std::string(origin) + ": " + what);
}

[[noreturn]] void fail(std::string_view origin, std::string_view tensor, const std::string& what) {
  fail(origin, "tensor " + quote_json(tensor) + " " + what);
}

/// The header's text.
std::string_view header_text(std::span<const std::byte> file, std::string_view origin) {
  if (file.size() < kLengthBytes) fail(origin, "is not a safetensors file: it has fewer than 8 bytes");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaximumHeaderBytes) {
    fail(origin, "is not a safetensors file: its header would have " + std::to_string(length) +
                     " bytes, and 100 MB are allowed");
  }
  if (length > file.size() - kLengthBytes) {
    fail(origin, "is truncated or not a safetensors file: its header has " + std::to_string(length) +
                     " bytes, the whole file " + std::to_string(file.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<std::size_t>(length));
  if (!text.starts_with('{')) fail(origin, "is not a safetensors file: its header does not begin with '{'");
  return text;
}

std::map<std::string, std::string> parse_metadata(const Json& json, std::string_view origin) {
  std::map<std::string, std::string> metadata;
  if (json.is_null()) return metadata;
  if (!json.is_object()) fail(origin, "__metadata__ is not an object");
  for (const auto& [key, value] : json.object()) {
    if (!value.is_string()) fail(origin, "__metadata__ has a value that is not a string: " + quote_json(key));
    metadata.emplace(key, value.string());
  }
  return metadata;
}

/// A member of a tensor's description that is an array of integers >= 0.
std::vector<std::int64_t> parse_sizes(const Json& json, std::string_view key, std::string_view origin,
                                      std::string_view tensor) {
  const Json* member = json.find(key);
  if (member == nullptr) fail(origin, tensor, "has no " + std::string(key));
  if (!member->is_array()) fail(origin, tensor, "has a " + std::string(key) + " that is not an array");
  std::vector<std::int64_t> sizes;
  for (const Json& item : member->array()) {
    if (!item.is_integer() || item.integer() < 0) {
      fail(origin, tensor, "has a " + std::string(key) + " with " + dump_json(item) + " in it");
    }
    sizes.push_back(item.integer());
  }
  return sizes;
}

DataType parse_data_type(const Json& json, std::string_view origin, std::string_view tensor) {
  const Json* member = json.find("dtype");
  if (member == nullptr || !member->is_string()) fail(origin, tensor, "has no dtype");
  const std::optional<DataType> type = data_type_from_safetensors(member->string());
  if (!type) fail(origin, tensor, "has the dtype " + quote_json(member->string()) + ", which onnxport does not know");
  return *type;
}

std::uint64_t byte_size(const SafetensorsEntry& entry, std::string_view origin) {
  try {
    std::int64_t size = 0;
    if (!__builtin_mul_overflow(element_count(entry.shape), static_cast<std::int64_t>(size_of(entry.data_type)),
                                &size)) {
      return static_cast<std::uint64_t>(size);
    }
  } catch (const Error&) {
    // The same fault, of the number of elements.
  }
  fail(origin, entry.name, "has the shape " + shape_to_string(entry.shape) + ", more than can be addressed");
}

/// `offset` of the result counts from the beginning of the data.
SafetensorsEntry parse_entry(const std::string& name, const Json& json, std::string_view origin) {
  if (!json.is_object()) fail(origin, name, "is not described by an object");
  SafetensorsEntry entry;
  entry.name = name;
  entry.data_type = parse_data_type(json, origin, name);
  entry.shape = parse_sizes(json, "shape", origin, name);
  const std::vector<std::int64_t> offsets = parse_sizes(json, "data_offsets", origin, name);
  if (offsets.size() != 2 || offsets[1] < offsets[0]) {
    fail(origin, name, "has invalid data_offsets: " + shape_to_string(offsets));
  }
  entry.offset = static_cast<std::uint64_t>(offsets[0]);
  entry.size = static_cast<std::uint64_t>(offsets[1] - offsets[0]);
  if (const std::uint64_t expected = byte_size(entry, origin); entry.size != expected) {
    fail(origin, name,
         "of shape " + shape_to_string(entry.shape) + " and dtype " + std::string(safetensors_name(entry.data_type)) +
             " needs " + std::to_string(expected) + " bytes, but its data_offsets give it " +
             std::to_string(entry.size));
  }
  return entry;
}

/// The entries, in the order of their offsets, must cover [0, data_size).
void check_coverage(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_size, std::string_view origin) {
  std::uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.offset != end) {
      fail(origin, entry.name,
           "begins at byte " + std::to_string(entry.offset) + " of the data, but the tensor before it ends at " +
               std::to_string(end));
    }
    end += entry.size;  // fits: both offsets fit into an int64
    if (end > data_size) {
      fail(origin, entry.name,
           "ends at byte " + std::to_string(end) + " of the data, but the file has only " + std::to_string(data_size) +
               "; it may not have been downloaded completely");
    }
  }
  if (end != data_size) {
    fail(origin, "has " + std::to_string(data_size - end) + " bytes behind its last tensor");
  }
}

// ---- Writing ------------------------------------------------------------------------------------------------------

using TensorMap = std::map<std::string, TensorSource, std::less<>>;
using NamedTensor = TensorMap::value_type;

/// The library's order: widest elements first, which keeps every tensor aligned to its element size. Among types of
/// one width it is that of the library's enumeration.
int layout_rank(DataType type) {
  static constexpr std::array kOrder{DataType::UInt64, DataType::Int64, DataType::Float64,      DataType::Float32,
                                     DataType::UInt32, DataType::Int32, DataType::BFloat16,     DataType::Float16,
                                     DataType::UInt16, DataType::Int16, DataType::Float8E4M3FN, DataType::Float8E5M2,
                                     DataType::Int8,   DataType::UInt8, DataType::Bool};
  return static_cast<int>(std::find(kOrder.begin(), kOrder.end(), type) - kOrder.begin());
}

std::vector<const NamedTensor*> layout(const TensorMap& tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* left, const NamedTensor* right) {
    return layout_rank(left->second.data_type) < layout_rank(right->second.data_type);
  });
  return order;
}

std::string format_metadata(const std::map<std::string, std::string>& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata) {
    if (!text.empty()) text += ',';
    text += quote_json(key) + ":" + quote_json(value);
  }
  return quote_json(kMetadataKey) + ":{" + text + "}";
}

std::string format_entry(const NamedTensor& tensor, std::uint64_t offset) {
  const auto& [name, source] = tensor;
  std::string shape;
  for (const std::int64_t dimension : source.shape) {
    if (!shape.empty()) shape += ',';
    shape += std::to_string(dimension);
  }
  return quote_json(name) + ":{\"dtype\":\"" + std::string(safetensors_name(source.data_type)) + "\",\"shape\":[" +
         shape + "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + source.byte_size()) +
         "]}";
}

/// The length and the header, padded so that the data begins at a multiple of 8.
std::string format_header(const std::vector<const NamedTensor*>& order,
                          const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) text += format_metadata(metadata);
  std::uint64_t offset = 0;
  for (const NamedTensor* tensor : order) {
    if (text.size() > 1) text += ',';
    text += format_entry(*tensor, offset);
    offset += tensor->second.byte_size();
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');

  const std::uint64_t length = text.size();
  std::string header(kLengthBytes, '\0');
  std::memcpy(header.data(), &length, sizeof(length));
  return header + text;
}

/// A file under a temporary name beside its place; takes its name when it is complete and is removed otherwise.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
    temporary_ += ".tmp" + std::to_string(::getpid());
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_output(errno);
  }
  ~OutputFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_output(errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void finish() {
    const int closed = ::close(std::exchange(descriptor_, -1));
    if (closed == 0 && ::rename(temporary_.c_str(), path_.c_str()) == 0) return;
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    fail_output(error_number);
  }

 private:
  [[noreturn]] void fail_output(int error_number) const {
    throw Error(ErrorKind::OutputFailed,
                path_.string() + " cannot be written: " + std::generic_category().message(error_number));
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

void write_computed(OutputFile& file, const TensorSource& source) {
  constexpr std::int64_t kBlockBytes = std::int64_t{16} << 20;
  const auto element_size = static_cast<std::int64_t>(size_of(source.data_type));
  const std::int64_t count = source.element_count();
  const std::int64_t block = kBlockBytes / element_size;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(block, count) * element_size));
  for (std::int64_t first = 0; first < count; first += block) {
    const std::int64_t run = std::min(block, count - first);
    parallel_for(run, block / 16, [&](std::int64_t begin, std::int64_t end) {
      read_elements(source, first + begin,
                    std::span(buffer).subspan(static_cast<std::size_t>(begin * element_size),
                                              static_cast<std::size_t>((end - begin) * element_size)));
    });
    file.write(std::span(buffer).first(static_cast<std::size_t>(run * element_size)));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file_bytes, std::string_view origin) {
  const std::string_view text = header_text(file_bytes, origin);
  const Json json = parse_json(text, std::string(origin) + " (header)");
  const std::uint64_t data_begin = kLengthBytes + text.size();

  SafetensorsHeader header;
  for (const auto& [name, value] : json.object()) {
    if (name == kMetadataKey) {
      header.metadata = parse_metadata(value, origin);
    } else {
      header.entries.push_back(parse_entry(name, value, origin));
    }
  }
  // A tensor without elements lies where the next one begins: it has to come first.
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const SafetensorsEntry& left, const SafetensorsEntry& right) {
                     return std::tie(left.offset, left.size) < std::tie(right.offset, right.size);
                   });
  check_coverage(header.entries, file_bytes.size() - data_begin, origin);
  for (SafetensorsEntry& entry : header.entries) entry.offset += data_begin;
  return header;
}

std::map<std::string, TensorSource, std::less<>> read_safetensors(const std::filesystem::path& path,
                                                                  std::map<std::string, std::string>* metadata) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  SafetensorsHeader header = parse_safetensors_header(file->bytes(), path.string());
  TensorMap tensors;
  for (SafetensorsEntry& entry : header.entries) {
    TensorSource source;
    source.data_type = entry.data_type;
    source.shape = std::move(entry.shape);
    source.bytes = file->bytes().subspan(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(entry.size));
    source.file = file;
    source.file_offset = entry.offset;
    tensors.emplace(std::move(entry.name), std::move(source));
  }
  if (metadata != nullptr) *metadata = std::move(header.metadata);
  return tensors;
}

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, TensorSource, std::less<>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<const NamedTensor*> order = layout(tensors);
  OutputFile file(path);
  const std::string header = format_header(order, metadata);
  file.write(std::as_bytes(std::span(header)));
  for (const NamedTensor* tensor : order) {
    if (tensor->second.bytes.empty()) {
      write_computed(file, tensor->second);
    } else {
      file.write(tensor->second.bytes);
    }
  }
  file.finish();
}

}  // namespace onnxport
