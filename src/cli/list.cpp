// onnxport list: architectures x tasks.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "architectures/plugin.h"
#include "cli/architecture_options.h"
#include "cli/commands.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

/// Every task that some architecture has, the columns of the table.
std::vector<std::string> registered_tasks(const Registry& known) {
  std::set<std::string> tasks;
  for (const auto& [model_type, architecture] : known.architectures())
    for (const TaskDefinition& task : architecture.tasks) tasks.insert(task.task);
  return {tasks.begin(), tasks.end()};
}

/// The names of the tasks are too long to stand side by side, so each hangs on a line above its column:
///
///     ┌ feature-extraction
///     │ ┌ fill-mask
///     ✓ ✓  bert
std::string format_table(const Registry& known) {
  const std::vector<std::string> tasks = registered_tasks(known);
  std::string text;
  std::string lines = "  ";
  for (const std::string& task : tasks) {
    text += fmt::format("{}┌ {}\n", lines, task);
    lines += "│ ";
  }
  for (const auto& [model_type, architecture] : known.architectures()) {
    text += "  ";
    for (const std::string& task : tasks) text += architecture.find(task) != nullptr ? "✓ " : "· ";
    text += fmt::format(" {}\n", model_type);
  }
  return text + fmt::format("\n{} architectures, {} tasks\n", known.architectures().size(), tasks.size());
}

std::string format_markdown(const Registry& known) {
  const std::vector<std::string> tasks = registered_tasks(known);
  std::string text = fmt::format("| model_type | {} |\n| --- |", fmt::join(tasks, " | "));
  for (std::size_t i = 0; i < tasks.size(); ++i) text += " :-: |";
  text += "\n";
  for (const auto& [model_type, architecture] : known.architectures()) {
    text += fmt::format("| {} |", model_type);
    for (const std::string& task : tasks) text += architecture.find(task) != nullptr ? " ✓ |" : "  |";
    text += "\n";
  }
  return text;
}

Json describe_registry(const Registry& known) {
  Json::Array architectures;
  for (const auto& [model_type, architecture] : known.architectures()) {
    Json::Array tasks;
    for (const TaskDefinition& task : architecture.tasks) {
      Json entry;
      entry.set("task", task.task);
      entry.set("class", task.class_name);
      tasks.push_back(std::move(entry));
    }
    Json entry;
    entry.set("model_type", model_type);
    entry.set("tasks", std::move(tasks));
    architectures.push_back(std::move(entry));
  }
  Json result;
  result.set("architectures", std::move(architectures));
  return result;
}

struct Request {
  bool json = false;
  bool markdown = false;
  std::vector<std::filesystem::path> plugins;
};

int list(const Request& request) {
  if (request.json && request.markdown) throw UsageError("--json and --markdown exclude each other");
  const std::shared_ptr<const Registry> known = registry_with(request.plugins);
  if (request.json) {
    fmt::print("{}\n", dump_json(describe_registry(*known), 2));
  } else {
    fmt::print("{}", request.markdown ? format_markdown(*known) : format_table(*known));
  }
  return 0;
}

}  // namespace

Command list_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "list", .summary = "Prints which tasks of which architectures can be exported"};
  command.groups = {{"Options",
                     {{"--json", "", "Print one JSON object.", "", store_flag(request->json)},
                      {"--markdown", "", "Print a table in Markdown.", "", store_flag(request->markdown)},
                      plugin_option(request->plugins)}}};
  command.run = [request] { return list(*request); };
  return command;
}

}  // namespace onnxport::cli
