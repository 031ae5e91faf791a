// The two formats of torch.save; torch/serialization.py reads them. A pickle says which tensors there are, and each of
// them is a view of a storage, a run of bytes of the file.

#include "checkpoint/torch_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checkpoint/byte_reader.h"
#include "checkpoint/pickle.h"
#include "checkpoint/strided.h"
#include "checkpoint/zip.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

using Kind = PickleValue::Kind;
using TensorMap = std::map<std::string, TensorSource, std::less<>>;

constexpr std::size_t kMaximumRank = 64;
constexpr std::size_t kMaximumTensors = 500'000;

// ---- What a pickle of torch may name --------------------------------------------------------------------------------

constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor";
constexpr std::string_view kRebuildTensor2 = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildTensor3 = "torch._utils._rebuild_tensor_v3";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kRebuildParameterWithState = "torch._utils._rebuild_parameter_with_state";
constexpr std::string_view kRebuildFromType = "torch._tensor._rebuild_from_type_v2";
constexpr std::string_view kSize = "torch.Size";

constexpr std::array kCallables{kRebuildTensor, kRebuildTensor2, kRebuildTensor3, kRebuildParameter,
                                kRebuildParameterWithState, kRebuildFromType, kSize,
                                // Tensors of kinds that are refused by name, and values that are no tensors.
                                std::string_view("torch._utils._rebuild_sparse_tensor"),
                                std::string_view("torch._utils._rebuild_qtensor"),
                                std::string_view("torch._utils._rebuild_meta_tensor_no_storage"),
                                std::string_view("torch._utils._rebuild_wrapper_subclass"),
                                std::string_view("torch._utils._rebuild_device_tensor_from_numpy"),
                                std::string_view("torch._utils._rebuild_device_tensor_from_cpu_tensor"),
                                std::string_view("torch.serialization._get_layout"), std::string_view("torch.device"),
                                std::string_view("_codecs.encode"), std::string_view("__builtin__.set"),
                                std::string_view("builtins.set"), std::string_view("__builtin__.bytearray"),
                                std::string_view("builtins.bytearray"), std::string_view("__builtin__.complex"),
                                std::string_view("builtins.complex"), std::string_view("collections.Counter")};

/// How a storage class or a dtype of torch is called, and the type here; nullopt for those that onnxport lacks.
struct TorchType {
  std::string_view storage;  ///< empty where the dtype has no storage class of its own
  std::string_view dtype;
  std::uint64_t element_size;
  std::optional<DataType> type;
};
constexpr std::array kTypes{TorchType{"DoubleStorage", "float64", 8, DataType::Float64},
                            TorchType{"FloatStorage", "float32", 4, DataType::Float32},
                            TorchType{"HalfStorage", "float16", 2, DataType::Float16},
                            TorchType{"BFloat16Storage", "bfloat16", 2, DataType::BFloat16},
                            TorchType{"LongStorage", "int64", 8, DataType::Int64},
                            TorchType{"IntStorage", "int32", 4, DataType::Int32},
                            TorchType{"ShortStorage", "int16", 2, DataType::Int16},
                            TorchType{"CharStorage", "int8", 1, DataType::Int8},
                            TorchType{"ByteStorage", "uint8", 1, DataType::UInt8},
                            TorchType{"BoolStorage", "bool", 1, DataType::Bool},
                            TorchType{"UntypedStorage", "uint8", 1, DataType::UInt8},
                            TorchType{"", "uint16", 2, DataType::UInt16},
                            TorchType{"", "uint32", 4, DataType::UInt32},
                            TorchType{"", "uint64", 8, DataType::UInt64},
                            TorchType{"", "float8_e4m3fn", 1, DataType::Float8E4M3FN},
                            TorchType{"", "float8_e5m2", 1, DataType::Float8E5M2},
                            TorchType{"", "float8_e4m3fnuz", 1, std::nullopt},
                            TorchType{"", "float8_e5m2fnuz", 1, std::nullopt},
                            TorchType{"", "float8_e8m0fnu", 1, std::nullopt},
                            TorchType{"", "float4_e2m1fn_x2", 1, std::nullopt},
                            TorchType{"", "complex32", 4, std::nullopt},
                            TorchType{"ComplexFloatStorage", "complex64", 8, std::nullopt},
                            TorchType{"ComplexDoubleStorage", "complex128", 16, std::nullopt},
                            TorchType{"QInt8Storage", "qint8", 1, std::nullopt},
                            TorchType{"QUInt8Storage", "quint8", 1, std::nullopt},
                            TorchType{"QInt32Storage", "qint32", 4, std::nullopt},
                            TorchType{"QUInt4x2Storage", "quint4x2", 1, std::nullopt},
                            TorchType{"QUInt2x4Storage", "quint2x4", 1, std::nullopt}};

