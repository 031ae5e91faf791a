#include "runtime/session.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <system_error>

#include <dlfcn.h>

#include "onnxport/error.h"

// The library is not linked but loaded by us: its one entry point is looked up, and the C++ wrappers are told of it.
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

namespace onnxport {
namespace {

/// The version of the C API that is asked for: that of ONNX Runtime 1.21, whatever newer headers are built against, so
/// that any library from 1.21 on serves.
constexpr std::uint32_t api_version = 21;
static_assert(api_version <= ORT_API_VERSION, "onnxport needs the headers of ONNX Runtime 1.21 or later");

/// Where libonnxruntime.so may be, in the order in which it is looked for.
std::vector<std::filesystem::path> library_directories() {
  std::vector<std::filesystem::path> directories;
  if (const char* root = std::getenv("ONNXRUNTIME_ROOT"); root != nullptr && *root != '\0') {
    directories.push_back(std::filesystem::path(root) / "lib");
  }
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const std::filesystem::path directory = program.parent_path();
    directories.push_back(directory);
    directories.push_back(directory.parent_path() / "lib" / "onnxport");  // where `make install` puts it
    directories.push_back(directory.parent_path() / "lib");
  }
  if (*ONNXPORT_ONNXRUNTIME_DIR != '\0') directories.emplace_back(ONNXPORT_ONNXRUNTIME_DIR);
  return directories;
}

/// libonnxruntime.so, and the environment (logging, telemetry) that all sessions share.
class Library {
 public:
  /// Loaded on first use; if that fails, the next use tries again. Never unloaded, as arrays that hold results of a
  /// session may outlive everything else.
  static Library& instance() {
    static Library& library = *new Library;
    return library;
  }

  const std::string& version() const { return version_; }
  const std::filesystem::path& path() const { return path_; }
  const Ort::Env& environment() const { return *environment_; }

 private:
  Library() {
    using GetApiBase = const OrtApiBase* (*)();
    const auto get_api_base = reinterpret_cast<GetApiBase>(find_entry_point());
    const OrtApiBase* base = get_api_base();
    version_ = base->GetVersionString();
    if (Dl_info info; dladdr(reinterpret_cast<const void*>(get_api_base), &info) != 0) path_ = info.dli_fname;
    const OrtApi* api = base->GetApi(api_version);
    if (api == nullptr) {
      throw Error(ErrorKind::RuntimeFailed,
                  "ONNX Runtime " + version_ + " (" + path_.string() + ") is too old: version 1.21 or later is needed");
    }
    Ort::InitApi(api);
    environment_.emplace(ORT_LOGGING_LEVEL_FATAL, "onnxport");
    environment_->DisableTelemetryEvents();
  }

  /// Address of OrtGetApiBase in the first library that can be loaded.
  static void* find_entry_point() {
    std::vector<std::string> candidates;
    for (const std::filesystem::path& directory : library_directories()) {
      for (const char* name : {"libonnxruntime.so.1", "libonnxruntime.so"}) {
        std::error_code error;
        const std::filesystem::path file = directory / name;
        if (std::filesystem::exists(file, error)) candidates.push_back(file.string());
      }
    }
    // A bare name is left to the dynamic linker: LD_LIBRARY_PATH, the program's run path, the system's directories.
    candidates.insert(candidates.end(), {"libonnxruntime.so.1", "libonnxruntime.so"});

    std::string failures;
    for (const std::string& candidate : candidates) {
      if (void* handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (void* entry_point = dlsym(handle, "OrtGetApiBase")) return entry_point;
        dlclose(handle);
      }
      const char* reason = dlerror();
      failures += "\n  " + std::string(reason != nullptr ? reason : candidate.c_str());
    }
    throw Error(
        ErrorKind::RuntimeFailed,
        "ONNX Runtime, which runs the models, was not found. Run tools/setup.sh in onnxport's source directory, "
        "or set ONNXRUNTIME_ROOT to a directory that holds lib/libonnxruntime.so (1.21 or later). Tried:" +
            failures);
  }

  std::string version_;
  std::filesystem::path path_;
  std::optional<Ort::Env> environment_;
};

/// Calls `function`, and turns what ONNX Runtime throws into an Error that begins with `what`.
template <typename Function>
auto translate_errors(const std::string& what, Function&& function) {
  try {
    return function();
  } catch (const Ort::Exception& exception) {
    throw Error(ErrorKind::RuntimeFailed, what + ": " + exception.what());
  }
}

GraphOptimizationLevel optimization_level(GraphOptimization optimization) {
  switch (optimization) {
    case GraphOptimization::Disabled:
      return ORT_DISABLE_ALL;
    case GraphOptimization::Basic:
      return ORT_ENABLE_BASIC;
    case GraphOptimization::Extended:
      return ORT_ENABLE_EXTENDED;
    case GraphOptimization::All:
      return ORT_ENABLE_ALL;
  }
  throw Error(ErrorKind::InvalidArgument, "unknown graph optimization level");
}

/// `what` names the input or output in messages. ONNX Runtime's codes of element types are those of ONNX.
DataType data_type_of(ONNXTensorElementDataType type, const std::string& what) {
  if (const std::optional<DataType> data_type = data_type_from_onnx(static_cast<int>(type))) return *data_type;
  throw Error(ErrorKind::RuntimeFailed,
              what + " has an element type that onnxport cannot hold (ONNX's number " + std::to_string(type) + ")");
}

Session::Value describe(std::string name, const Ort::TypeInfo& type) {
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) throw Error(ErrorKind::RuntimeFailed, "'" + name + "' is not a tensor");
  const Ort::ConstTensorTypeAndShapeInfo tensor = type.GetTensorTypeAndShapeInfo();
  Session::Value value;
  value.data_type = data_type_of(tensor.GetElementType(), "'" + name + "'");
  value.name = std::move(name);
  value.shape = tensor.GetShape();
  // The wrapper of this function differs between versions of the headers, the function itself does not.
  std::vector<const char*> symbols(value.shape.size());
  Ort::ThrowOnError(Ort::GetApi().GetSymbolicDimensions(tensor, symbols.data(), symbols.size()));
  value.symbolic_shape.assign(symbols.begin(), symbols.end());
  return value;
}

