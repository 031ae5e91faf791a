#include "onnxport/model.h"

#include <algorithm>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "checkpoint/file_names.h"
#include "core/temporary_directory.h"
#include "export/companion_files.h"
#include "onnx/external_data.h"
#include "onnx/reader.h"
#include "onnx/staged_directory.h"
#include "onnx/writer.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "onnxport/hub.h"
#include "runtime/bfloat16.h"
#include "runtime/model_directory.h"
#include "runtime/model_inputs.h"
#include "runtime/session.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view cpu_provider = "CPUExecutionProvider";

std::string joined(std::span<const ModelInput> values) {
  std::string text;
  for (const ModelInput& value : values) text += (text.empty() ? "" : ", ") + value.name;
  return text;
}

bool has(std::span<const ModelInput> values, std::string_view name) {
  return std::any_of(values.begin(), values.end(), [&](const ModelInput& value) { return value.name == name; });
}

// ---- Opening --------------------------------------------------------------------------------------------------------

Json read_config(const fs::path& file) {
  return Config(parse_json(read_text_file(file), file.string()), file.string()).json();
}

std::unique_ptr<TemporaryDirectory> export_checkpoint(const fs::path& checkpoint, std::string_view task,
                                                      std::string_view library_name,
                                                      const ORTModelOptions& model_options) {
  auto directory = std::make_unique<TemporaryDirectory>();
  ExportOptions options;
  options.model = checkpoint;
  options.output = directory->path();
  if (!task.empty()) options.task = task;
  options.library_name = library_name;
  options.validate = false;
  options.warn = model_options.warn;
  options.progress = model_options.progress;
  export_onnx(options);
  return directory;
}

void copy_to(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  // A file of a hub's cache is a link: what it points to is copied.
  if (!error) fs::copy_file(fs::canonical(from, error), to, error);
  if (error)
    throw Error(ErrorKind::OutputFailed,
                "cannot copy " + from.string() + " to " + to.string() + ": " + error.message());
}

Session make_session(const fs::path& file, const ORTModelOptions& options) {
  return Session(file, options.session_options, {options.provider, options.provider_options, options.use_io_binding});
}

Session open_session(const fs::path& file, const ORTModelOptions& options) {
  try {
    return make_session(file, options);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::RuntimeFailed) throw;
    const onnx::Model model = onnx::read_model(file);  // says what is damaged
    onnx::check_external_data(model, file);
    if (!has_bfloat16(model) || options.provider != cpu_provider) throw;
    const TemporaryDirectory directory;
    const fs::path twin = directory.path() / file.filename();
    onnx::write_model(without_bfloat16(model), twin, {});
    return make_session(twin, options);
  }
}

// ---- Models of the Hub ----------------------------------------------------------------------------------------------

bool is_small_file(std::string_view name) {
  return name == "config.json" || name == "modules.json" || is_companion_file(name);
}

/// The repository's ONNX files below the subfolder, relative to it, in choose_onnx_file's order.
std::vector<fs::path> onnx_files(const std::vector<HubFile>& files, const std::string& subfolder) {
  std::vector<fs::path> found;
  for (const HubFile& file : files) {
    const fs::path path = fs::path(file.path).lexically_relative(subfolder.empty() ? "." : subfolder);
    if (path.extension() == ".onnx" && *path.begin() != "..") found.push_back(path);
  }
  sort_by_depth(found);
  return found;
}

/// An ONNX file, its external data, and the small files beside a model.
std::vector<std::string> select_onnx_files(const std::vector<HubFile>& files, const fs::path& file_name,
                                           const std::string& subfolder) {
  const std::string chosen = (fs::path(subfolder) / file_name).lexically_normal().generic_string();
  std::vector<std::string> wanted;
  for (const HubFile& file : files) {
    const std::string_view path = file.path;
    // model.onnx_data, model.onnx.data, model.onnx_data_1
    const bool is_data = path.starts_with(chosen) && path.substr(chosen.size()).find("data") == 1;
    if (path == chosen || is_data || is_small_file(fs::path(path).filename().string())) wanted.emplace_back(path);
  }
  return wanted;
}

