#include "export/inspect_checkpoint.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "architectures/build.h"
#include "architectures/plugin.h"
#include "architectures/sentence_transformers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "core/text_table.h"
#include "export/adapt_checkpoint.h"
#include "onnxport/data_type.h"
#include "onnxport/error.h"
#include "tasks/tasks.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

// ---- Gathering ------------------------------------------------------------------------------------------------------

constexpr std::string_view kSentenceTask = "feature-extraction";

Json integer(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Json strings(const std::vector<std::string>& values) { return Json::Array(values.begin(), values.end()); }

struct Sum {
  std::int64_t count = 0;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;

  void add(const TensorSource& source) {
    ++count;
    elements += source.element_count();
    bytes += static_cast<std::int64_t>(source.byte_size());
  }
  void describe(Json& entry) const {
    entry.set("count", count);
    entry.set("elements", elements);
    entry.set("bytes", bytes);
  }
};

Json describe_tensor(const std::string& name, const TensorSource& source) {
  Json entry;
  entry.set("name", name);
  entry.set("data_type", to_string(source.data_type));
  entry.set("shape", Json::Array(source.shape.begin(), source.shape.end()));
  entry.set("bytes", integer(source.byte_size()));
  entry.set("file", source.file ? Json(source.file->path().filename().string()) : Json());
  return entry;
}

Json describe_data_types(const Checkpoint& checkpoint) {
  std::map<DataType, Sum> sums;
  for (const auto& [name, source] : checkpoint.tensors) sums[source.data_type].add(source);
  std::vector<std::pair<DataType, Sum>> sorted(sums.begin(), sums.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  Json::Array result;
  for (const auto& [type, sum] : sorted) {
    Json entry;
    entry.set("data_type", to_string(type));
    sum.describe(entry);
    result.push_back(std::move(entry));
  }
  return result;
}

Json describe_tensors(const Checkpoint& checkpoint) {
  using Named = std::pair<const std::string, TensorSource>;
  Sum sum;
  std::vector<const Named*> sorted;
  for (const Named& named : checkpoint.tensors) {
    sum.add(named.second);
    sorted.push_back(&named);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Named* a, const Named* b) { return a->second.byte_size() > b->second.byte_size(); });
  Json::Array tensors;
  for (const Named* named : sorted) tensors.push_back(describe_tensor(named->first, named->second));
  Json result;
  sum.describe(result);
  result.set("data_types", describe_data_types(checkpoint));
  result.set("tensors", std::move(tensors));
  return result;
}

struct Subject {
  fs::path directory;
  bool is_sentence_transformer;
  Checkpoint checkpoint;
  Json tensors;  ///< as the files have them, before names are changed
  OldNames old_names;
  Config config;
  std::shared_ptr<const Registry> known;
};

Subject open_subject(const fs::path& directory, const ArchitectureOptions& options) {
  std::error_code ignored;
  const bool is_sentence = fs::is_directory(directory, ignored) && is_sentence_transformer(directory);
  Checkpoint checkpoint = open_checkpoint(is_sentence ? transformer_directory(directory) : directory);
  Json tensors = describe_tensors(checkpoint);
  std::shared_ptr<const Registry> known = registry_with(options.plugins);
  OldNames old_names = adapt_checkpoint(checkpoint, options, *known);
  Config config(checkpoint.config);
  return {.directory = directory,
          .is_sentence_transformer = is_sentence,
          .checkpoint = std::move(checkpoint),
          .tensors = std::move(tensors),
          .old_names = std::move(old_names),
          .config = std::move(config),
          .known = std::move(known)};
}

BuiltTask build(const Subject& subject, const Architecture& architecture, const std::string& task) {
  if (subject.is_sentence_transformer && task == kSentenceTask)
    return build_sentence_transformer(subject.directory, subject.checkpoint, architecture);
  return build_task(subject.checkpoint, architecture, task);
}

/// Building the graph is what finds out whether a checkpoint has all that a task needs.
Json describe_task(const Subject& subject, const Architecture& architecture, const TaskDefinition& task) {
  std::vector<std::string> files;
  std::vector<std::string> unused;
  Json problem;
  try {
    BuiltTask built = build(subject, architecture, task.task);
    for (const BuiltModel& model : built.models) files.push_back(model.name + ".onnx");
    unused = subject.old_names.of(std::move(built.unused_tensors));
  } catch (const Error& error) {
    problem = error.what();
  }
  Json entry;
  entry.set("task", task.task);
  entry.set("class", task.class_name);
  entry.set("files", strings(files));
  entry.set("problem", std::move(problem));
  entry.set("unused_tensors", strings(unused));
  return entry;
}

/// Sets trained_task, problem and tasks.
void describe_tasks(const Subject& subject, Json& result) {
  try {
    const Architecture& architecture = architecture_of(subject.config, *subject.known);
    result.set("trained_task",
               subject.is_sentence_transformer ? std::string(kSentenceTask) : infer_task(architecture, subject.config));
    result.set("problem", nullptr);
    Json::Array tasks;
    for (const TaskDefinition& task : architecture.tasks) tasks.push_back(describe_task(subject, architecture, task));
    result.set("tasks", std::move(tasks));
  } catch (const Error& error) {
    result.set("trained_task", nullptr);
    result.set("problem", error.what());
    result.set("tasks", Json::Array{});
  }
}

Json describe_files(const Checkpoint& checkpoint) {
  Json::Array files;
  for (const fs::path& file : checkpoint.weight_files) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(file, error);
    Json entry;
    entry.set("name", file.filename().string());
    entry.set("bytes", error ? Json() : integer(size));
    files.push_back(std::move(entry));
  }
  return files;
}