/// Every global that may stand uncalled: the types above under all modules that they have lived in, the classes of
/// tensors that `_rebuild_from_type_v2` is told of, and what describes kinds of tensors that are refused later.
const std::vector<std::string_view>& known_globals() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result{"torch.Tensor",
                                    "torch.nn.parameter.Parameter",
                                    "torch.nn.parameter.Buffer",
                                    "torch.per_tensor_affine",
                                    "torch.per_tensor_symmetric",
                                    "torch.per_channel_affine",
                                    "torch.per_channel_symmetric",
                                    "torch.per_channel_affine_float_qparams",
                                    "torch.storage._UntypedStorage",
                                    "torch.storage.UntypedStorage"};
    for (const TorchType& type : kTypes) {
      result.push_back("torch." + std::string(type.dtype));
      if (type.storage.empty()) continue;
      result.push_back("torch." + std::string(type.storage));
      result.push_back("torch.cuda." + std::string(type.storage));
    }
    return result;
  }();
  static const std::vector<std::string_view> views(names.begin(), names.end());
  return views;
}

const TorchType* find_storage_type(std::string_view global) {
  std::string_view name = global.substr(global.rfind('.') + 1);
  if (name.starts_with('_')) name.remove_prefix(1);  // torch.storage._UntypedStorage of torch 1.12
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const TorchType& type) { return !type.storage.empty() && type.storage == name; });
  return found == kTypes.end() ? nullptr : &*found;
}

const TorchType* find_dtype(std::string_view global) {
  if (!global.starts_with("torch.")) return nullptr;
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TorchType& type) { return type.dtype == global.substr(6); });
  return found == kTypes.end() ? nullptr : &*found;
}

// ---- Storages -------------------------------------------------------------------------------------------------------

/// What a pickle says of a storage: ("storage", torch.FloatStorage, "0", "cpu", 1024), and of old files a sixth member.
struct StorageReference {
  const TorchType* type;
  std::string_view key;
  std::int64_t count;            ///< elements
  std::int64_t view_offset = 0;  ///< elements: old files have storages that are views of others
};

/// Where the bytes of each storage lie in the file.
using StorageExtents = std::unordered_map<std::string_view, ZipMember>;

/// Makes tensors of the values of one pickle.
class TensorReader {
 public:
  TensorReader(std::span<const std::byte> bytes, std::shared_ptr<const MappedFile> file, std::string origin,
               const StorageExtents& extents)
      : bytes_(bytes), file_(std::move(file)), origin_(std::move(origin)), extents_(extents) {}

