// onnxport: the program. Each command stands in a file of its own.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>

#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/terminal.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

enum ExitStatus { kFailure = 1, kUsage = 2 };

Command program();

/// Prints docs/options.md.
Command help_markdown_command() {
  return {.name = "help-markdown",
          .summary = "Prints this help of all commands as Markdown",
          .run =
              [] {
                fmt::print("{}", help_markdown(program()));
                return 0;
              },
          .hidden = true};
}

Command program() {
  const auto prints_version = std::make_shared<bool>(false);
  Command command{.name = "onnxport",
                  .summary = "Exports Hugging Face checkpoints to ONNX, natively: no Python, no PyTorch, no tracing"};
  command.examples = {{"onnxport export onnx --model distilbert-base-uncased/ distilbert_onnx/",
                       "Export a checkpoint for the task it was trained for, and validate the result"},
                      {"onnxport export onnx --help", "Print the options of the export"}};
  command.groups = {
      {"Options", {{"--version", "", "Print the version of onnxport.", "", store_flag(*prints_version)}}}};
  command.subcommands = {
      {.name = "export",
       .summary = "Exports a checkpoint to another format: onnx",
       .subcommands = {export_onnx_command()}},
      quantize_command(),
      {.name = "onnxruntime",
       .summary = "Changes exported models for ONNX Runtime: optimize, quantize",
       .subcommands = {onnxruntime_optimize_command(), onnxruntime_quantize_command()}},
      run_pipeline_command(),
      tokenize_command(),
      inspect_command(),
      list_command(),
      new_architecture_command(),
      env_command(),
      transformers_onnx_command(),
      help_markdown_command(),
  };
  command.run = [prints_version] {
    if (!*prints_version) throw UsageError("a command is missing");
    fmt::print("onnxport {}\n", ONNXPORT_VERSION);
    return 0;
  };
  return command;
}

/// Says what went wrong on stderr, and on stdout as well if that is to hold JSON.
int report(ErrorKind kind, const std::string& message, bool is_json, int status, Json result = {}) {
  print_message("error", message);
  if (!is_json) return status;
  Json error;
  error.set("kind", to_string(kind));
  error.set("message", message);
  result.set("error", std::move(error));
  fmt::print("{}\n", dump_json(result, 2));
  std::fflush(stdout);
  return status;
}

int run(const std::vector<std::string>& arguments) {
  // Asked here and not by the commands: the arguments may be what is wrong.
  const bool is_json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  try {
    const int status = run_command(program(), arguments);
    flush_stdout();
    return status;
  } catch (const UsageError& error) {
    const int status = report(ErrorKind::InvalidArgument, error.what(), is_json, kUsage);
    fmt::print(stderr, "Try \"{} --help\".\n", error.command);
    return status;
  } catch (const ReportedError& error) {
    return report(error.kind(), error.what(), is_json, kFailure, error.report);
  } catch (const Error& error) {
    return report(error.kind(), error.what(), is_json, kFailure);
  } catch (const std::bad_alloc&) {
    return report(ErrorKind::RuntimeFailed, "out of memory", is_json, kFailure);
  } catch (const std::exception& error) {
    return report(ErrorKind::RuntimeFailed, std::string("internal error: ") + error.what(), is_json, kFailure);
  }
}

}  // namespace
}  // namespace onnxport::cli

int main(int argc, char** argv) { return onnxport::cli::run({argv + 1, argv + argc}); }
