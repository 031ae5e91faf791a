#include "cli/help.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "cli/terminal.h"

namespace onnxport::cli {
namespace {

constexpr std::size_t kNarrowest = 60;
constexpr std::size_t kWidest = 100;
/// Where explanations begin; a longer name has its explanation on the next line.
constexpr std::size_t kIndent = 28;

const OptionGroup& help_group() {
  static const OptionGroup group{"Help", {{"-h,--help", "", "Print this help.", "", {}}}};
  return group;
}

std::size_t help_width() {
  const int columns = terminal_columns(stdout);
  return columns == 0 ? kWidest : std::clamp(static_cast<std::size_t>(columns), kNarrowest, kWidest);
}

/// Words of `text` in lines that begin at column `indent`, the first without its indentation.
std::string wrap(const std::string& text, std::size_t indent, std::size_t width) {
  std::string result;
  std::size_t column = indent;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::size_t length = end - begin;
    if (column > indent && column + 1 + length > width) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return result;
}

/// "  NAME      explanation"
std::string entry(const std::string& name, const std::string& explanation, std::size_t width) {
  std::string line = "  " + name;
  if (line.size() + 2 > kIndent) {
    line += "\n" + std::string(kIndent, ' ');
  } else {
    line.resize(kIndent, ' ');
  }
  return line + wrap(explanation, kIndent, width) + "\n";
}

/// "DIR", or "copy|reference" for an option with choices.
std::string value_label(const Option& option) {
  return option.choices.empty() ? option.value : fmt::format("{}", fmt::join(option.choices, "|"));
}

std::string names_and_value(const Option& option) {
  if (is_positional(option)) return option.value;
  const std::string names = fmt::format("{}", fmt::join(split_names(option), ", "));
  return option.value.empty() ? names : names + " " + value_label(option);
}

std::string explanation(const Option& option) {
  return option.default_value.empty() ? option.help
                                      : fmt::format("{} [default: {}]", option.help, option.default_value);
}

/// What must be typed: "onnxport export onnx [OPTIONS] --model DIR OUTPUT".
std::string usage(const Command& command, const std::string& path) {
  std::string text = path;
  if (!command.subcommands.empty()) return text + " COMMAND";
  std::string required;
  for (const OptionGroup& group : command.groups)
    for (const Option& option : group.options) {
      if (option.required)
        required += " " + (is_positional(option) ? option.value : display_name(option) + " " + option.value);
      else if (is_positional(option))
        required += " [" + option.value + (option.repeated ? "...]" : "]");
    }
  return text + " [OPTIONS]" + required;
}

std::string format_examples(const Command& command, std::size_t width) {
  if (command.examples.empty()) return "";
  std::string text = "\nExamples:\n";
  for (const Example& example : command.examples)
    text += fmt::format("  {}\n      {}\n", example.command, wrap(example.meaning, 6, width));
  return text;
}

std::string format_subcommands(const Command& command, std::size_t width) {
  if (command.subcommands.empty()) return "";
  std::string text = "\nCommands:\n";
  for (const Command& subcommand : command.subcommands)
    if (!subcommand.hidden) text += entry(subcommand.name, subcommand.summary, width);
  return text;
}

std::string format_group(const OptionGroup& group, std::size_t width) {
  std::string text = "\n" + group.title + ":\n";
  for (const Option& option : group.options) text += entry(names_and_value(option), explanation(option), width);
  return text;
}

// ---- Markdown -------------------------------------------------------------------------------------------------------

/// Text as a cell of a table shows it.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find_first_of("|<", at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

/// Code in a cell: the bar would end the cell even there.
std::string code_cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return "`" + text + "`";
}

std::string markdown_group(const OptionGroup& group) {
  std::string text = fmt::format("\n**{}**\n\n| Option | Meaning | Default |\n| --- | --- | --- |\n", group.title);
  for (const Option& option : group.options)
    text += fmt::format("| {} | {} | {} |\n", code_cell(names_and_value(option)), cell(option.help),
                        option.default_value.empty() ? "" : code_cell(option.default_value));
  return text;
}

std::string markdown_examples(const Command& command) {
  std::string text;
  for (const Example& example : command.examples)
    text += fmt::format("\n{}:\n\n```sh\n{}\n```\n", example.meaning, example.command);
  return text;
}

/// A chapter for each command that can be run.
std::string markdown_command(const Command& command, const std::string& path) {
  std::string text;
  if (command.subcommands.empty()) {
    text += fmt::format("\n## {0}\n\n{1}.\n\n```\n{2}\n```\n", path, command.summary, usage(command, path));
    if (!command.details.empty()) text += "\n" + command.details + "\n";
    text += markdown_examples(command);
  }
  for (const OptionGroup& group : command.groups) text += markdown_group(group);
  for (const Command& subcommand : command.subcommands)
    if (!subcommand.hidden) text += markdown_command(subcommand, path + " " + subcommand.name);
  return text;
}

}  // namespace

std::string help_text(const Command& command, const std::string& path) {
  const std::size_t width = help_width();
  std::string text = "Usage: " + usage(command, path) + "\n\n" + wrap(command.summary + ".", 0, width) + "\n";
  if (!command.details.empty()) text += "\n" + wrap(command.details, 0, width) + "\n";
  text += format_examples(command, width) + format_subcommands(command, width);
  for (const OptionGroup& group : command.groups) text += format_group(group, width);
  return text + format_group(help_group(), width);
}

std::string help_markdown(const Command& program) {
  return "<!-- Written by `onnxport help-markdown`; a test compares the two. -->\n# Commands and options\n\n" +
         program.summary + ".\n" + markdown_command(program, program.name);
}

}  // namespace onnxport::cli
