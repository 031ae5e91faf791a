#include "onnxport/onnx_config.h"

#include <algorithm>
#include <optional>

#include "architectures/build.h"
#include "architectures/plugin.h"
#include "architectures/sentence_transformers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "export/adapt_checkpoint.h"
#include "onnxport/error.h"
#include "tasks/tasks.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

struct Signature {
  std::string file;
  std::vector<OnnxValue> inputs;
  std::vector<OnnxValue> outputs;
  std::vector<std::string> available_outputs;
};

OnnxValue describe(const std::string& name, const Shape& shape) {
  OnnxValue value{name, {}};
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    if (!shape[axis].is_constant()) value.axes.emplace(static_cast<int>(axis), shape[axis].to_string());
  return value;
}

Signature signature_of(const BuiltModel& model) {
  Signature signature{model.name, {}, {}, model.available_outputs};
  for (const ValueId id : model.graph->inputs()) {
    const Value& value = model.graph->value(id);
    signature.inputs.push_back(describe(value.name, value.type.shape));
  }
  for (const GraphOutput& output : model.graph->outputs())
    signature.outputs.push_back(describe(output.name, output.declared_shape));
  return signature;
}

Signature signature_of(const Submodel& submodel, const std::string& model_type) {
  if (submodel.outputs.empty())
    throw Error(ErrorKind::UnsupportedTask,
                "the outputs of " + model_type + " depend on its weights: name the checkpoint, not its config alone");
  Signature signature{submodel.name, {}, {}, {}};
  for (const InputSpec& input : submodel.inputs)
    if (!input.is_optional) signature.inputs.push_back(describe(input.name, input.shape));
  for (const OutputSpec& output : submodel.outputs) {
    OnnxValue value{output.name, {}};
    for (const auto& [axis, size] : output.axes) value.axes.emplace(axis, size.to_string());
    signature.outputs.push_back(value);
    signature.available_outputs.push_back(output.name);
  }
  return signature;
}

}  // namespace

struct OnnxConfig::State {
  std::string model_type;
  std::string task;
  std::vector<Signature> files;

  void choose_task(const std::string& name, const Architecture& architecture, const Config& config) {
    model_type = architecture.model_type;
    task = name == "auto" ? infer_task(architecture, config) : canonical_task(name);
  }

  const Signature& file(std::string_view name) const {
    std::string known;
    for (const Signature& signature : files) {
      if (signature.file == name) return signature;
      known += (known.empty() ? "" : ", ") + signature.file;
    }
    throw Error(ErrorKind::InvalidArgument,
                model_type + " has no file \"" + std::string(name) + "\" for " + task + "; it has " + known);
  }
};

OnnxConfig::OnnxConfig(const fs::path& model, const std::string& task, const HubOptions& hub,
                       const ArchitectureOptions& options) {
  const std::shared_ptr<const Registry> known = registry_with(options.plugins);
  const fs::path directory = resolve_checkpoint(model, hub);
  const bool is_sentence = is_sentence_transformer(directory);
  Checkpoint checkpoint = open_checkpoint(is_sentence ? transformer_directory(directory) : directory);
  adapt_checkpoint(checkpoint, options, *known);
  const Config config(checkpoint.config);
  const Architecture& architecture = architecture_of(config, *known);
  State state;
  state.choose_task(is_sentence && task == "auto" ? "feature-extraction" : task, architecture, config);
  const BuiltTask built = is_sentence && state.task == "feature-extraction"
                              ? build_sentence_transformer(directory, checkpoint, architecture)
                              : build_task(checkpoint, architecture, state.task);
  for (const BuiltModel& file : built.models) state.files.push_back(signature_of(file));
  state_ = std::make_unique<const State>(std::move(state));
}

OnnxConfig::OnnxConfig(const Json& json, const std::string& task, bool monolith) {
  Checkpoint checkpoint;
  checkpoint.config = json;
  const Architecture& architecture = architecture_of(Config(json));
  const Config config = completed_config(checkpoint, architecture);
  State state;
  state.choose_task(task, architecture, config);
  for (const Submodel& submodel : find_task(architecture, state.task, monolith).submodels(config))
    state.files.push_back(signature_of(submodel, architecture.model_type));
  state_ = std::make_unique<const State>(std::move(state));
}

OnnxConfig::~OnnxConfig() = default;
OnnxConfig::OnnxConfig(OnnxConfig&&) noexcept = default;
OnnxConfig& OnnxConfig::operator=(OnnxConfig&&) noexcept = default;

const std::string& OnnxConfig::model_type() const { return state_->model_type; }

const std::string& OnnxConfig::task() const { return state_->task; }

std::vector<std::string> OnnxConfig::files() const {
  std::vector<std::string> names;
  for (const Signature& file : state_->files) names.push_back(file.file);
  return names;
}

std::vector<OnnxValue> OnnxConfig::inputs(std::string_view file) const { return state_->file(file).inputs; }

std::vector<OnnxValue> OnnxConfig::outputs(std::string_view file) const { return state_->file(file).outputs; }

std::vector<std::string> OnnxConfig::available_outputs(std::string_view file) const {
  return state_->file(file).available_outputs;
}

std::vector<std::string> names_of(const std::vector<OnnxValue>& values) {
  std::vector<std::string> names;
  names.reserve(values.size());
  for (const OnnxValue& value : values) names.push_back(value.name);
  return names;
}

}  // namespace onnxport
