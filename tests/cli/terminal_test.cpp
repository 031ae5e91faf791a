// Colours and progress are for terminals only.
#include "cli_test.h"

namespace onnxport::testing {
namespace {

constexpr std::string_view kEscape = "\x1b";
constexpr std::string_view kGreenMark = "\x1b[32m[✓]\x1b[0m";
constexpr std::string_view kRedMark = "\x1b[31m[x]\x1b[0m";

class CliTerminal : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint();
  }

  static ProcessOptions terminal(std::map<std::string, std::string> environment = {}) {
    environment.try_emplace("TERM", "xterm-256color");
    environment.try_emplace("NO_COLOR", "");
    return {.environment = std::move(environment), .terminal_columns = 100};
  }
};

TEST_F(CliTerminal, MarksAreColoured) {
  const ProcessResult result = export_checkpoint({}, terminal());
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, kGreenMark)) << result.output;
}

TEST_F(CliTerminal, FailedChecksAreRed) {
  const ProcessResult result = export_checkpoint({"--reference", reference_file().string(), "--atol", "0"}, terminal());
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_TRUE(contains(result.output, kRedMark)) << result.output;
}

TEST_F(CliTerminal, NoColorIsHonoured) {
  const ProcessResult result = export_checkpoint({}, terminal({{"NO_COLOR", "1"}}));
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, "[✓]"));
  EXPECT_FALSE(contains(result.output, "\x1b[32m")) << result.output;
}

TEST_F(CliTerminal, DumbTerminalsGetPlainText) {
  const ProcessResult result = export_checkpoint({}, terminal({{"TERM", "dumb"}}));
  ASSERT_TRUE(succeeded(result));
  EXPECT_FALSE(contains(result.output, kEscape)) << result.output;
}

TEST_F(CliTerminal, PipesGetPlainText) {
  const ProcessResult result = export_checkpoint({}, {.environment = {{"TERM", "xterm-256color"}}});
  ASSERT_TRUE(succeeded(result));
  EXPECT_FALSE(contains(result.output, kEscape)) << result.output;
  EXPECT_FALSE(contains(result.output, "\r"));
  EXPECT_EQ(result.error, "") << "no progress bar";
}

}  // namespace
}  // namespace onnxport::testing
