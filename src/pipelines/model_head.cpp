#include "pipelines/model_head.h"

#include <algorithm>
#include <array>

#include "onnxport/error.h"

namespace onnxport::pipelines {
namespace {

constexpr std::array<std::string_view, 5> kHeads{"ForMaskedLM", "ForMultipleChoice", "ForQuestionAnswering",
                                                 "ForSequenceClassification", "ForTokenClassification"};

/// Where several tasks' outputs have one name and as many axes, only the class tells.
bool is_class_of_other_head(const std::string& architecture, std::string_view head) {
  return std::any_of(kHeads.begin(), kHeads.end(),
                     [&](std::string_view other) { return other != head && architecture.ends_with(other); });
}

}  // namespace

std::string architecture_of(const Json& config) {
  const Json* architectures = config.find("architectures");
  if (architectures == nullptr || !architectures->is_array() || architectures->array().empty()) return "";
  const Json& first = architectures->array().front();
  return first.is_string() ? first.string() : "";
}

void require_head(const ORTModel& model, std::string_view head, std::size_t rank, std::string_view task) {
  const auto logits = std::find_if(model.outputs().begin(), model.outputs().end(),
                                   [](const ModelInput& output) { return output.name == "logits"; });
  const std::string architecture = architecture_of(model.config());
  const bool has_shape = logits != model.outputs().end() && logits->shape.size() == rank;
  if (has_shape && !is_class_of_other_head(architecture, head)) return;
  throw Error(ErrorKind::InvalidModel,
              quote_json(model.path().string()) + " is no model for " + std::string(task) + ", which needs a ..." +
                  std::string(head) + (architecture.empty() ? "" : "; config.json names a " + architecture) +
                  ": take a model that was trained for this task, or run the task that this one was trained for");
}

}  // namespace onnxport::pipelines