  TensorMap read(const PickleValue& value) {
    if (value.kind != Kind::Dictionary) {
      fail("holds no dictionary of tensors, as a state_dict is one: save model.state_dict(), not the model");
    }
    TensorMap tensors;
    std::string other_keys;
    for (std::size_t i = 0; i < value.items.size(); i += 2) {
      const PickleValue& key = *value.items[i];
      const PickleValue& tensor = *value.items[i + 1];
      if (key.kind != Kind::Text) continue;
      subject_ = "tensor " + quote_json(key.text);
      if (is_tensor(tensor)) {
        tensors.insert_or_assign(std::string(key.text), make_tensor(tensor, 0));
      } else if (other_keys.size() < 100) {
        other_keys += (other_keys.empty() ? "" : ", ") + quote_json(key.text.substr(0, 40));
      }
      if (tensors.size() > kMaximumTensors) fail("holds more tensors than any checkpoint has");
    }
    if (tensors.empty() && !other_keys.empty()) {
      fail("holds a dictionary without tensors: its keys are " + other_keys +
           ". from_pretrained reads a plain state_dict; if one of these is it, save that alone");
    }
    refuse_repetition(tensors, bytes_.size(), origin_);
    return tensors;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::InvalidCheckpoint, origin_ + ": " + what);
  }
  [[noreturn]] void fail_tensor(const std::string& what) const { fail(subject_ + " " + what); }

  static std::string_view function_of(const PickleValue& call) { return call.items[0]->text; }

  static bool is_tensor(const PickleValue& value) {
    if (value.kind != Kind::Call) return false;
    return function_of(value).starts_with("torch._utils._rebuild_") || function_of(value) == kRebuildFromType;
  }

  TensorSource make_tensor(const PickleValue& call, int depth) const {
    if (!is_tensor(call) || depth > 4) fail_tensor("is described in an unknown way");
    const std::string_view function = function_of(call);
    if (function == kRebuildParameter || function == kRebuildParameterWithState) {
      return make_tensor(argument(call, 1), depth + 1);
    }
    if (function == kRebuildFromType) return make_tensor(from_type(call), depth + 1);
    if (function == kRebuildTensor || function == kRebuildTensor2) {
      check_metadata(call, 7);
      return make_view(call, nullptr);
    }
    if (function == kRebuildTensor3) {
      check_metadata(call, 8);
      const PickleValue& dtype = argument(call, 7);
      const TorchType* type = dtype.kind == Kind::Global ? find_dtype(dtype.text) : nullptr;
      if (type == nullptr) fail_tensor("has an unknown dtype");
      return make_view(call, type);
    }
    fail_tensor("is made by " + std::string(function) +
                ": sparse, quantized and other special tensors cannot be exported; save it as a plain tensor");
  }

  /// _rebuild_from_type_v2(function, class, arguments, state) calls function(*arguments) for tensors with attributes.
  const PickleValue& from_type(const PickleValue& call) const {
    const PickleValue& function = argument(call, 1);
    const PickleValue& type = argument(call, 2);
    const PickleValue& arguments = argument(call, 3);
    const bool is_plain =
        type.kind == Kind::Global && (type.text == "torch.Tensor" || type.text.starts_with("torch.nn.parameter."));
    if (function.kind != Kind::Global || arguments.kind != Kind::Tuple || !is_plain) {
      fail_tensor("is of a class of its own, which cannot be exported; save it as a plain tensor");
    }
    if (arguments.items.size() > 16) fail_tensor("is described in an unknown way");
    PickleValue& inner = unwrapped_.emplace_back();
    inner.kind = Kind::Call;
    inner.items.push_back(&function);
    inner.items.insert(inner.items.end(), arguments.items.begin(), arguments.items.end());
    return inner;
  }

  const PickleValue& argument(const PickleValue& call, std::size_t index) const {
    if (index >= call.items.size()) fail_tensor("is described in an unknown way: an argument is missing");
    return *call.items[index];
  }

  /// The last argument of later releases: which of a tensor's bits are set ("conj", "neg").
  void check_metadata(const PickleValue& call, std::size_t index) const {
    if (index >= call.items.size() || call.items[index]->kind != Kind::Dictionary) return;
    const PickleItems& items = call.items[index]->items;
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (items[i + 1]->kind == Kind::Boolean && items[i + 1]->integer != 0) {
        fail_tensor("is a lazily conjugated or negated view, which is not supported");
      }
    }
  }

  std::int64_t integer(const PickleValue& value) const {
    if (value.kind != Kind::Integer || value.integer < 0) fail_tensor("has a size, stride or offset that is no size");
    return value.integer;
  }

  std::vector<std::int64_t> sizes(const PickleValue& value) const {
    if (value.kind == Kind::Call && function_of(value) == kSize) {
      const PickleValue& inner = argument(value, 1);
      if (inner.kind == Kind::Tuple || inner.kind == Kind::List) return sizes(inner);
    }
    if (value.kind != Kind::Tuple && value.kind != Kind::List) fail_tensor("has a shape that is not a tuple");
    if (value.items.size() > kMaximumRank) fail_tensor("has too many dimensions");
    std::vector<std::int64_t> result;
    for (const PickleValue* item : value.items) result.push_back(integer(*item));
    return result;
  }

  StorageReference storage_reference(const PickleValue& value) const {
    if (value.kind != Kind::Storage || value.items[0]->kind != Kind::Tuple) fail_tensor("has no storage");
    const PickleItems& id = value.items[0]->items;
    const bool is_storage = (id.size() == 5 || id.size() == 6) && id[0]->kind == Kind::Text && id[0]->text == "storage";
    if (!is_storage || id[1]->kind != Kind::Global || id[2]->kind != Kind::Text) {
      fail_tensor("has a storage that is described in an unknown way");
    }
    StorageReference reference{find_storage_type(id[1]->text), id[2]->text, integer(*id[4])};
    if (reference.type == nullptr) fail_tensor("has a storage of the unknown class " + quote_json(id[1]->text));
    if (id.size() == 6 && id[5]->kind == Kind::Tuple) {
      const PickleItems& view = id[5]->items;  // key, offset, size
      if (view.size() != 3) fail_tensor("has a storage that is described in an unknown way");
      reference.view_offset = integer(*view[1]);
      const std::int64_t size = integer(*view[2]);
      if (reference.view_offset > reference.count || size > reference.count - reference.view_offset) {
        fail_tensor("has a storage that is a view beyond the end of another");
      }
      reference.count = size;
    }
    return reference;
  }

  /// The whole storage as a tensor of one axis.
  TensorSource open_storage(const StorageReference& reference, const TorchType* viewed_as) const {
    const auto extent = extents_.find(reference.key);
    if (extent == extents_.end() && reference.count > 0) {
      fail_tensor("has the storage " + quote_json(reference.key) + ", which is not in the file");
    }
    const ZipMember place = extent == extents_.end() ? ZipMember{} : extent->second;
    const std::uint64_t size = reference.type->element_size;
    const std::uint64_t available = place.size / size;
    const auto first = static_cast<std::uint64_t>(reference.view_offset);
    const auto count = static_cast<std::uint64_t>(reference.count);
    if (first > available || count > available - first) {
      fail_tensor("has a storage of " + std::to_string(reference.count) + " elements, of which the file has only " +
                  std::to_string(available) + "; it may not have been downloaded completely");
    }
    const TorchType& type = viewed_as != nullptr ? *viewed_as : *reference.type;
    if (!type.type) {
      fail_tensor("has the dtype " + std::string(type.dtype) + ", which onnxport does not know");
    }
    TensorSource storage;
    storage.data_type = *type.type;
    storage.shape = {static_cast<std::int64_t>(count * size / type.element_size)};
    storage.file = file_;
    storage.file_offset = place.offset + first * size;
    storage.bytes =
        bytes_.subspan(static_cast<std::size_t>(storage.file_offset), static_cast<std::size_t>(storage.byte_size()));
    return storage;
  }

  /// _rebuild_tensor(storage, offset, size, stride, ...)
  TensorSource make_view(const PickleValue& call, const TorchType* viewed_as) const {
    const TensorSource storage = open_storage(storage_reference(argument(call, 1)), viewed_as);
    const std::int64_t offset = integer(argument(call, 2));
    std::vector<std::int64_t> shape = sizes(argument(call, 3));
    std::vector<std::int64_t> strides = sizes(argument(call, 4));
    if (shape.size() != strides.size()) fail_tensor("has more or fewer strides than dimensions");
    return strided_view(storage, offset, std::move(shape), std::move(strides), origin_ + ": " + subject_);
  }

  std::span<const std::byte> bytes_;
  std::shared_ptr<const MappedFile> file_;
  std::string origin_;
  const StorageExtents& extents_;
  std::string subject_;
  mutable std::deque<PickleValue> unwrapped_;
};