// ---- Drawing --------------------------------------------------------------------------------------------------------

constexpr std::size_t kShownTensors = 15;
constexpr std::size_t kShownUnused = 10;

/// Names come from files that anybody may have made: none of them begins a line of its own or moves the cursor.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

/// The beginning of a text that is too long for a line.
std::string shorten(std::string text) {
  constexpr std::size_t kLongest = 96;
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (begins_character && ++columns > kLongest) return text.substr(0, i) + "…";
  }
  return text;
}

const Json& member(const Json& object, std::string_view key) {
  if (const Json* value = object.find(key)) return *value;
  throw Error(ErrorKind::InvalidArgument, "An inspection lacks \"" + std::string(key) + "\"");
}

std::int64_t number_of(const Json& object, std::string_view key) { return member(object, key).integer(); }

/// Empty for null.
std::string text_of(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_string() ? printable(value.string()) : "";
}

std::string join(const Json& texts) {
  std::string result;
  for (const Json& text : texts.array()) result += (result.empty() ? "" : ", ") + printable(text.string());
  return result;
}

std::string format_shape(const Json& shape) {
  std::string result;
  for (const Json& size : shape.array()) result += (result.empty() ? "" : ", ") + std::to_string(size.integer());
  return "[" + result + "]";
}

std::string format_header(const Json& inspection) {
  TextTable table;
  const auto add_unless_empty = [&](const char* label, const std::string& value) {
    if (!value.empty()) table.add({label, value});
  };
  add_unless_empty("model type", text_of(inspection, "model_type"));
  add_unless_empty("architectures", join(member(inspection, "architectures")));
  add_unless_empty("data type", text_of(inspection, "data_type"));
  if (member(inspection, "sentence_transformers").boolean()) table.add({"library", "sentence-transformers"});
  for (const Json& file : member(inspection, "files").array()) {
    const Json& bytes = member(file, "bytes");
    table.add({"weights", text_of(file, "name") + (bytes.is_null() ? "" : "  " + format_bytes(bytes.integer()))});
  }
  return printable(member(inspection, "directory").string()) + "\n" + table.draw();
}

/// What stands beside a task: its files, or what is missing for it.
std::string format_availability(const Json& task, bool is_trained) {
  if (const Json& problem = member(task, "problem"); !problem.is_null()) return shorten(printable(problem.string()));
  const auto unused = static_cast<std::int64_t>(member(task, "unused_tensors").array().size());
  return join(member(task, "files")) + (unused == 0 ? "" : ", " + format_count(unused, "tensor") + " unused") +
         (is_trained ? "  ← trained for this" : "");
}

