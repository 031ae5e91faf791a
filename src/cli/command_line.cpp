// The only file that includes CLI11, which takes a second to compile for each that does.
#include "cli/command_line.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "cli/help.h"
#include "core/nearest.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

std::string suggest(std::string_view name, const std::vector<std::string>& candidates) {
  const std::vector<std::string> best = nearest(name, candidates, 1);
  return best.empty() ? "" : "; did you mean " + best.front() + "?";
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// ---- Finding the command --------------------------------------------------------------------------------------------

struct Invocation {
  const Command* command;
  std::string path;                    ///< "onnxport export onnx"
  std::vector<std::string> arguments;  ///< those after the command
};

const Command& find_subcommand(const Command& parent, const std::string& path, const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : parent.subcommands) {
    if (command.name == name) return command;
    if (!command.hidden) names.push_back(command.name);
  }
  const std::string suggestion = suggest(name, names);
  throw UsageError("there is no command " + quote_json(name) +
                       (suggestion.empty() ? " (the commands are " + join(names) + ")" : suggestion),
                   path);
}

/// Follows the leading words. CLI11's own subcommands are not used: they would take an output directory that is called
/// as a command for that command.
Invocation find_command(const Command& program, const std::vector<std::string>& arguments) {
  Invocation found{&program, program.name, {}};
  auto next = arguments.begin();
  while (next != arguments.end() && !found.command->subcommands.empty() && !next->starts_with('-')) {
    found.command = &find_subcommand(*found.command, found.path, *next);
    found.path += " " + *next++;
  }
  found.arguments.assign(next, arguments.end());
  return found;
}

// ---- Parsing its options --------------------------------------------------------------------------------------------

/// An option of the table and what CLI11 made of it.
struct ParsedOption {
  const Option* option;
  CLI::Option* parsed;
};

std::vector<ParsedOption> add_options(CLI::App& app, const Command& command) {
  std::vector<ParsedOption> added;
  for (const OptionGroup& group : command.groups)
    for (const Option& option : group.options) {
      CLI::Option* parsed =
          option.value.empty() ? app.add_flag(option.names)->disable_flag_override() : app.add_option(option.names);
      if (!option.value.empty()) parsed->expected(1);
      if (option.repeated && is_positional(option)) parsed->expected(-1)->allow_extra_args();
      parsed->multi_option_policy(option.repeated ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
      added.push_back({&option, parsed});
    }
  return added;
}

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names{"-h", "--help"};
  for (const OptionGroup& group : command.groups)
    for (const Option& option : group.options)
      if (!is_positional(option))
        for (std::string& name : split_names(option)) names.push_back(std::move(name));
  return names;
}

void parse(CLI::App& app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string message = error.what();  // "--opset: 1 required TEXT missing", "quiet was given a disallowed ..."
    const std::size_t colon = message.find(": ");
    if (colon != std::string::npos) throw UsageError(message.substr(0, colon) + " needs a value");
    throw UsageError("--" + message.substr(0, message.find(' ')) + " takes no value");
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
}

void refuse_unknown(const Command& command, std::vector<std::string> unknown) {
  std::erase(unknown, "--");  // CLI11 leaves the mark that ends the options
  if (unknown.empty()) return;
  // The value of an unknown option is left over as well: the option is what the user must hear of.
  const auto option =
      std::find_if(unknown.begin(), unknown.end(), [](const auto& word) { return word.starts_with('-'); });
  if (option == unknown.end()) throw UsageError("there is no use for the argument " + quote_json(unknown.front()));
  const std::string name = option->substr(0, option->find('='));
  throw UsageError("there is no option " + name + suggest(name, option_names(command)));
}

void check_value(const Option& option, const std::string& value) {
  // CLI11 takes whatever follows for the value.
  if (value.starts_with("--"))
    throw UsageError(display_name(option) + " needs a value; " + value + " looks like an option");
  if (option.choices.empty() || std::find(option.choices.begin(), option.choices.end(), value) != option.choices.end())
    return;
  throw UsageError(display_name(option) + " is one of " + join(option.choices) + ", not " + quote_json(value) +
                   suggest(value, option.choices));
}