HubOptions hub_options(const fs::path& model, const ORTModelOptions& options) {
  HubOptions hub{.revision = options.revision,
                 .cache_dir = options.cache_dir,
                 .token = options.token,
                 .local_files_only = options.local_files_only,
                 .warn = options.warn};
  if (options.progress) {
    hub.progress = [stage = "Downloading " + model.string(), &options](const DownloadProgress& now) {
      if (now.total > 0) options.progress({stage, now.done, now.total});
    };
  }
  return hub;
}

/// The ONNX file of a repository or, where there is none, the checkpoint.
std::vector<std::string> select_model_files(const std::vector<HubFile>& files, const fs::path& model,
                                            const ORTModelOptions& options) {
  const std::vector<fs::path> candidates = onnx_files(files, options.subfolder);
  if (options.export_ || (candidates.empty() && options.file_name.empty()))
    return select_checkpoint_files(files, options.subfolder);
  return select_onnx_files(files, choose_onnx_file(candidates, model.string(), options.file_name), options.subfolder);
}

}  // namespace

LocalModel find_model(const fs::path& model, const ORTModelOptions& options) {
  const auto select = [&](const std::vector<HubFile>& files) { return select_model_files(files, model, options); };
  LocalModel found{.directory = resolve_model(model, select, hub_options(model, options)),
                   .is_checkpoint = options.export_};
  if (options.export_) {
    if (!options.file_name.empty())
      throw Error(ErrorKind::InvalidArgument, "file_name and export_ exclude each other: the export makes the file");
    return found;
  }
  const fs::path folder = model_folder(found.directory, options.subfolder);
  std::error_code ignored;
  if (!options.file_name.empty() || has_onnx_file(folder) || !fs::exists(folder / "config.json", ignored)) return found;
  found.is_checkpoint = true;
  if (options.warn)
    options.warn(
        "No ONNX files were found for " + model.string() +
        ": it is exported to ONNX now, into a temporary directory. Export it once with `onnxport export onnx` or "
        "save_pretrained() to start faster");
  return found;
}

// ---- ORTModel -------------------------------------------------------------------------------------------------------

struct ORTModel::Implementation {
  /// Declared first, so that it goes last: ONNX Runtime has files in it open.
  std::unique_ptr<TemporaryDirectory> exported;
  fs::path file;
  fs::path config_file;
  Json config;
  std::string provider;
  Session session;
  InputRules rules;
};

