// The output directory holds a complete model or what it held before, whatever happens to the export.
#include <csignal>

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_test.h"
#include "onnx/inspect.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliAtomicOutput : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint();
  }

  /// No directory of an unfinished export is left.
  void expect_no_leftovers() const {
    for (const std::string& name : files()) EXPECT_FALSE(contains(name, ".onnxport-")) << name;
  }

  void expect_complete_model() const {
    EXPECT_EQ(files("out"), (std::vector<std::string>{"config.json", "model.onnx"}));
    EXPECT_NO_THROW(onnx::inspect_model(path("out/model.onnx")));
  }
};

/// Mounts, seen by the child alone, something over a directory. False where that is forbidden.
bool mount_over(const fs::path& directory, unsigned long flags, const char* options) {
  return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", directory.c_str(), "tmpfs", flags, options) == 0;
}

/// By its permissions, which bind root only without the capability to override them.
bool forbid_writing(const fs::path& directory) {
  return chmod(directory.c_str(), 0555) == 0 &&
         (geteuid() != 0 || prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0);
}

/// Writes beyond this many bytes fail with EFBIG, as they would with ENOSPC on a disk that is full.
bool limit_file_size(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  return std::signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

TEST_F(CliAtomicOutput, FileThatCannotGrow) {
  const ProcessResult result = export_checkpoint({}, {.prepare = [] { return limit_file_size(8192); }});
  EXPECT_TRUE(failed(result, 1, {"model.onnx", "File too large"}));
  EXPECT_FALSE(fs::exists(path("out")));
  expect_no_leftovers();
}

/// On a real file system of 16 kB where one can be mounted, else with the limit above.
TEST_F(CliAtomicOutput, FullDisk) {
  fs::create_directory(path("disk"));
  const fs::path disk = path("disk");
  const ProcessResult result =
      run({"export", "onnx", "-m", "checkpoint", "disk/out"},
          {.prepare = [disk] { return mount_over(disk, 0, "size=16k") || limit_file_size(8192); }});
  EXPECT_TRUE(failed(result, 1, {"model.onnx"}));
  EXPECT_TRUE(contains(result.error, "No space left on device") || contains(result.error, "File too large"))
      << result.error;
}

TEST_F(CliAtomicOutput, ReadOnlyOutput) {
  fs::create_directory(path("disk"));
  const fs::path disk = path("disk");
  const ProcessResult result =
      run({"export", "onnx", "-m", "checkpoint", "disk/out"},
          {.prepare = [disk] { return mount_over(disk, MS_RDONLY, "") || forbid_writing(disk); }});
  EXPECT_TRUE(failed(result, 1, {"disk"}));
  EXPECT_TRUE(contains(result.error, "Read-only file system") || contains(result.error, "Permission denied"))
      << result.error;
}

TEST_F(CliAtomicOutput, FileInPlaceOfTheDirectory) {
  write_file(path("out"), "precious");
  EXPECT_TRUE(failed(export_checkpoint(), 1, {"out", "Not a directory"}));
  EXPECT_EQ(read_file(path("out")), "precious");
}

TEST_F(CliAtomicOutput, FileInPlaceOfAParent) {
  write_file(path("parent"), "precious");
  EXPECT_TRUE(failed(run({"export", "onnx", "-m", "checkpoint", "parent/out"}), 1, {"parent"}));
  EXPECT_EQ(read_file(path("parent")), "precious");
}

TEST_F(CliAtomicOutput, OutputIsTheCheckpoint) {
  const std::string weights = read_file(path("checkpoint/model.safetensors"));
  ASSERT_TRUE(succeeded(run({"export", "onnx", "-m", "checkpoint", "checkpoint", "--quiet"})));
  EXPECT_EQ(files("checkpoint"), (std::vector<std::string>{"config.json", "model.onnx", "model.safetensors"}));
  EXPECT_EQ(read_file(path("checkpoint/model.safetensors")), weights);
}

TEST_F(CliAtomicOutput, AModelIsReplacedWhenTheNextIsComplete) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet"})));
  const std::string first = read_file(path("out/model.onnx"));
  write_file(path("out/notes.txt"), "the user's own");
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--opset", "17"})));
  EXPECT_NE(read_file(path("out/model.onnx")), first);
  EXPECT_EQ(read_file(path("out/notes.txt")), "the user's own");
  expect_no_leftovers();
}

TEST_F(CliAtomicOutput, AModelStaysWhenTheNextFails) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet"})));
  const std::string first = read_file(path("out/model.onnx"));
  const auto expect_first = [&](const ProcessResult& result) {
    EXPECT_EQ(result.exit_status, 1) << result.error;
    EXPECT_EQ(read_file(path("out/model.onnx")), first);
    expect_complete_model();
    expect_no_leftovers();
  };
  expect_first(export_checkpoint({}, {.prepare = [] { return limit_file_size(8192); }}));
  expect_first(export_checkpoint({"--reference", reference_file().string(), "--atol", "0"}));
  expect_first(export_checkpoint({"--task", "fill-mask"}));
}

/// Kills exports at moments all through their duration. None leaves half a model under the final name, nor disturbs the
/// next export.
class CliKilled : public CliAtomicOutput, public ::testing::WithParamInterface<bool> {
 protected:
  ProcessResult export_once(ProcessOptions options = {}) const {
    std::vector<std::string> arguments{"--quiet"};
    if (!GetParam()) arguments.emplace_back("--no-validate");
    return export_checkpoint(arguments, std::move(options));
  }

  template <typename Check>
  void kill_at_all_moments(Check check) {
    const ProcessResult whole = export_once();
    ASSERT_TRUE(succeeded(whole));
    check();
    const int moments = GetParam() ? 5 : 10;  // validation takes most of the time, and writes nothing
    int killed = 0;
    for (int moment = 0; moment < moments; ++moment) {
      const auto when = std::chrono::microseconds(static_cast<std::int64_t>(whole.seconds * 1e6 * moment / moments));
      const ProcessResult result = export_once({.kill_after = when});
      killed += result.signal == SIGKILL ? 1 : 0;
      EXPECT_TRUE(result.signal == SIGKILL || succeeded(result)) << result.error;
      check();
    }
    EXPECT_GT(killed, 1);
    ASSERT_TRUE(succeeded(export_once()));
    expect_complete_model();
    expect_no_leftovers();
  }
};

TEST_P(CliKilled, InTheMiddle) {
  kill_at_all_moments([&] {
    if (fs::exists(path("out"))) expect_complete_model();
    fs::remove_all(path("out"));
  });
}

TEST_P(CliKilled, WhileReplacing) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--no-validate", "--opset", "17"})));
  const std::string old_model = read_file(path("out/model.onnx"));
  ASSERT_TRUE(succeeded(export_once()));
  const std::string new_model = read_file(path("out/model.onnx"));
  kill_at_all_moments([&] {
    const std::string model = read_file(path("out/model.onnx"));
    EXPECT_TRUE(model == old_model || model == new_model) << "neither the old nor the new model";
    write_file(path("out/model.onnx"), old_model);
  });
}

INSTANTIATE_TEST_SUITE_P(All, CliKilled, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Validating" : "Writing"; });

}  // namespace
}  // namespace onnxport::testing
