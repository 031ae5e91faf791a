#include "tasks/tasks.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/nearest.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

constexpr std::array<std::string_view, 33> kTaskNames{
    "audio-classification",
    "audio-frame-classification",
    "audio-xvector",
    "automatic-speech-recognition",
    "depth-estimation",
    "document-question-answering",
    "feature-extraction",
    "fill-mask",
    "image-classification",
    "image-segmentation",
    "image-text-to-text",
    "image-to-image",
    "image-to-text",
    "inpainting",
    "keypoint-detection",
    "mask-generation",
    "masked-im",
    "multiple-choice",
    "object-detection",
    "question-answering",
    "reinforcement-learning",
    "semantic-segmentation",
    "sentence-similarity",
    "text-classification",
    "text-generation",
    "text-to-audio",
    "text-to-image",
    "text2text-generation",
    "time-series-forecasting",
    "token-classification",
    "visual-question-answering",
    "zero-shot-image-classification",
    "zero-shot-object-detection",
};

struct Synonym {
  std::string_view name;
  std::string_view task;
};

/// Two of Optimum's task names are synonyms at the same time: their models are those of feature-extraction.
constexpr std::array<Synonym, 19> kSynonyms{{
    {"audio-ctc", "automatic-speech-recognition"},
    {"causal-lm", "text-generation"},
    {"default", "feature-extraction"},
    {"image-feature-extraction", "feature-extraction"},
    {"latent-consistency", "text-to-image"},
    {"mask-generation", "feature-extraction"},
    {"masked-lm", "fill-mask"},
    {"pretraining", "feature-extraction"},
    {"sentence-similarity", "feature-extraction"},
    {"seq2seq-lm", "text2text-generation"},
    {"sequence-classification", "text-classification"},
    {"speech2seq-lm", "automatic-speech-recognition"},
    {"stable-diffusion", "text-to-image"},
    {"stable-diffusion-xl", "text-to-image"},
    {"summarization", "text2text-generation"},
    {"text-to-speech", "text-to-audio"},
    {"translation", "text2text-generation"},
    {"vision2seq-lm", "image-to-text"},
    {"zero-shot-classification", "text-classification"},
}};

constexpr std::string_view kWithPast = "-with-past";

/// "text-generation-with-past" is text-generation and its suffix.
std::pair<std::string_view, std::string_view> split_cache_suffix(std::string_view name) {
  if (!name.ends_with(kWithPast)) return {name, {}};
  return {name.substr(0, name.size() - kWithPast.size()), kWithPast};
}

/// Empty for an unknown name.
std::string_view find_canonical(std::string_view name) {
  const auto synonym =
      std::find_if(kSynonyms.begin(), kSynonyms.end(), [&](const Synonym& s) { return s.name == name; });
  if (synonym != kSynonyms.end()) return synonym->task;
  const auto task = std::find(kTaskNames.begin(), kTaskNames.end(), name);
  return task != kTaskNames.end() ? *task : std::string_view{};
}

std::vector<std::string> all_names() {
  std::vector<std::string> names(kTaskNames.begin(), kTaskNames.end());
  for (const Synonym& synonym : kSynonyms)
    if (std::find(names.begin(), names.end(), synonym.name) == names.end()) names.emplace_back(synonym.name);
  return names;
}

/// What a class adds to its base model: "ForMaskedLM" of BertForMaskedLM, "" of BertModel. The F of RoFormerModel is
/// none: a word follows that of a head.
std::string_view head_of(std::string_view class_name) {
  constexpr std::string_view kLanguageModel = "LMHeadModel";
  if (class_name.ends_with(kLanguageModel)) return kLanguageModel;
  for (std::size_t at = class_name.rfind("For"); at != std::string_view::npos; at = class_name.rfind("For", at - 1)) {
    const std::string_view head = class_name.substr(at);
    if (head.size() > 3 && std::isupper(static_cast<unsigned char>(head[3]))) return head;
    if (at == 0) break;
  }
  return {};
}

/// The task of a class. Checkpoints name classes of relatives, too (RobertaForMaskedLM in one of camembert): the
/// model_type decides what is loaded then, and the head which task it was trained for.
const TaskDefinition* find_by_class(const Architecture& architecture, std::string_view class_name) {
  const auto& tasks = architecture.tasks;
  auto found = std::find_if(tasks.begin(), tasks.end(),
                            [&](const TaskDefinition& task) { return task.class_name == class_name; });
  const std::string_view head = head_of(class_name);
  if (found == tasks.end() && !head.empty())
    found = std::find_if(tasks.begin(), tasks.end(),
                         [&](const TaskDefinition& task) { return head_of(task.class_name) == head; });
  return found == tasks.end() ? nullptr : &*found;
}

/// The same task with its cache, if the architecture has it for the same class.
const TaskDefinition& with_cache(const Architecture& architecture, const TaskDefinition& task) {
  const TaskDefinition* cached = architecture.find(task.task + std::string(kWithPast));
  return cached != nullptr && cached->class_name == task.class_name ? *cached : task;
}

}  // namespace

std::span<const std::string_view> task_names() { return kTaskNames; }

std::string canonical_task(std::string_view name) {
  const auto [task, suffix] = split_cache_suffix(name);
  const std::string_view canonical = find_canonical(task);
  if (!canonical.empty()) return std::string(canonical) + std::string(suffix);
  throw Error(ErrorKind::UnsupportedTask, "there is no task " + quote_json(name) + describe_nearest(task, all_names()) +
                                              "; `onnxport list` prints the tasks of every architecture");
}

std::vector<std::string> task_synonyms(std::string_view task) {
  const auto [name, suffix] = split_cache_suffix(task);
  std::vector<std::string> synonyms;
  for (const Synonym& synonym : kSynonyms)
    if (synonym.task == name) synonyms.push_back(std::string(synonym.name) + std::string(suffix));
  return synonyms;
}

std::string infer_task(const Architecture& architecture, const Config& config) {
  for (const std::string& class_name : config.optional_strings("architectures").value_or(std::vector<std::string>{}))
    if (const TaskDefinition* task = find_by_class(architecture, class_name))
      return with_cache(architecture, *task).task;
  return "feature-extraction";
}

}  // namespace onnxport