ORTModel::ORTModel(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
ORTModel::ORTModel(ORTModel&&) noexcept = default;
ORTModel& ORTModel::operator=(ORTModel&&) noexcept = default;
ORTModel::~ORTModel() = default;

ORTModel ORTModel::open(const fs::path& model, const ORTModelOptions& options, std::string_view task,
                        std::string_view library_name) {
  const LocalModel found = find_model(model, options);
  std::unique_ptr<TemporaryDirectory> exported;
  if (found.is_checkpoint)
    exported = export_checkpoint(model_folder(found.directory, options.subfolder), task, library_name, options);
  const ModelDirectory files = exported ? find_model_files(exported->path(), "", "")
                                        : find_model_files(found.directory, options.subfolder, options.file_name);
  Json config = read_config(files.config_file);
  TextLimits limits = text_limits(Config(config, files.config_file.string()));
  Session session = open_session(files.onnx_file, options);
  InputRules rules(session.inputs(), std::move(limits));
  return ORTModel(std::make_unique<Implementation>(
      Implementation{std::move(exported), files.onnx_file, files.config_file, std::move(config), options.provider,
                     std::move(session), std::move(rules)}));
}

ORTModel ORTModel::from_pretrained(const fs::path& model, const ORTModelOptions& options) {
  return open(model, options, "", "");
}

NamedArrays ORTModel::run(const NamedArrays& inputs, std::span<const std::string> output_names) const {
  const Implementation& self = *implementation_;
  for (const std::string& name : output_names) {
    if (!has(outputs(), name))
      throw Error(ErrorKind::InvalidArgument,
                  self.file.string() + " has no output " + quote_json(name) + "; it has " + joined(outputs()));
  }
  std::vector<Array> results = self.session.run(self.rules.prepare(inputs), output_names);
  NamedArrays named;
  named.reserve(results.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    named.emplace_back(output_names.empty() ? outputs()[i].name : output_names[i], std::move(results[i]));
  return named;
}

const std::vector<ModelInput>& ORTModel::inputs() const { return implementation_->session.inputs(); }
const std::vector<ModelInput>& ORTModel::outputs() const { return implementation_->session.outputs(); }
const Json& ORTModel::config() const { return implementation_->config; }
const fs::path& ORTModel::path() const { return implementation_->file; }
const std::string& ORTModel::provider() const { return implementation_->provider; }
std::optional<std::int64_t> ORTModel::max_length() const { return implementation_->rules.limits().max_length; }

std::vector<fs::path> ORTModel::save_pretrained(const fs::path& directory) const {
  const Implementation& self = *implementation_;
  onnx::StagedDirectory staged(directory);
  std::vector<fs::path> names{self.file.filename()};
  for (const std::string& location : onnx::external_locations(onnx::read_model(self.file)))
    names.emplace_back(location);
  for (const fs::path& name : names) copy_to(self.file.parent_path() / name, staged.path() / name);
  const std::vector<fs::path> companions =
      write_companion_files(self.config_file.parent_path(), self.config, staged.path());
  staged.commit();
  names.insert(names.end(), companions.begin(), companions.end());
  for (fs::path& name : names) name = directory / name;
  return names;
}

// ---- Models of one task ---------------------------------------------------------------------------------------------

namespace {

/// An output of the graph and the field that it becomes.
template <typename Output>
struct Field {
  std::string_view name;
  Array Output::*field;
  std::string_view other_name = "";  ///< taken where there is none of the first name
};

/// What makes a class: its name, what export_ exports for it, and its outputs.
template <typename Output>
struct TaskModel {
  std::string_view class_name;
  std::string_view task;
  std::string_view library_name;
  std::vector<Field<Output>> fields;
};

template <typename Output>
TaskModel<Output> task_model();

template <>
TaskModel<BaseModelOutput> task_model() {
  return {"ORTModelForFeatureExtraction",
          "feature-extraction",
          "transformers",
          {{"last_hidden_state", &BaseModelOutput::last_hidden_state, "token_embeddings"}}};
}
template <>
TaskModel<MaskedLMOutput> task_model() {
  return {"ORTModelForMaskedLM", "fill-mask", "transformers", {{"logits", &MaskedLMOutput::logits}}};
}
template <>
TaskModel<QuestionAnsweringModelOutput> task_model() {
  return {"ORTModelForQuestionAnswering",
          "question-answering",
          "transformers",
          {{"start_logits", &QuestionAnsweringModelOutput::start_logits},
           {"end_logits", &QuestionAnsweringModelOutput::end_logits}}};
}
template <>
TaskModel<SequenceClassifierOutput> task_model() {
  return {"ORTModelForSequenceClassification",
          "text-classification",
          "transformers",
          {{"logits", &SequenceClassifierOutput::logits}}};
}
template <>
TaskModel<TokenClassifierOutput> task_model() {
  return {"ORTModelForTokenClassification",
          "token-classification",
          "transformers",
          {{"logits", &TokenClassifierOutput::logits}}};
}
template <>
TaskModel<MultipleChoiceModelOutput> task_model() {
  return {
      "ORTModelForMultipleChoice", "multiple-choice", "transformers", {{"logits", &MultipleChoiceModelOutput::logits}}};
}
template <>
TaskModel<SentenceTransformerOutput> task_model() {
  return {"ORTModelForSentenceTransformers",
          "sentence-similarity",
          "sentence_transformers",
          {{"token_embeddings", &SentenceTransformerOutput::token_embeddings},
           {"sentence_embedding", &SentenceTransformerOutput::sentence_embedding}}};
}

Array* find(NamedArrays& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& item) { return item.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

/// "hidden_states.0", "hidden_states.1", ...
std::vector<Array> numbered(NamedArrays& arrays, const std::string& name) {
  std::vector<Array> result;
  while (Array* array = find(arrays, name + "." + std::to_string(result.size()))) result.push_back(std::move(*array));
  return result;
}

}  // namespace

template <typename Output>
ORTModelFor<Output>::ORTModelFor(ORTModel model) : ORTModel(std::move(model)) {
  const TaskModel<Output> wanted = task_model<Output>();
  for (const Field<Output>& field : wanted.fields)
    if (!has(outputs(), field.name) && !(field.other_name.size() > 0 && has(outputs(), field.other_name)))
      throw Error(ErrorKind::InvalidModel, path().string() + " has no output " + std::string(field.name) + ", which " +
                                               std::string(wanted.class_name) + " needs; it has " + joined(outputs()) +
                                               ". Was it exported for another task?");
}

template <typename Output>
ORTModelFor<Output> ORTModelFor<Output>::from_pretrained(const fs::path& model, const ORTModelOptions& options) {
  const TaskModel<Output> wanted = task_model<Output>();
  return ORTModelFor(open(model, options, wanted.task, wanted.library_name));
}

template <typename Output>
Output ORTModelFor<Output>::operator()(const NamedArrays& inputs) const {
  static const TaskModel<Output> wanted = task_model<Output>();
  NamedArrays arrays = run(inputs);
  Output output;
  for (const Field<Output>& field : wanted.fields) {
    Array* array = find(arrays, field.name);
    output.*field.field = std::move(array != nullptr ? *array : *find(arrays, field.other_name));
  }
  output.hidden_states = numbered(arrays, "hidden_states");
  output.attentions = numbered(arrays, "attentions");
  return output;
}

template class ORTModelFor<BaseModelOutput>;
template class ORTModelFor<MaskedLMOutput>;
template class ORTModelFor<QuestionAnsweringModelOutput>;
template class ORTModelFor<SequenceClassifierOutput>;
template class ORTModelFor<TokenClassifierOutput>;
template class ORTModelFor<MultipleChoiceModelOutput>;
template class ORTModelFor<SentenceTransformerOutput>;

// ---- AutoORTModel ---------------------------------------------------------------------------------------------------

namespace {

/// True if a class that config.json names has the head: "ForMaskedLM".
bool is_architecture(const Json& config, std::string_view head) {
  const auto names = Config(config).optional_strings("architectures").value_or(std::vector<std::string>{});
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.ends_with(head); });
}

}  // namespace

AnyORTModel AutoORTModel::from_pretrained(const fs::path& directory, const ORTModelOptions& options) {
  ORTModel model = ORTModel::from_pretrained(directory, options);
  const auto as = [&]<typename Model>(std::in_place_type_t<Model>) { return AnyORTModel(Model(std::move(model))); };
  const std::vector<ModelInput>& outputs = model.outputs();
  if (has(outputs, "start_logits")) return as(std::in_place_type<ORTModelForQuestionAnswering>);
  if (has(outputs, "sentence_embedding")) return as(std::in_place_type<ORTModelForSentenceTransformers>);
  if (has(outputs, "logits")) {
    const Json& config = model.config();
    if (is_architecture(config, "ForMaskedLM")) return as(std::in_place_type<ORTModelForMaskedLM>);
    if (is_architecture(config, "ForSequenceClassification"))
      return as(std::in_place_type<ORTModelForSequenceClassification>);
    if (is_architecture(config, "ForTokenClassification"))
      return as(std::in_place_type<ORTModelForTokenClassification>);
    if (is_architecture(config, "ForMultipleChoice")) return as(std::in_place_type<ORTModelForMultipleChoice>);
  } else if (has(outputs, "last_hidden_state")) {
    return as(std::in_place_type<ORTModelForFeatureExtraction>);
  }
  throw Error(
      ErrorKind::InvalidModel,
      model.path().string() + ": no class fits the outputs " + joined(outputs) +
          " and the architectures of config.json. Name one of the classes ORTModelForXXX; ORTModelForCustomTasks "
          "takes any model");
}

}  // namespace onnxport
