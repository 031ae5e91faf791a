#include "runtime/session.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <system_error>

#include <dlfcn.h>

#include "onnxport/error.h"
#include "onnxport/model.h"

// The library is not linked but loaded by us: its one entry point is looked up, and the C++ wrappers are told of it.
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

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

::GraphOptimizationLevel optimization_level(GraphOptimizationLevel level) {
  switch (level) {
    case GraphOptimizationLevel::Disabled:
      return ORT_DISABLE_ALL;
    case GraphOptimizationLevel::Basic:
      return ORT_ENABLE_BASIC;
    case GraphOptimizationLevel::Extended:
      return ORT_ENABLE_EXTENDED;
    case GraphOptimizationLevel::All:
      return ORT_ENABLE_ALL;
  }
  throw Error(ErrorKind::InvalidArgument, "unknown graph optimization level");
}

// ---- Execution providers --------------------------------------------------------------------------------------------

constexpr std::string_view cpu_provider = "CPUExecutionProvider";
constexpr std::string_view cuda_provider = "CUDAExecutionProvider";

/// Options as the C API takes them: two arrays of strings, which point into the map.
struct ProviderOptions {
  explicit ProviderOptions(const std::map<std::string, std::string>& options) {
    for (const auto& [key, value] : options) {
      keys.push_back(key.c_str());
      values.push_back(value.c_str());
    }
  }
  std::vector<const char*> keys;
  std::vector<const char*> values;
};

/// Functions of the C API for a provider whose options are a struct of its own, which is filled by names.
template <typename Options>
struct OwnFunctions {
  OrtStatus*(ORT_API_CALL* create)(Options**);
  OrtStatus*(ORT_API_CALL* update)(Options*, const char* const* keys, const char* const* values, std::size_t);
  void(ORT_API_CALL* release)(Options*);
  OrtStatus*(ORT_API_CALL* append)(OrtSessionOptions*, const Options*);
};

template <typename Options>
void append_own(Ort::SessionOptions& session_options, const ProviderOptions& given,
                const OwnFunctions<Options>& functions) {
  Options* created = nullptr;
  Ort::ThrowOnError(functions.create(&created));
  const std::unique_ptr<Options, decltype(functions.release)> options(created, functions.release);
  if (!given.keys.empty())
    Ort::ThrowOnError(functions.update(created, given.keys.data(), given.values.data(), given.keys.size()));
  Ort::ThrowOnError(functions.append(session_options, created));
}

/// The name that the C API's general function has for a provider: "OpenVINO" of OpenVINOExecutionProvider.
std::string short_name(std::string_view provider) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> others{
      {{"AzureExecutionProvider", "AZURE"},
       {"DmlExecutionProvider", "DML"},
       {"WebGpuExecutionProvider", "WebGPU"},
       {"XnnpackExecutionProvider", "XNNPACK"}}};
  for (const auto& [name, other] : others)
    if (name == provider) return std::string(other);
  return std::string(provider.substr(0, provider.rfind("ExecutionProvider")));
}

void check_availability(const std::string& provider) {
  const std::vector<std::string> available = available_providers();
  if (std::find(available.begin(), available.end(), provider) != available.end()) return;
  std::string names;
  for (const std::string& name : available) names += (names.empty() ? "" : ", ") + name;
  throw Error(ErrorKind::InvalidArgument, "the provider \"" + provider + "\" is not one of those that ONNX Runtime " +
                                              onnxruntime_version() + " (" + onnxruntime_library().string() +
                                              ") has: " + names);
}

