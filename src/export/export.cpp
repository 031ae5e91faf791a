#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <set>

#include <sys/resource.h>

#include "architectures/build.h"
#include "architectures/plugin.h"
#include "architectures/sentence_transformers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "core/mapped_pages.h"
#include "core/parallel_for.h"
#include "export/adapt_checkpoint.h"
#include "export/companion_files.h"
#include "export/ort_config.h"
#include "export/stream_weights.h"
#include "hub/weight_stream.h"
#include "onnx/lowering.h"
#include "onnx/merge_decoders.h"
#include "onnx/staged_directory.h"
#include "onnx/writer.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "onnxport/optimizer.h"
#include "tasks/tasks.h"
#include "validation/merged_cases.h"
#include "validation/validate.h"
#include "validation/validation_inputs.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view sentence_transformers = "sentence_transformers";
constexpr const char* merged_name = "decoder_model_merged";

constexpr std::string_view default_variant = "default";
/// What Optimum's --variant takes: the VARIANTS of its OnnxConfigs (SAM, ColPali, MusicGen, SpeechT5).
constexpr std::string_view export_variants[] = {
    default_variant, "monolith", "split", "vision", "text", "text-conditional-with-past", "with-past", "without-past"};

/// One option serves two meanings: any other name is a variant of the weights, as from_pretrained(variant=) has it.
bool is_export_variant(std::string_view name) {
  return std::find(std::begin(export_variants), std::end(export_variants), name) != std::end(export_variants);
}

struct FloatFormat {
  std::string_view name;
  DataType type;
  double atol;  ///< what rounding to the type does to a model's outputs, generously
};
constexpr FloatFormat float_formats[] = {
    {"fp32", DataType::Float32, 1e-4}, {"fp16", DataType::Float16, 1e-2}, {"bf16", DataType::BFloat16, 1e-1}};

const FloatFormat& float_format(const std::string& name) {
  for (const FloatFormat& format : float_formats)
    if (format.name == name) return format;
  throw Error(ErrorKind::InvalidArgument, "dtype \"" + name + "\" is not one of fp32, fp16, bf16");
}

/// What --optimize asks for. Constants are folded and equal nodes merged in any case, so that O1 changes nothing.
OptimizationConfig optimization(const ExportOptions& options) {
  if (!options.optimize.empty())
    return AutoOptimizationConfig::with_optimization_level(options.optimize, !options.device.starts_with("cpu"));
  OptimizationConfig none;
  none.enable_transformers_specific_optimizations = false;
  return none;
}

/// The type of the model's numbers.
const FloatFormat& float_format(const ExportOptions& options, const OptimizationConfig& optimization) {
  const FloatFormat& format = float_format(options.dtype);
  if (!optimization.fp16) return format;
  if (options.device.starts_with("cpu"))
    throw Error(ErrorKind::InvalidArgument,
                "--optimize O4 makes a float16 model for GPUs, which is slow on processors: add --device cuda, or take "
                "--optimize O3");
  if (format.type == DataType::BFloat16)
    throw Error(ErrorKind::InvalidArgument, "--optimize O4 makes a float16 model: leave --dtype bf16 out");
  return float_format("fp16");
}

double default_atol(const FloatFormat& format, const OptimizationConfig& optimization) {
  constexpr double approximate = 1e-2;
  return optimization.enable_gelu_approximation ? std::max(format.atol, approximate) : format.atol;
}

Framework framework_named(const std::string& name) {
  if (name.empty()) return Framework::Automatic;
  if (name == "pt") return Framework::PyTorch;
  if (name == "tf") return Framework::TensorFlow;
  throw Error(ErrorKind::InvalidArgument, "framework \"" + name + "\" is not one of pt, tf");
}

std::uint64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Adds the time since the last lap to a named stage.
class Stopwatch {
 public:
  explicit Stopwatch(std::map<std::string, double>& seconds) : seconds_(seconds) {}
  void lap(const std::string& stage) {
    const auto now = std::chrono::steady_clock::now();
    seconds_[stage] += std::chrono::duration<double>(now - last_).count();
    seconds_["total"] = std::chrono::duration<double>(now - start_).count();
    last_ = now;
  }

