// Help, usage errors, and the commands that only print.
#include <set>

#include "architectures/registry.h"
#include "cli_test.h"
#include "runtime/session.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliUsage : public CliTest {};

TEST_F(CliUsage, HelpListsTheCommands) {
  const ProcessResult result = run({"--help"});
  ASSERT_TRUE(succeeded(result));
  for (const char* command : {"export", "inspect", "list", "env"})
    EXPECT_TRUE(contains(result.output, std::string("\n  ") + command + " ")) << command;
  EXPECT_FALSE(contains(result.output, "help-markdown")) << "a command for the project's own use";
}

TEST_F(CliUsage, HelpListsEveryOptionOfTheExport) {
  const ProcessResult result = run({"export", "onnx", "--help"});
  ASSERT_TRUE(succeeded(result));
  // Those of `optimum-cli export onnx`, then those of onnxport.
  for (const char* option : {"-m, --model",
                             "OUTPUT",
                             "--task",
                             "--opset",
                             "--device",
                             "--dtype",
                             "--fp16",
                             "--optimize",
                             "--monolith",
                             "--no-post-process",
                             "--variant",
                             "--framework",
                             "--atol",
                             "--cache_dir",
                             "--trust-remote-code",
                             "--pad_token_id",
                             "--library-name",
                             "--model-kwargs",
                             "--no-dynamic-axes",
                             "--no-constant-folding",
                             "--slim",
                             "--dynamo",
                             "--legacy",
                             "--batch_size",
                             "--sequence_length",
                             "--num_choices",
                             "--width",
                             "--height",
                             "--num_channels",
                             "--feature_size",
                             "--nb_max_frames",
                             "--audio_sequence_length",
                             "--point_batch_size",
                             "--nb_points_per_image",
                             "--visual_seq_length",
                             "--weights",
                             "--external-data",
                             "--reference",
                             "--no-validate",
                             "--allow-mismatch",
                             "--quiet",
                             "--json",
                             "-h, --help"})
    EXPECT_TRUE(contains(result.output, std::string(" ") + option)) << option;
}

TEST_F(CliUsage, HelpWinsOverErrors) {
  EXPECT_TRUE(succeeded(run({"export", "onnx", "--nonsense", "--help"})));
  EXPECT_TRUE(succeeded(run({"export", "onnx", "--opset", "high", "-h"})));
}

TEST_F(CliUsage, HelpFitsTheTerminal) {
  const ProcessResult result = run({"export", "onnx", "--help"}, {.terminal_columns = 70});
  ASSERT_TRUE(succeeded(result));
  std::size_t wrapped = 0;
  for (std::size_t begin = 0; begin < result.output.size();) {
    const std::size_t end = std::min(result.output.find('\n', begin), result.output.size());
    const std::string_view line = std::string_view(result.output).substr(begin, end - begin);
    if (line.starts_with(std::string(28, ' '))) {
      EXPECT_LE(line.size(), 71U) << line;  // the terminal ends lines with \r\n
      ++wrapped;
    }
    begin = end + 1;
  }
  EXPECT_GT(wrapped, 10U);
}

/// The figure is 20 ms on an idle machine; the bound leaves room for a busy one, and for sanitizers.
TEST_F(CliUsage, HelpStartsAtOnce) {
  double best = 1;
  for (int i = 0; i < 10; ++i) best = std::min(best, run({"--help"}).seconds);
  EXPECT_LT(best, 0.1);
}