PickleResult read_torch_pickle(std::span<const std::byte> bytes, std::uint64_t offset, const std::string& origin) {
  return read_pickle(bytes, offset, origin, kCallables, known_globals());
}

// ---- The zip format -------------------------------------------------------------------------------------------------

constexpr std::string_view kZipBegin = "PK\x03\x04";

TensorMap parse_zip(std::span<const std::byte> bytes, const std::shared_ptr<const MappedFile>& file,
                    const std::string& origin) {
  const auto members = read_zip_directory(bytes, origin);
  // All members lie in one folder, whose name is that of the file when it was saved.
  const std::string& any = members.empty() ? std::string() : members.begin()->first;
  const std::string folder = any.substr(0, any.find('/') + 1);
  const auto find = [&](std::string_view name) { return members.find(folder + std::string(name)); };

  const auto pickle = find("data.pkl");
  if (pickle == members.end()) {
    throw Error(
        ErrorKind::InvalidCheckpoint,
        origin + ": is a zip archive that torch.save has not written: it has no " + quote_json(folder + "data.pkl"));
  }
  if (const auto byte_order = find("byteorder"); byte_order != members.end()) {
    ByteReader reader(bytes, origin, byte_order->second.offset);
    const std::string_view text = reader.text(std::min<std::uint64_t>(byte_order->second.size, 16));
    if (text != "little") {
      throw Error(ErrorKind::InvalidCheckpoint, origin + ": has the byte order " + quote_json(text) +
                                                    "; only little-endian checkpoints are supported");
    }
  }
  StorageExtents extents;
  const std::string data = folder + "data/";
  for (auto member = members.lower_bound(data); member != members.end() && member->first.starts_with(data); ++member) {
    extents.emplace(std::string_view(member->first).substr(data.size()), member->second);
  }
  const std::uint64_t end = pickle->second.offset + pickle->second.size;
  const PickleResult result =
      read_torch_pickle(bytes.first(static_cast<std::size_t>(end)), pickle->second.offset, origin);
  return TensorReader(bytes, file, origin, extents).read(*result.value);
}