 private:
  std::map<std::string, double>& seconds_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = start_;
};

bool has_not_a_number(const TensorSource& source) {
  if (!is_floating_point(source.data_type)) return false;
  const TensorSource wide = cast(source, DataType::Float32);
  std::atomic<bool> found = false;
  parallel_for(wide.element_count(), std::int64_t{1} << 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> block;
    for (constexpr std::int64_t step = 1 << 14; begin < end && !found; begin += step) {
      block.resize(static_cast<std::size_t>(std::min(step, end - begin)));
      read_elements(wide, begin, std::as_writable_bytes(std::span(block)));
      // Counted, since leaving the loop at the first one would cost more than it saves: this reads all weights.
      if (std::count_if(block.begin(), block.end(), [](float value) { return std::isnan(value); }) > 0) found = true;
    }
  });
  return found;
}

void release_files(const std::vector<std::shared_ptr<const MappedFile>>& files) {
  for (const auto& file : files) release_pages(file->bytes());
}

/// What the checkpoint says, computed without ONNX.
struct Reference {
  std::vector<std::vector<ReferenceCase>> cases;  ///< of each model
  std::string not_a_number;                       ///< names of the weights that have NaN in them
};

/// Gives axes the names that a config has for them, where their sizes are free.
void name_axes(std::vector<onnx::ValueInfo>& values, const std::vector<OnnxValue>& named) {
  for (const OnnxValue& value : named) {
    const auto found = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.name == value.name; });
    if (found == values.end()) continue;
    for (const auto& [axis, name] : value.axes) {
      if (axis < 0 || static_cast<std::size_t>(axis) >= found->shape.size())
        throw Error(ErrorKind::InvalidArgument,
                    "the axes of " + value.name + " have the index " + std::to_string(axis) + ", which it lacks");
      onnx::Dimension& dimension = found->shape[static_cast<std::size_t>(axis)];
      if (std::holds_alternative<std::string>(dimension)) dimension = name;
    }
  }
}

class Exporter {
 public:
  explicit Exporter(const ExportOptions& options)
      : options_(options),
        optimization_(optimization(options)),
        format_(float_format(options, optimization_)),
        watch_(result_.seconds) {
    const OnnxConfig* config = options.config.get();
    result_.opset = options.opset.value_or(config ? config->default_onnx_opset() : onnx::default_opset);
    const double atol = default_atol(format_, optimization_);
    const bool has_own = config && format_.type == DataType::Float32;
    result_.atol = options.atol.value_or(has_own ? config->atol_for_validation() : atol);
  }

  ExportResult run() {
    check_options();
    open();
    watch_.lap("read");
    build();
    watch_.lap("build");
    // Two jobs that need nothing of each other: one waits for the disk, the other computes.
    if (options_.validate && !stream_) reference_ = std::async([this] { return compute_reference(); });
    onnx::StagedDirectory staged(options_.output);
    std::vector<fs::path> companions;
    if (options_.companion_files) companions = write_companion_files(model_, checkpoint_.config, staged.path());
    std::vector<fs::path> names;
    for (const BuiltModel& model : built_.models) {
      const onnx::Model lowered = lower(model);
      if (stream_ && options_.validate) keep_for_reference(model, lowered);
      write(model.name, lowered, staged, names);
    }
    if (merged_) {
      log("Post-processing the exported models...");
      write(merged_name, lower_merged(), staged, names);
    }
    if (stream_) finish_stream(staged.path());
    if (!options_.optimize.empty()) write_ort_config(staged, names);
    watch_.lap("write");
    if (options_.validate && !reference_.valid()) reference_ = std::async([this] { return compute_reference(); });
    if (options_.validate) {
      for (std::size_t i = 0; i < built_.models.size(); ++i) validate_model(i, staged.path());
      if (merged_) validate_merged(staged.path());
      watch_.lap("validate");
      judge();
    }
    staged.commit();
    names.insert(names.end(), companions.begin(), companions.end());
    for (const fs::path& name : names) result_.files.push_back(options_.output / name);
    watch_.lap("write");
    result_.peak_memory_bytes = peak_memory();
    finish();
    return std::move(result_);
  }