/// A tensor over the array's own memory; the array must outlive it.
Ort::Value borrow(const Array& array, const Ort::MemoryInfo& memory) {
  // ONNX Runtime does not write to inputs. An array without elements may have no memory, but the API wants an address.
  static std::byte nothing{};
  auto* data = const_cast<std::byte*>(array.bytes().data());
  return Ort::Value::CreateTensor(memory, data != nullptr ? data : &nothing, array.bytes().size(), array.shape().data(),
                                  array.shape().size(),
                                  static_cast<ONNXTensorElementDataType>(onnx_data_type(array.data_type())));
}

/// An array over the tensor's own memory, which it keeps alive.
Array adopt(Ort::Value value, const std::string& name) {
  if (!value.IsTensor()) throw Error(ErrorKind::RuntimeFailed, "output '" + name + "' is not a tensor");
  const Ort::TensorTypeAndShapeInfo information = value.GetTensorTypeAndShapeInfo();
  const DataType type = data_type_of(information.GetElementType(), "output '" + name + "'");
  auto owner = std::make_shared<Ort::Value>(std::move(value));
  const auto* data = static_cast<const std::byte*>(owner->GetTensorRawData());
  return Array(type, information.GetShape(), std::move(owner), data);
}

std::vector<const char*> pointers(std::span<const std::string> names) {
  std::vector<const char*> result;
  result.reserve(names.size());
  for (const std::string& name : names) result.push_back(name.c_str());
  return result;
}

}  // namespace

struct Session::Implementation {
  std::string what;  ///< the model's path, for messages
  Ort::Session session{nullptr};
  Ort::MemoryInfo memory{nullptr};
  std::vector<Value> inputs;
  std::vector<Value> outputs;
  std::vector<std::string> output_names;
};

Session::Session(const std::filesystem::path& model, const SessionOptions& options)
    : implementation_(std::make_unique<Implementation>()) {
  const Library& library = Library::instance();
  Implementation& self = *implementation_;
  self.what = model.string();
  translate_errors(self.what, [&] {
    Ort::SessionOptions session_options;
    session_options.SetGraphOptimizationLevel(optimization_level(options.graph_optimization));
    session_options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
    if (options.intra_op_num_threads > 0) session_options.SetIntraOpNumThreads(options.intra_op_num_threads);
    if (!options.prepacking) session_options.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");

    self.session = Ort::Session(library.environment(), model.c_str(), session_options);
    self.memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);

    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t i = 0; i < self.session.GetInputCount(); ++i) {
      self.inputs.push_back(
          describe(self.session.GetInputNameAllocated(i, allocator).get(), self.session.GetInputTypeInfo(i)));
    }
    for (std::size_t i = 0; i < self.session.GetOutputCount(); ++i) {
      self.outputs.push_back(
          describe(self.session.GetOutputNameAllocated(i, allocator).get(), self.session.GetOutputTypeInfo(i)));
      self.output_names.push_back(self.outputs.back().name);
    }
  });
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

const std::vector<Session::Value>& Session::inputs() const { return implementation_->inputs; }
const std::vector<Session::Value>& Session::outputs() const { return implementation_->outputs; }

std::vector<Array> Session::run(std::span<const std::pair<std::string, Array>> inputs,
                                std::span<const std::string> output_names) const {
  Implementation& self = *implementation_;
  if (output_names.empty()) output_names = self.output_names;
  return translate_errors(self.what, [&] {
    std::vector<const char*> input_pointers;
    std::vector<Ort::Value> input_values;
    for (const auto& [name, array] : inputs) {
      input_pointers.push_back(name.c_str());
      input_values.push_back(borrow(array, self.memory));
    }
    const std::vector<const char*> output_pointers = pointers(output_names);
    std::vector<Ort::Value> output_values =
        self.session.Run(Ort::RunOptions{nullptr}, input_pointers.data(), input_values.data(), input_values.size(),
                         output_pointers.data(), output_pointers.size());
    std::vector<Array> results;
    results.reserve(output_values.size());
    for (std::size_t i = 0; i < output_values.size(); ++i) {
      results.push_back(adopt(std::move(output_values[i]), output_names[i]));
    }
    return results;
  });
}

std::string onnxruntime_version() { return Library::instance().version(); }

std::filesystem::path onnxruntime_library() { return Library::instance().path(); }

}  // namespace onnxport
