#pragma once

#include <string>

#include "cli/command_line.h"

namespace onnxport::cli {

/// What --help prints: usage, examples, subcommands and options, wrapped to the terminal. `path` is the command with
/// those before it, "onnxport export onnx".
std::string help_text(const Command& command, const std::string& path);

/// The same of a program and all its commands as a Markdown document, docs/options.md.
std::string help_markdown(const Command& program);

}  // namespace onnxport::cli