 private:
  void log(std::string_view line) const {
    if (options_.log) options_.log(line);
  }
  void warn(const std::string& line) {
    result_.warnings.push_back(line);
    if (options_.warn) options_.warn(line);
  }

  void check_options() const {
    if (options_.output.empty()) throw Error(ErrorKind::InvalidArgument, "no output directory is given");
    if (result_.opset < onnx::minimum_opset || result_.opset > onnx::maximum_opset)
      throw Error(ErrorKind::InvalidArgument,
                  "opset " + std::to_string(result_.opset) + " is out of range: onnxport writes opset " +
                      std::to_string(onnx::minimum_opset) + " to " + std::to_string(onnx::maximum_opset));
    if (!(result_.atol >= 0)) throw Error(ErrorKind::InvalidArgument, "atol must be a number of 0 or more");
    if (is_export_variant(options_.variant) && options_.variant != default_variant)
      throw Error(ErrorKind::InvalidArgument, "the export variant \"" + options_.variant +
                                                  "\" belongs to architectures that onnxport lacks; here is the "
                                                  "variant default, and variants of weights, such as fp16");
    if (options_.stream && options_.weights == WeightsMode::Reference)
      throw Error(ErrorKind::InvalidArgument,
                  "--stream and --weights reference exclude each other: a stream leaves no file to refer to");
    if (options_.monolith && options_.task.ends_with("-with-past"))
      throw Error(ErrorKind::InvalidArgument, "--monolith and a task -with-past exclude each other");
    if (!options_.library_name.empty() && options_.library_name != "transformers" &&
        options_.library_name != sentence_transformers)
      throw Error(ErrorKind::InvalidArgument,
                  "the library \"" + options_.library_name +
                      "\" is not supported; onnxport reads transformers and sentence_transformers");
  }

  /// The variant of the weights' files; empty for those without.
  std::string_view weight_variant() const {
    return is_export_variant(options_.variant) ? std::string_view() : options_.variant;
  }

  HubOptions hub_options() const {
    HubOptions hub = options_.hub;
    if (!hub.warn) hub.warn = options_.warn;
    if (options_.progress && !hub.progress) {
      hub.progress = [stage = "Downloading " + options_.model.string(), this](const DownloadProgress& now) {
        if (now.total > 0) options_.progress({stage, now.done, now.total});
      };
    }
    return hub;
  }

  /// The directory that the user names, or what the Hub has under that id.
  fs::path find_checkpoint() {
    if (options_.stream && open_stream()) return stream_->checkpoint();
    return resolve_checkpoint(options_.model, hub_options(), weight_variant());
  }

  /// Weights that are not here yet pass through the disk that the output is on. False if there are none to stream.
  bool open_stream() {
    std::error_code error;
    if (fs::exists(options_.model, error)) {
      warn("--stream changes nothing: " + options_.model.string() + " is here already");
      return false;
    }
    stream_directory_.emplace(options_.output);
    stream_ = hub::WeightStream::open(
        options_.model.generic_string(),
        [this](const std::vector<HubFile>& files) {
          return select_checkpoint_files(files, options_.hub.subfolder, weight_variant());
        },
        stream_directory_->path(), hub_options());
    if (stream_) return true;
    stream_directory_.reset();
    warn("--stream needs weights in safetensors files, whose header comes first; those of " + options_.model.string() +
         " are downloaded into the cache instead");
    return false;
  }

  void keep_for_reference(const BuiltModel& model, const onnx::Model& lowered) {
    const std::vector<FileRegion> regions = unreadable_regions(*model.graph, checkpoint_.tensors, lowered);
    kept_.insert(kept_.end(), regions.begin(), regions.end());
  }

  /// Fills the files with the weights as they arrive. The graphs are then built again, over what was written: it is all
  /// that is left of the checkpoint's tensors.
  void finish_stream(const fs::path& directory) {
    stream_weights(deferred_, kept_, *stream_);
    deferred_.clear();
    kept_.clear();
    if (options_.validate) {
      TensorMap tensors = checkpoint_.tensors;
      for (const BuiltModel& model : built_.models)
        read_back(*model.graph, directory / (model.name + ".onnx"), tensors);
      checkpoint_.tensors = std::move(tensors);
      build_graphs();
    }
    stream_.reset();
    stream_directory_.reset();
  }