void apply(const Option& option, const std::string& value) {
  try {
    option.apply(value);
  } catch (const UsageError& error) {
    throw UsageError(display_name(option) + " " + error.what());
  }
}

void apply_options(const std::vector<ParsedOption>& options) {
  for (const auto& [option, parsed] : options) {
    if (parsed->count() == 0) {
      if (option->required) throw UsageError(display_name(*option) + " is missing");
      continue;
    }
    std::vector<std::string> values = option->value.empty() ? std::vector<std::string>{""} : parsed->results();
    if (!option->repeated) values.erase(values.begin(), values.end() - 1);
    for (const std::string& value : values) {
      check_value(*option, value);
      apply(*option, value);
    }
  }
}

/// Parses the options of one command and applies them; true if help is asked for instead.
bool parse_options(const Command& command, const std::vector<std::string>& arguments) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  const CLI::Option* help = app.add_flag("-h,--help");
  const std::vector<ParsedOption> options = add_options(app, command);
  parse(app, arguments);
  if (help->count() > 0) return true;
  refuse_unknown(command, app.remaining());
  apply_options(options);
  return false;
}

/// Text that is a number from its first to its last character.
template <typename Number>
Number parse_number(const std::string& text, const char* kind) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) throw UsageError("is out of range: " + text);
  if (error != std::errc{} || end != text.data() + text.size())
    throw UsageError(std::string("must be ") + kind + ", is " + quote_json(text));
  return number;
}

template <typename Integer>
Apply store_any_integer(std::optional<Integer>& target) {
  return [&target](const std::string& value) { target = parse_number<Integer>(value, "an integer"); };
}

}  // namespace

int run_command(const Command& program, const std::vector<std::string>& arguments) {
  const Invocation invocation = find_command(program, arguments);
  const Command& command = *invocation.command;
  try {
    if (parse_options(command, invocation.arguments)) {
      std::fputs(help_text(command, invocation.path).c_str(), stdout);
      return 0;
    }
    if (!command.run) throw UsageError("a command is missing");
    return command.run();
  } catch (const UsageError& error) {
    throw UsageError(error.what(), error.command.empty() ? invocation.path : error.command);
  }
}

std::vector<std::string> split_names(const Option& option) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= option.names.size();) {
    const std::size_t end = std::min(option.names.find(',', begin), option.names.size());
    names.push_back(option.names.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

std::string display_name(const Option& option) {
  return is_positional(option) ? option.value : split_names(option).back();
}

bool is_positional(const Option& option) { return !option.names.starts_with('-'); }

Apply store(std::string& target) {
  return [&target](const std::string& value) { target = value; };
}

Apply store(std::filesystem::path& target) {
  return [&target](const std::string& value) { target = value; };
}

Apply store_list(std::vector<std::string>& target) {
  return [&target](const std::string& value) {
    target.clear();
    for (std::size_t begin = 0; begin <= value.size();) {
      const std::size_t end = std::min(value.find(',', begin), value.size());
      target.push_back(value.substr(begin, end - begin));
      if (target.back().empty()) throw UsageError("has an empty member: \"" + value + "\"");
      begin = end + 1;
    }
  };
}

Apply store_integer(std::int64_t& target, std::int64_t minimum) {
  return [&target, minimum](const std::string& value) {
    const auto number = parse_number<std::int64_t>(value, "an integer");
    if (number < minimum) throw UsageError("must be at least " + std::to_string(minimum) + ", is " + value);
    target = number;
  };
}

Apply store_integer(std::optional<int>& target) { return store_any_integer(target); }

Apply store_integer(std::optional<std::int64_t>& target) { return store_any_integer(target); }

Apply store_number(std::optional<double>& target) {
  return [&target](const std::string& value) { target = parse_number<double>(value, "a number"); };
}

Apply store_flag(bool& target, bool value) {
  return [&target, value](const std::string&) { target = value; };
}

}  // namespace onnxport::cli