// ---- The stream of torch < 1.6
// ---------------------------------------------------------------------------------------

/// 0x1950a86a20f9469cfc6c as a pickle's LONG1 has it.
constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
/// Before it stand PROTO and LONG1, and in later protocols the length of a frame.
constexpr std::size_t kMaximumMagicOffset = 16;
constexpr std::int64_t kStreamVersion = 1001;

bool is_stream(std::string_view begin) {
  return begin.starts_with('\x80') && begin.substr(0, kMaximumMagicOffset + kMagic.size()).find(kMagic) != begin.npos;
}

void check_system(const PickleValue& system, const std::string& origin) {
  if (system.kind != Kind::Dictionary) {
    throw Error(ErrorKind::InvalidCheckpoint, origin + ": is corrupt: it does not say what system wrote it");
  }
  for (std::size_t i = 0; i < system.items.size(); i += 2) {
    if (system.items[i]->text == "little_endian" && system.items[i + 1]->integer == 0) {
      throw Error(ErrorKind::InvalidCheckpoint,
                  origin + ": is big-endian; only little-endian checkpoints are supported");
    }
  }
}

/// The element sizes of the storages that a pickle refers to. They follow it without saying it themselves.
using ElementSizes = std::unordered_map<std::string_view, std::uint64_t>;

/// Finds storages in the values reachable from a state_dict. `budget` bounds the work that shared values may cause.
class StorageFinder {
 public:
  explicit StorageFinder(std::string origin) : origin_(std::move(origin)) {}