  void open() {
    registry_ = registry_with(options_.architecture.plugins);
    model_ = find_checkpoint();
    sentence_transformer_ = options_.library_name.empty() ? is_sentence_transformer(model_)
                                                          : options_.library_name == sentence_transformers;
    // Older directories of sentence-transformers keep the transformer in a folder of its own.
    const bool nested = fs::exists(model_ / "modules.json") && !fs::exists(model_ / "config.json");
    checkpoint_ = open_checkpoint(sentence_transformer_ || nested ? transformer_directory(model_) : model_,
                                  weight_variant(), framework_named(options_.framework));
    old_names_ = adapt_checkpoint(checkpoint_, options_.architecture, *registry_);
    if (!options_.model_kwargs.empty()) merge_model_kwargs();
    output_request_.names = options_.outputs;
    output_request_.monolith = options_.monolith;
    if (options_.config) apply_config();
    if (options_.pad_token_id && !Config(checkpoint_.config).optional_integer("pad_token_id"))
      checkpoint_.config.set("pad_token_id", *options_.pad_token_id);
    result_.weight_bytes = checkpoint_.byte_size();
  }

  /// What an OnnxConfig says of the checkpoint and of the inputs and outputs.
  void apply_config() {
    const OnnxConfig& config = *options_.config;
    const Json overrides = config.values_override();
    if (overrides.is_object())
      for (const auto& [name, value] : overrides.object()) checkpoint_.config.set(name, value);
    for (const std::string& file : config.files()) {
      if (options_.outputs.empty())
        for (const OnnxValue& output : config.outputs(file)) output_request_.names.push_back(output.name);
      const std::vector<std::string> kept = names_of(config.inputs(file));
      for (const OnnxValue& input : config.OnnxConfig::inputs(file))
        if (std::find(kept.begin(), kept.end(), input.name) == kept.end())
          output_request_.left_out_inputs.insert(input.name);
      output_request_.added_inputs.insert(kept.begin(), kept.end());
    }
  }

  void merge_model_kwargs() {
    const Json kwargs = parse_json(options_.model_kwargs, "--model-kwargs");
    if (!kwargs.is_object()) throw Error(ErrorKind::InvalidArgument, "--model-kwargs must be a JSON object");
    for (const auto& [name, value] : kwargs.object()) {
      // Arguments of the model rather than members of its config, where they would be those of every checkpoint.
      constexpr std::string_view output = "output_";
      if (name == "output_attentions" || name == "output_hidden_states") {
        if (value == Json(true)) output_request_.added_series.push_back(name.substr(output.size()));
        continue;
      }
      checkpoint_.config.set(name, value);
    }
  }

  void build() {
    const Config config(checkpoint_.config);
    const Architecture& architecture = architecture_of(config, *registry_);
    result_.model_type = architecture.model_type;
    result_.task = choose_task(architecture, config);
    completed_config_ = completed_config(checkpoint_, architecture);
    build_graphs();
    if (options_.monolith && built_.models.size() > 1)
      throw Error(ErrorKind::UnsupportedTask,
                  architecture.model_type + " has no single file for " + result_.task + ": leave out --monolith");
    result_.unused_tensors = old_names_.of(built_.unused_tensors);
    find_branches();
  }

  /// Decoders that become one file, too.
  void find_branches() {
    const auto find = [&](std::string_view name) {
      return std::find_if(built_.models.begin(), built_.models.end(), [&](const auto& m) { return m.name == name; });
    };
    const auto decoder = find("decoder_model");
    const auto with_past = find("decoder_with_past_model");
    if (!options_.post_process || decoder == built_.models.end() || with_past == built_.models.end()) return;
    if (!options_.dynamic_axes)
      return warn("decoder_model_merged.onnx is left out: with --no-dynamic-axes its branches have other input shapes");
    merged_ = Branches{static_cast<std::size_t>(decoder - built_.models.begin()),
                       static_cast<std::size_t>(with_past - built_.models.begin())};
  }