std::string format_tasks(const Json& inspection) {
  if (const Json& problem = member(inspection, "problem"); !problem.is_null())
    return "No task: " + printable(problem.string()) + "\n";
  TextTable table;
  for (const Json& task : member(inspection, "tasks").array()) {
    const bool is_available = member(task, "problem").is_null();
    const bool is_trained = member(task, "task") == member(inspection, "trained_task");
    table.add({is_available ? "✓" : "x", text_of(task, "task"), format_availability(task, is_trained)});
  }
  return "Tasks\n" + table.draw();
}

/// The tensors that the task which the checkpoint was trained for has no use for.
std::string format_unused(const Json& inspection) {
  for (const Json& task : member(inspection, "tasks").array()) {
    if (member(task, "task") != member(inspection, "trained_task")) continue;
    const Json::Array& unused = member(task, "unused_tensors").array();
    if (unused.empty()) return "";
    const std::size_t shown = unused.size() <= kShownUnused + 1 ? unused.size() : kShownUnused;
    std::string text = fmt::format("\nUnused by {}\n", text_of(task, "task"));
    for (std::size_t i = 0; i < shown; ++i) text += "  " + printable(unused[i].string()) + "\n";
    if (shown < unused.size())
      text += fmt::format("  … and {} more\n", format_count(static_cast<std::int64_t>(unused.size() - shown)));
    return text;
  }
  return "";
}

std::string format_data_types(const Json& tensors) {
  TextTable table({1, 2, 3, 4});
  const std::int64_t total = number_of(tensors, "bytes");
  for (const Json& type : member(tensors, "data_types").array()) {
    const std::int64_t bytes = number_of(type, "bytes");
    table.add({text_of(type, "data_type"), format_count(number_of(type, "count"), "tensor"),
               format_count(number_of(type, "elements"), "element"), format_bytes(bytes),
               format_percentage(fraction_of(bytes, total)), draw_bar(fraction_of(bytes, total))});
  }
  return table.draw();
}

std::string format_largest(const Json& tensors) {
  TextTable table({3, 4});
  const std::int64_t total = number_of(tensors, "bytes");
  const Json::Array& sorted = member(tensors, "tensors").array();
  const auto add = [&](std::string name, std::string type, std::string shape, std::int64_t bytes) {
    const double fraction = fraction_of(bytes, total);
    table.add({std::move(name), std::move(type), std::move(shape), format_bytes(bytes), format_percentage(fraction),
               draw_bar(fraction)});
  };
  const std::size_t shown = sorted.size() <= kShownTensors + 1 ? sorted.size() : kShownTensors;
  std::int64_t rest = total;
  for (std::size_t i = 0; i < shown; ++i) {
    const std::int64_t bytes = number_of(sorted[i], "bytes");
    add(text_of(sorted[i], "name"), text_of(sorted[i], "data_type"), format_shape(member(sorted[i], "shape")), bytes);
    rest -= bytes;
  }
  if (shown < sorted.size())
    add(fmt::format("… and {} smaller ones", format_count(static_cast<std::int64_t>(sorted.size() - shown))), "", "",
        rest);
  return table.draw();
}

std::string format_tensors(const Json& tensors) {
  return fmt::format("Tensors: {}, {}, {}\n", format_count(number_of(tensors, "count"), "tensor"),
                     format_count(number_of(tensors, "elements"), "element"),
                     format_bytes(number_of(tensors, "bytes"))) +
         format_data_types(tensors) + "\nLargest\n" + format_largest(tensors);
}

}  // namespace

Json inspect_checkpoint(const fs::path& directory, const ArchitectureOptions& options) {
  const Subject subject = open_subject(directory, options);
  Json result;
  result.set("directory", directory.string());
  result.set("model_type", subject.config.string("model_type", ""));
  result.set("architectures",
             strings(subject.config.optional_strings("architectures").value_or(std::vector<std::string>{})));
  const std::optional<std::string> data_type = config_dtype(subject.config);
  result.set("data_type", data_type ? Json(*data_type) : Json());
  result.set("sentence_transformers", subject.is_sentence_transformer);
  describe_tasks(subject, result);
  result.set("files", describe_files(subject.checkpoint));
  result.set("tensors", subject.tensors);
  return result;
}

std::string format_checkpoint_inspection(const Json& inspection) {
  return format_header(inspection) + "\n" + format_tasks(inspection) + format_unused(inspection) + "\n" +
         format_tensors(member(inspection, "tensors"));
}

}  // namespace onnxport