TEST_F(CliUsage, DocumentationIsTheHelp) {
  const ProcessResult result = run({"help-markdown"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.output, read_file(source_directory() / "docs/options.md"))
      << "write it anew: build/onnxport help-markdown > docs/options.md";
}

// ---- Usage errors ---------------------------------------------------------------------------------------------------

struct WrongUsage {
  std::string name;
  std::vector<std::string> arguments;
  std::string message;
  std::string hint = "Try \"onnxport export onnx --help\".";
};

/// How GoogleTest names it in messages.
void PrintTo(const WrongUsage& usage, std::ostream* out) { *out << usage.name; }

class CliWrongUsage : public CliTest, public ::testing::WithParamInterface<WrongUsage> {};

TEST_P(CliWrongUsage, IsExplained) {
  const ProcessResult result = run(GetParam().arguments);
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_EQ(result.error, "onnxport: error: " + GetParam().message + "\n" + GetParam().hint + "\n");
  EXPECT_EQ(result.output, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, CliWrongUsage,
    ::testing::Values(
        WrongUsage{"nothing", {}, "a command is missing", "Try \"onnxport --help\"."},
        WrongUsage{"half_a_command", {"export"}, "a command is missing", "Try \"onnxport export --help\"."},
        WrongUsage{
            "command", {"exprt"}, "there is no command \"exprt\"; did you mean export?", "Try \"onnxport --help\"."},
        WrongUsage{
            "command_like_no_other",
            {"zzz"},
            "there is no command \"zzz\" (the commands are export, quantize, onnxruntime, run, tokenize, inspect, "
            "list, new-architecture, env, transformers.onnx)",
            "Try \"onnxport --help\"."},
        WrongUsage{"subcommand",
                   {"export", "onx"},
                   "there is no command \"onx\"; did you mean onnx?",
                   "Try \"onnxport export --help\"."},
        WrongUsage{"option",
                   {"export", "onnx", "-m", "a", "--batch-size", "2", "b"},
                   "there is no option --batch-size; did you mean --batch_size?"},
        WrongUsage{"option_with_value",
                   {"export", "onnx", "-m", "a", "--tsk=x", "b"},
                   "there is no option --tsk; did you mean --task?"},
        WrongUsage{"option_like_no_other",
                   {"export", "onnx", "-m", "a", "--zzzzzzzzzzzzzz", "b"},
                   "there is no option --zzzzzzzzzzzzzz"},
        WrongUsage{"argument", {"export", "onnx", "-m", "a", "b", "c"}, "there is no use for the argument \"c\""},
        WrongUsage{"no_model", {"export", "onnx", "b"}, "--model is missing"},
        WrongUsage{"no_output", {"export", "onnx", "-m", "a"}, "OUTPUT is missing"},
        WrongUsage{"no_value", {"export", "onnx", "b", "-m"}, "--model needs a value"},
        WrongUsage{"option_for_a_value",
                   {"export", "onnx", "-m", "a", "b", "--task", "--json-like"},
                   "--task needs a value; --json-like looks like an option"},
        WrongUsage{"known_option_for_a_value",
                   {"export", "onnx", "-m", "a", "b", "--task", "--quiet"},
                   "--task needs a value; --quiet looks like an option"},
        WrongUsage{"value_of_a_flag", {"export", "onnx", "-m", "a", "b", "--quiet=1"}, "--quiet takes no value"},
        WrongUsage{"choice",
                   {"export", "onnx", "-m", "a", "b", "--dtype", "fp-16"},
                   "--dtype is one of fp32, fp16, bf16, not \"fp-16\"; did you mean fp16?"},
        WrongUsage{"no_integer",
                   {"export", "onnx", "-m", "a", "b", "--opset", "18.5"},
                   "--opset must be an integer, is \"18.5\""},
        WrongUsage{"integer_too_large",
                   {"export", "onnx", "-m", "a", "b", "--opset", "99999999999"},
                   "--opset is out of range: 99999999999"},
        WrongUsage{
            "size_of_zero", {"export", "onnx", "-m", "a", "b", "--width", "0"}, "--width must be at least 1, is 0"},
        WrongUsage{"no_number",
                   {"export", "onnx", "-m", "a", "b", "--atol", "1e-4x"},
                   "--atol must be a number, is \"1e-4x\""},
        WrongUsage{"no_path", {"inspect"}, "PATH is missing", "Try \"onnxport inspect --help\"."}),
    [](const auto& test) { return test.param.name; });

// ---- list, env, --version -------------------------------------------------------------------------------------------

TEST_F(CliUsage, ListNamesEveryArchitectureAndTask) {
  const ProcessResult result = run({"list"});
  ASSERT_TRUE(succeeded(result));
  for (const auto& [model_type, architecture] : registry().architectures()) {
    EXPECT_TRUE(contains(result.output, " " + model_type + "\n")) << model_type;
    for (const TaskDefinition& task : architecture.tasks)
      EXPECT_TRUE(contains(result.output, "┌ " + task.task + "\n")) << task.task;
  }
}

TEST_F(CliUsage, ListAsJson) {
  const ProcessResult result = run({"list", "--json"});
  ASSERT_TRUE(succeeded(result));
  const Json list = parse_json(result.output, "stdout");
  std::set<std::string> listed;
  for (const Json& architecture : at(list, "architectures").array())
    for (const Json& task : at(architecture, "tasks").array())
      listed.insert(at(architecture, "model_type").string() + " " + at(task, "task").string() + " " +
                    at(task, "class").string());
  std::set<std::string> registered;
  for (const auto& [model_type, architecture] : registry().architectures())
    for (const TaskDefinition& task : architecture.tasks)
      registered.insert(model_type + " " + task.task + " " + task.class_name);
  EXPECT_EQ(listed, registered);
}

TEST_F(CliUsage, ListAsMarkdown) {
  const ProcessResult result = run({"list", "--markdown"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(result.output.starts_with("| model_type | ")) << result.output;
  EXPECT_TRUE(contains(result.output, "\n| bert | ✓ |")) << result.output;
}

TEST_F(CliUsage, ListAsTwoThingsAtOnce) {
  EXPECT_TRUE(failed(run({"list", "--markdown", "--json"}), 2, {"--json and --markdown exclude each other"}));
}

TEST_F(CliUsage, Version) {
  const ProcessResult result = run({"--version"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.output, "onnxport " ONNXPORT_VERSION "\n");
}

TEST_F(CliUsage, EnvironmentNamesTheRuntime) {
  const ProcessResult result = run({"env"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, onnxruntime_version())) << result.output;
  EXPECT_TRUE(contains(result.output, onnxruntime_library().string())) << result.output;
}

TEST_F(CliUsage, OutputThatCannotBeWrittenIsAnError) {
  EXPECT_TRUE(failed(run({"list"}, {.output_file = "/dev/full"}), 1, {"standard output"}));
  EXPECT_TRUE(failed(run({"export", "onnx", "--help"}, {.output_file = "/dev/full"}), 1, {"standard output"}));
}

}  // namespace
}  // namespace onnxport::testing