  void build_graphs() {
    const Architecture& architecture = architecture_of(Config(checkpoint_.config), *registry_);
    const DimBindings sizes = options_.dynamic_axes ? DimBindings{} : input_sizes(options_.shapes, *completed_config_);
    built_ = sentence_transformer_
                 ? build_sentence_transformer(model_, checkpoint_, architecture, sizes, output_request_)
                 : build_task(checkpoint_, architecture, result_.task, sizes, output_request_);
  }

  std::string choose_task(const Architecture& architecture, const Config& config) const {
    if (options_.task == "auto" && options_.config) return options_.config->task();
    if (options_.task != "auto") {
      const std::string task = canonical_task(options_.task);
      if (sentence_transformer_ && task != "feature-extraction")
        throw Error(ErrorKind::UnsupportedTask,
                    "a sentence-transformers directory has the tasks feature-extraction and sentence-similarity; "
                    "--library-name transformers exports its transformer alone");
      return task;
    }
    std::string task = sentence_transformer_ ? "feature-extraction" : infer_task(architecture, config);
    const std::string plain = task.substr(0, task.find("-with-past"));
    std::string synonyms;
    for (const std::string& name : task_synonyms(plain)) synonyms += (synonyms.empty() ? "" : ", ") + name;
    if (options_.monolith) task = plain;
    log("Automatic task detection to " + task + (synonyms.empty() ? "" : " (possible synonyms are: " + synonyms + ")") +
        ".");
    return task;
  }

  /// What a checkpoint is called whose config does not say: its id on the Hub, or the name of its directory.
  std::string default_source() const {
    std::error_code error;
    return fs::is_directory(options_.model, error) ? fs::canonical(model_).filename().string()
                                                   : options_.model.string();
  }

  Target target() const {
    return {.opset = result_.opset,
            .data_type = format_.type,
            .contrib_operators = optimization_.enable_transformers_specific_optimizations,
            .gelu_approximation = optimization_.enable_gelu_approximation,
            .keep_io_types = options_.keep_io_types || (optimization_.fp16 && options_.dtype == "fp32")};
  }

  onnx::Model lower(const BuiltModel& model) const {
    return described(onnx::lower_graph(*model.graph, target()), model.name);
  }

  onnx::Model merge_branches(const Target& target) const {
    return onnx::merge_decoders(onnx::lower_graph(*built_.models[merged_->decoder].graph, target),
                                onnx::lower_graph(*built_.models[merged_->with_past].graph, target));
  }

  onnx::Model lower_merged() const { return described(merge_branches(target()), merged_name); }

  /// The model with what it is and where it comes from.
  onnx::Model described(onnx::Model lowered, const std::string& name) const {
    const Config config(checkpoint_.config);
    const std::string source = config.string("_name_or_path", default_source());
    if (options_.config) {
      // Merged decoders declare the axes of the later steps.
      const std::string file = name == merged_name ? built_.models[merged_->with_past].name : name;
      name_axes(lowered.graph.inputs, options_.config->inputs(file));
      name_axes(lowered.graph.outputs, options_.config->outputs(file));
    }
    lowered.producer_name = "onnxport";
    lowered.producer_version = ONNXPORT_VERSION;
    lowered.doc_string =
        result_.model_type + " for " + result_.task + ", exported from " + source + " by onnxport " ONNXPORT_VERSION;
    lowered.graph.doc_string = lowered.doc_string;
    lowered.metadata = {{"model", source},
                        {"model_type", result_.model_type},
                        {"task", result_.task},
                        {"submodel", name},
                        {"dtype", std::string(to_string(format_.type))},
                        {"onnxport_version", ONNXPORT_VERSION}};
    if (!options_.optimize.empty()) lowered.metadata["optimization"] = options_.optimize;
    if (const auto version = config.optional_string("transformers_version"))
      lowered.metadata["transformers_version"] = *version;
    return lowered;
  }