  ElementSizes run(const PickleValue& root) {
    pending_.push_back(&root);
    while (!pending_.empty()) {
      const PickleValue& value = *pending_.back();
      pending_.pop_back();
      if (!visited_.emplace(&value, true).second) continue;
      if (value.kind == Kind::Storage) note(*value.items[0]);
      for (const PickleValue* item : value.items) {
        if (!item->items.empty()) pending_.push_back(item);
      }
    }
    return std::move(sizes_);
  }

 private:
  void note(const PickleValue& id) {
    if (id.kind != Kind::Tuple || id.items.size() < 3 || id.items[1]->kind != Kind::Global) return;
    const TorchType* type = find_storage_type(id.items[1]->text);
    if (type == nullptr) return;
    const auto [entry, is_new] = sizes_.emplace(id.items[2]->text, type->element_size);
    if (entry->second == type->element_size || is_new) return;
    throw Error(ErrorKind::InvalidCheckpoint,
                origin_ + ": has the storage " + quote_json(id.items[2]->text) + " with two sizes of elements");
  }

  std::string origin_;
  std::vector<const PickleValue*> pending_;
  std::unordered_map<const PickleValue*, bool> visited_;
  ElementSizes sizes_;
};

/// Behind the pickles: for each storage the number of its elements, and these.
StorageExtents read_storages(ByteReader& reader, const PickleValue& keys, const ElementSizes& sizes) {
  if (keys.kind != Kind::List) reader.fail("is corrupt: it does not list its storages");
  StorageExtents extents;
  for (const PickleValue* key : keys.items) {
    const auto size = key->kind == Kind::Text ? sizes.find(key->text) : sizes.end();
    if (size == sizes.end()) reader.fail("is corrupt: it has a storage that no tensor uses");
    const auto count = reader.number<std::uint64_t>();
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(count, size->second, &bytes)) reader.fail("is corrupt: a storage has no end");
    const ZipMember extent{reader.position(), bytes};
    reader.skip(bytes);
    if (!extents.emplace(key->text, extent).second) reader.fail("is corrupt: it has a storage twice");
  }
  return extents;
}

TensorMap parse_stream(std::span<const std::byte> bytes, const std::shared_ptr<const MappedFile>& file,
                       const std::string& origin) {
  ByteReader reader(bytes, origin);
  const auto next = [&] {
    PickleResult result = read_torch_pickle(bytes, reader.position(), origin);
    reader.seek(result.end);
    return result;
  };
  next();  // the magic number
  const PickleResult version = next();
  if (version.value->kind != Kind::Integer || version.value->integer != kStreamVersion) {
    reader.fail("is of a version of torch's old format that is not known");
  }
  check_system(*next().value, origin);
  const PickleResult state = next();
  const PickleResult keys = next();
  const ElementSizes sizes = StorageFinder(origin).run(*state.value);
  const StorageExtents extents = read_storages(reader, *keys.value, sizes);
  return TensorReader(bytes, file, origin, extents).read(*state.value);
}

[[noreturn]] void fail_unknown(std::string_view begin, const std::string& origin) {
  std::string what = "is not a checkpoint of PyTorch: it begins neither as a zip archive nor as torch's old format";
  if (begin.starts_with("version https://git-lfs")) {
    what = "is only the pointer to the weights that git has; fetch the file itself with git lfs pull";
  } else if (begin.size() >= 262 && begin.substr(257, 5) == "ustar") {
    what = "is of the tar format of torch 0.1, which is not supported; load it with torch.load and save it again";
  }
  throw Error(ErrorKind::InvalidCheckpoint, origin + ": " + what);
}

}  // namespace

TensorMap parse_torch_file(std::span<const std::byte> bytes, const std::shared_ptr<const MappedFile>& file,
                           const std::string& origin) {
  const std::string_view begin(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 512));
  if (begin.starts_with(kZipBegin)) return parse_zip(bytes, file, origin);
  if (is_stream(begin)) return parse_stream(bytes, file, origin);
  fail_unknown(begin, origin);
}

TensorMap read_torch_file(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  return parse_torch_file(file->bytes(), file, path.string());
}

}  // namespace onnxport
