#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// The command line as tables: a Command lists its options, and parsing, --help and docs/options.md follow from them.
namespace onnxport::cli {

/// Takes the value of an option, "" for a flag. Throws UsageError with what is wrong about it.
using Apply = std::function<void(const std::string& value)>;

/// An option or a positional argument: the one place for its name, its help and its effect.
struct Option {
  std::string names;            ///< "-m,--model"; a positional argument has no dashes: "output"
  std::string value;            ///< what the help calls its value, "DIR"; empty for a flag
  std::string help;             ///< one or two sentences without the default
  std::string default_value{};  ///< for the help; empty if there is none to tell
  Apply apply{};
  std::vector<std::string> choices{};  ///< the only values there are; empty for any
  bool required = false;
  bool repeated =
      false;  ///< may stand several times, each applied in its turn; a positional one takes all that is left
};

struct OptionGroup {
  std::string title;
  std::vector<Option> options;
};

struct Example {
  std::string command;
  std::string meaning;
};

struct Command {
  std::string name;
  std::string summary;  ///< one line, for the list of commands
  std::string details{};
  std::vector<Example> examples{};
  std::vector<OptionGroup> groups{};
  std::vector<Command> subcommands{};
  /// Runs with what the options' `apply` has stored; returns the exit status. Empty if a subcommand must follow.
  std::function<int()> run{};
  bool hidden = false;  ///< not in the list of commands
};

/// A command line that cannot be run. Where the message is printed, a hint at the help of `command` follows it.
struct UsageError : std::runtime_error {
  explicit UsageError(const std::string& message, std::string command_path = {})
      : std::runtime_error(message), command(std::move(command_path)) {}
  std::string command;  ///< "onnxport export onnx"
};

/// Finds the command that the arguments begin with, applies its options and runs it. --help prints the command's help.
/// Throws UsageError, and whatever the command throws.
int run_command(const Command& program, const std::vector<std::string>& arguments);

/// "-m,--model" is {"-m", "--model"}.
std::vector<std::string> split_names(const Option& option);
/// How messages call it: the long name, "--model", or the value of a positional argument, "OUTPUT".
std::string display_name(const Option& option);
bool is_positional(const Option& option);

// ---- What options do with their values ------------------------------------------------------------------------------

/// Store the value; the variable outlives the command. Numbers out of range and text that is no number are UsageErrors.
Apply store(std::string& target);
Apply store(std::filesystem::path& target);
/// "a,b" as {"a", "b"}; an empty member is a UsageError.
Apply store_list(std::vector<std::string>& target);
Apply store_integer(std::int64_t& target, std::int64_t minimum);
Apply store_integer(std::optional<int>& target);
Apply store_integer(std::optional<std::int64_t>& target);
Apply store_number(std::optional<double>& target);
/// For a flag.
Apply store_flag(bool& target, bool value = true);

}  // namespace onnxport::cli