  void write(const std::string& name, const onnx::Model& model, const onnx::StagedDirectory& staged,
             std::vector<fs::path>& names) {
    const std::string file = name + ".onnx";
    const std::string stage = "Writing " + file;
    onnx::WriteOptions write_options;
    write_options.weights = options_.weights == WeightsMode::Reference       ? onnx::WeightStorage::Reference
                            : options_.external_data == ExternalData::Always ? onnx::WeightStorage::External
                                                                             : onnx::WeightStorage::Automatic;
    write_options.destination = staged.destination();
    write_options.mapped_files = mapped_files();
    if (stream_) write_options.deferred = &deferred_;
    if (options_.progress)
      write_options.progress = [&](std::uint64_t done, std::uint64_t total) {
        options_.progress({stage, done, total});
      };
    for (const fs::path& path : onnx::write_model(model, staged.path() / file, write_options)) {
      const fs::path written = path.filename();
      if (std::find(names.begin(), names.end(), written) == names.end()) names.push_back(written);
    }
  }

  /// What Optimum's optimizer leaves beside its models.
  void write_ort_config(const onnx::StagedDirectory& staged, std::vector<fs::path>& names) const {
    OrtConfig config;
    config.optimization = optimization_.to_json().object();
    config.use_external_data_format = std::any_of(
        names.begin(), names.end(), [](const fs::path& name) { return name.string().ends_with(".onnx_data"); });
    names.emplace_back("ort_config.json");
    write_json_file(to_json(std::move(config)), staged.path() / names.back());
  }

  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const {
    std::set<std::shared_ptr<const MappedFile>> files;
    for (const auto& [name, tensor] : checkpoint_.tensors)
      if (tensor.file) files.insert(tensor.file);
    return {files.begin(), files.end()};
  }

  Reference compute_reference() const {
    onnxruntime_version();  // loads the library, which takes a while, or fails before anything else is done
    Reference reference;
    for (const BuiltModel& model : built_.models) reference.cases.push_back(reference_cases(model));
    for (const auto& [name, tensor] : checkpoint_.tensors)
      if (has_not_a_number(tensor)) reference.not_a_number += (reference.not_a_number.empty() ? "" : ", ") + name;
    // ONNX Runtime maps the weights that were written; without these, a validation needs the memory once.
    release_files(mapped_files());
    return reference;
  }

  std::vector<ReferenceCase> reference_cases(const BuiltModel& model) const {
    if (!options_.reference.empty())
      return read_reference(fs::is_directory(options_.reference) ? options_.reference / (model.name + ".safetensors")
                                                                 : options_.reference);
    std::vector<ReferenceCase> cases;
    for (const InputSet& set : validation_sets(options_.shapes, *completed_config_, options_.dynamic_axes)) {
      NamedArrays inputs = make_inputs(*model.graph, *completed_config_, set);
      NamedArrays outputs = evaluate_graph(*model.graph, inputs);
      cases.push_back({describe(*model.graph, set), std::move(inputs), std::move(outputs)});
    }
    return cases;
  }

  /// In float32, with the weights that a model has in the target's type.
  Target rounded_twin() const {
    Target twin = target();
    twin.data_type = DataType::Float32;
    twin.rounding = format_.type;
    return twin;
  }

  const Reference& wait_for_reference() {
    if (reference_.valid()) {
      computed_reference_ = reference_.get();
      if (const std::string& names = computed_reference_.not_a_number; !names.empty())
        warn("the checkpoint has weights that are not a number (NaN): " + names);
    }
    return computed_reference_;
  }

  /// Opens a session of a file that was written, and calls `check` with it.
  void with_session(const std::string& name, const fs::path& directory,
                    const std::function<onnx::Model(const Target&)>& lower_to,
                    const std::function<void(const ValidationTarget&)>& check) {
    const std::string file = name + ".onnx";
    if (options_.progress) options_.progress({"Validating " + file, 0, 1});
    fs::path path = directory / file;
    std::optional<onnx::StagedDirectory> scratch;
    if (format_.type == DataType::BFloat16) {
      log("ONNX Runtime has no bfloat16 kernels for the CPU: validating in float32 with weights rounded to bfloat16.");
      path = scratch.emplace(options_.output).path() / file;
      onnx::write_model(lower_to(rounded_twin()), path, {});
    }
    // Without packed copies of the weights, a session needs little more than the weights themselves.
    const Session session(path, {.config_entries = {{"session.disable_prepacking", "1"}}});
    check({file, (options_.output / file).string(), &session, result_.atol});
    if (options_.progress) options_.progress({"Validating " + file, 1, 1});
  }

