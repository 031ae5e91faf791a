#include "architectures/registry.h"

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport {

Tensor ModelBuilder::input(std::string_view name) const {
  const auto found = inputs_.find(name);
  if (found == inputs_.end())
    throw Error(ErrorKind::UnsupportedTask, "the task " + task + " has no input \"" + std::string(name) + "\"");
  return found->second;
}

const TaskDefinition* Architecture::find(std::string_view task) const {
  const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const TaskDefinition& t) { return t.task == task; });
  return found == tasks.end() ? nullptr : &*found;
}

void Registry::add(Architecture architecture) {
  std::string model_type = architecture.model_type;
  if (!architectures_.emplace(model_type, std::move(architecture)).second)
    throw Error(ErrorKind::InvalidArgument, "the model type " + model_type + " is registered twice");
}

const Architecture* Registry::find(std::string_view model_type) const {
  const auto found = architectures_.find(model_type);
  return found == architectures_.end() ? nullptr : &found->second;
}

const Registry& registry() {
  static const Registry instance = [] {
    Registry filled;
    register_all_architectures(filled);
    return filled;
  }();
  return instance;
}

}  // namespace onnxport