void append_provider(Ort::SessionOptions& session_options, const ExecutionProvider& provider) {
  const OrtApi& api = Ort::GetApi();
  const ProviderOptions options(provider.options);
  if (provider.name == cpu_provider) {
    if (!provider.options.empty())
      throw Error(ErrorKind::InvalidArgument, "CPUExecutionProvider takes no provider_options (\"" +
                                                  provider.options.begin()->first + "\" is given)");
  } else if (provider.name == cuda_provider) {
    append_own<OrtCUDAProviderOptionsV2>(
        session_options, options,
        {api.CreateCUDAProviderOptions, api.UpdateCUDAProviderOptions, api.ReleaseCUDAProviderOptions,
         api.SessionOptionsAppendExecutionProvider_CUDA_V2});
  } else if (provider.name == "TensorrtExecutionProvider") {
    append_own<OrtTensorRTProviderOptionsV2>(
        session_options, options,
        {api.CreateTensorRTProviderOptions, api.UpdateTensorRTProviderOptions, api.ReleaseTensorRTProviderOptions,
         api.SessionOptionsAppendExecutionProvider_TensorRT_V2});
  } else if (provider.name == "ROCMExecutionProvider") {
    append_own<OrtROCMProviderOptions>(
        session_options, options,
        {api.CreateROCMProviderOptions, api.UpdateROCMProviderOptions, api.ReleaseROCMProviderOptions,
         api.SessionOptionsAppendExecutionProvider_ROCM});
  } else {
    Ort::ThrowOnError(api.SessionOptionsAppendExecutionProvider(session_options, short_name(provider.name).c_str(),
                                                                options.keys.data(), options.values.data(),
                                                                options.keys.size()));
  }
}

Ort::SessionOptions make_session_options(const SessionOptions& options, const ExecutionProvider& provider) {
  Ort::SessionOptions result;
  result.SetGraphOptimizationLevel(optimization_level(options.graph_optimization_level));
  result.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
  if (options.intra_op_num_threads > 0) result.SetIntraOpNumThreads(options.intra_op_num_threads);
  if (options.inter_op_num_threads > 0) result.SetInterOpNumThreads(options.inter_op_num_threads);
  // ONNX Runtime looks at the number of these threads only if it may run nodes at once.
  if (options.inter_op_num_threads > 1) result.SetExecutionMode(ORT_PARALLEL);
  for (const auto& [key, value] : options.config_entries) result.AddConfigEntry(key.c_str(), value.c_str());
  append_provider(result, provider);
  return result;
}

// ---- Values -------------------------------------------------------------------------------------------------------

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
  value.axis_names.assign(symbols.begin(), symbols.end());
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
  bool use_io_binding = false;
  std::vector<Value> inputs;
  std::vector<Value> outputs;
  std::vector<std::string> output_names;

  using Inputs = std::span<const std::pair<std::string, Array>>;

  std::vector<Ort::Value> run_plainly(Inputs given, std::span<const std::string> wanted) {
    std::vector<const char*> input_pointers;
    std::vector<Ort::Value> input_values;
    for (const auto& [name, array] : given) {
      input_pointers.push_back(name.c_str());
      input_values.push_back(borrow(array, memory));
    }
    const std::vector<const char*> output_pointers = pointers(wanted);
    return session.Run(Ort::RunOptions{nullptr}, input_pointers.data(), input_values.data(), input_values.size(),
                       output_pointers.data(), output_pointers.size());
  }

  /// A binding for each run: one that is kept could not be used by two threads, and saves no time on the CPU (about
  /// 1 % of a run of 36 us where its outputs lie in memory that is used again, nothing of longer runs).
  std::vector<Ort::Value> run_bound(Inputs given, std::span<const std::string> wanted) {
    Ort::IoBinding binding(session);
    for (const auto& [name, array] : given) binding.BindInput(name.c_str(), borrow(array, memory));
    for (const std::string& name : wanted) binding.BindOutput(name.c_str(), memory);
    binding.SynchronizeInputs();
    session.Run(Ort::RunOptions{nullptr}, binding);
    binding.SynchronizeOutputs();
    return binding.GetOutputValues();
  }
};

Session::Session(const std::filesystem::path& model, const SessionOptions& options, const ExecutionProvider& provider)
    : implementation_(std::make_unique<Implementation>()) {
  const Library& library = Library::instance();
  check_availability(provider.name);
  Implementation& self = *implementation_;
  self.what = model.string();
  translate_errors(self.what, [&] {
    self.session = Ort::Session(library.environment(), model.c_str(), make_session_options(options, provider));
    self.memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    self.use_io_binding = provider.use_io_binding.value_or(provider.name == cuda_provider);

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
    std::vector<Ort::Value> output_values =
        self.use_io_binding ? self.run_bound(inputs, output_names) : self.run_plainly(inputs, output_names);
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

std::vector<std::string> available_providers() {
  Library::instance();
  return translate_errors("ONNX Runtime", [] { return Ort::GetAvailableProviders(); });
}

}  // namespace onnxport