  void validate_on(const ValidationTarget& target, const std::vector<ReferenceCase>& cases) {
    const std::vector<OutputValidation> outputs = validate(target, cases, [&](std::string_view line) { log(line); });
    result_.validations.insert(result_.validations.end(), outputs.begin(), outputs.end());
  }

  void validate_model(std::size_t index, const fs::path& directory) {
    const BuiltModel& model = built_.models[index];
    with_session(
        model.name, directory, [&](const Target& target) { return onnx::lower_graph(*model.graph, target); },
        [&](const ValidationTarget& target) { validate_on(target, wait_for_reference().cases[index]); });
  }

  /// Each branch on the cases of the decoder that it was made of.
  void validate_merged(const fs::path& directory) {
    with_session(
        merged_name, directory, [&](const Target& target) { return merge_branches(target); },
        [&](const ValidationTarget& target) {
          const auto& cases = wait_for_reference().cases;
          validate_on(target, cases_of_branch(cases[merged_->decoder], *target.session, false));
          validate_on(target, cases_of_branch(cases[merged_->with_past], *target.session, true));
        });
  }

  std::string differences() const {
    std::string text;
    for (const OutputValidation& output : result_.validations) {
      if (output.matches) continue;
      const bool shape = output.shape != output.reference_shape;
      text += "\n- " + output.file + ", " + output.output + " (" + output.inputs +
              "): " + (shape ? "the shape differs" : "max diff = " + dump_json(Json(output.max_difference)));
    }
    return text;
  }

  void judge() {
    const std::string text = differences();
    result_.validated = text.empty();
    if (result_.validated || options_.allow_mismatch) return;
    result_.peak_memory_bytes = peak_memory();
    throw ValidationError("the exported model does not reproduce the reference within the tolerance (atol: " +
                              dump_json(Json(result_.atol)) + "):" + text + "\nNothing was written to " + saved_at() +
                              "; --allow-mismatch keeps the model all the same.",
                          std::move(result_));
  }

  /// The output as Python's pathlib prints it, without a slash at the end.
  std::string saved_at() const {
    const fs::path path = options_.output.lexically_normal();
    return (path.has_filename() ? path : path.parent_path()).string();
  }

  void finish() {
    if (options_.validate && !result_.validated) {
      warn(
          "The ONNX export succeeded with the warning: the exported model does not reproduce the reference within the "
          "tolerance (atol: " +
          dump_json(Json(result_.atol)) + "):" + differences() + "\nThe exported model was saved at: " + saved_at());
    } else {
      log("The ONNX export succeeded and the exported model was saved at: " + saved_at());
    }
  }

  const ExportOptions& options_;
  fs::path model_;  ///< options_.model, or where the Hub's cache has it
  const OptimizationConfig optimization_;
  const FloatFormat& format_;
  ExportResult result_;
  Stopwatch watch_;
  std::shared_ptr<const Registry> registry_;
  bool sentence_transformer_ = false;
  Checkpoint checkpoint_;
  OldNames old_names_;
  std::optional<Config> completed_config_;
  OutputRequest output_request_;
  BuiltTask built_;
  struct Branches {
    std::size_t decoder = 0;  ///< of built_.models
    std::size_t with_past = 0;
  };
  std::optional<Branches> merged_;
  std::optional<onnx::StagedDirectory> stream_directory_;
  std::unique_ptr<hub::WeightStream> stream_;
  std::vector<onnx::DeferredWeight> deferred_;
  std::vector<FileRegion> kept_;  ///< of the stream, for the reference
  Reference computed_reference_;
  std::future<Reference> reference_;  ///< the last member, as its thread uses the others until it is destroyed
};

}  // namespace

ExportResult export_onnx(const ExportOptions& options) { return Exporter(options).run(); }

}  // namespace onnxport
