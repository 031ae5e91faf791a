#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "architectures/outputs.h"
#include "architectures/registry.h"
#include "checkpoint/checkpoint.h"

namespace onnxport {

/// The graph of one ONNX file.
struct BuiltModel {
  std::string name;  ///< "model", "encoder_model", ...: the file's stem
  std::unique_ptr<Graph> graph;
  std::vector<std::string> available_outputs;  ///< see available_outputs()
};

struct BuiltTask {
  std::vector<BuiltModel> models;
  /// Tensors of the checkpoint that the HF class does not know, or not for this task: what from_pretrained warns of.
  std::vector<std::string> unused_tensors;
};

/// The architecture of a model type; `origin` is where the name stands, for messages.
/// Throws Error(UnsupportedArchitecture) that says which types are near and how to add one.
const Architecture& architecture_named(std::string_view model_type, std::string_view origin,
                                       const Registry& known = registry());

/// The architecture of a checkpoint by model_type of its config.json. Throws as architecture_named does.
const Architecture& architecture_of(const Config& config, const Registry& known = registry());

/// `monolith`: the task in one file, if there is that. Throws Error(UnsupportedTask) that lists the architecture's
/// tasks.
const TaskDefinition& find_task(const Architecture& architecture, std::string_view task, bool monolith = false);

/// The config with what the HF config class takes for members that config.json leaves out.
Config completed_config(const Checkpoint& checkpoint, const Architecture& architecture);

/// Builds every file of a task. `sizes` fixes dynamic axes (--no-dynamic-axes); empty keeps them dynamic.
/// Throws Error(UnsupportedTask) that lists the architecture's tasks, or its outputs; Error(MissingTensor),
/// Error(ShapeMismatch).
BuiltTask build_task(const Checkpoint& checkpoint, const Architecture& architecture, std::string_view task,
                     const DimBindings& sizes = {}, const OutputRequest& outputs = {});

}  // namespace onnxport
