#include "architectures/build.h"

#include <algorithm>

#include "core/nearest.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

/// No definition knows heads of different numbers.
void refuse_pruned_heads(const Config& config) {
  const auto pruned = config.optional_section("pruned_heads");
  if (pruned && !pruned->json().object().empty()) config.unsupported("pruned_heads");
}

}  // namespace

const Architecture& architecture_named(std::string_view model_type, std::string_view origin, const Registry& known) {
  if (const Architecture* found = known.find(model_type)) return *found;
  std::vector<std::string> names;
  for (const auto& [name, architecture] : known.architectures()) names.push_back(name);
  throw Error(ErrorKind::UnsupportedArchitecture,
              "model_type " + quote_json(model_type) + " of " + std::string(origin) + " is not supported" +
                  describe_nearest(model_type, names) +
                  "; `onnxport list` prints those that are, docs/add-an-architecture.md says how to add one");
}

const Architecture& architecture_of(const Config& config, const Registry& known) {
  return architecture_named(config.string("model_type"), "config.json", known);
}

const TaskDefinition& find_task(const Architecture& architecture, std::string_view task, bool monolith) {
  for (const TaskDefinition& definition : architecture.monolithic_tasks)
    if (monolith && definition.task == task) return definition;
  if (const TaskDefinition* definition = architecture.find(task)) return *definition;
  std::string known;
  for (const TaskDefinition& other : architecture.tasks) known += (known.empty() ? "" : ", ") + other.task;
  throw Error(ErrorKind::UnsupportedTask,
              architecture.model_type + " has no task \"" + std::string(task) + "\"; it has " + known);
}

Config completed_config(const Checkpoint& checkpoint, const Architecture& architecture) {
  Json config = checkpoint.config;
  for (const auto& [name, value] : architecture.defaults)
    if (!config.find(name)) config.set(name, value);
  return Config(std::move(config));
}

BuiltTask build_task(const Checkpoint& checkpoint, const Architecture& architecture, std::string_view task,
                     const DimBindings& sizes, const OutputRequest& outputs) {
  const TaskDefinition& definition = find_task(architecture, task, outputs.monolith);
  const Config config = completed_config(checkpoint, architecture);
  refuse_pruned_heads(config);
  BuiltTask result;
  std::map<std::string, int> users;
  std::size_t files = 0;
  OutputChooser chooser(outputs);
  for (const Submodel& submodel : definition.submodels(config)) {
    auto graph = std::make_unique<Graph>();
    WeightStore store(*graph, checkpoint, architecture.base_model_prefix, architecture.aliases);
    ModelBuilder builder(store, config, definition.task);
    for (const InputSpec& spec : submodel.inputs) {
      if (outputs.left_out_inputs.contains(spec.name)) continue;
      if (spec.is_optional && !outputs.added_inputs.contains(spec.name)) continue;
      TensorType type{spec.data_type, {}};
      for (const Dim& dim : spec.shape) type.shape.push_back(dim.substitute(sizes));
      builder.set_input(spec.name, graph->add_input(spec.name, std::move(type)));
    }
    submodel.build(builder);
    std::vector<std::string> available = available_outputs(builder);
    chooser.choose(builder, submodel.name);
    // Buffers that classes of transformers compute, and that older versions saved.
    for (const char* buffer : {"position_ids", "token_type_ids", "inv_freq"}) builder.root().idle(buffer);
    for (const std::string& name : store.unused()) ++users[name];
    ++files;
    result.models.push_back({submodel.name, std::move(graph), std::move(available)});
  }
  chooser.check(architecture.model_type);
  for (const auto& [name, count] : users)
    if (static_cast<std::size_t>(count) == files) result.unused_tensors.push_back(name);
  return result;
}

}  // namespace onnxport
