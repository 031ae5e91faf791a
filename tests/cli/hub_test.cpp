// Models of the Hub, by the command line.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include <unistd.h>

#include "cli/cli_test.h"
#include "support/hub_server.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliHub : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint();
    HubServerModel& model = server_.models["organization/model"];
    for (const std::string& file : files("checkpoint")) {
      const fs::path from = path("checkpoint") / file;
      if (fs::is_regular_file(from)) {
        model.files[file] = {.content = read_file(from), .is_large = file.ends_with(".safetensors")};
      }
    }
    model.files["tokenizer_config.json"] = {.content = "{}"};
    model.files["README.md"] = {.content = "not needed"};
    fs::remove_all(path("checkpoint"));
  }

  ProcessResult export_model(const std::vector<std::string>& arguments, ProcessOptions options = {}) {
    std::vector<std::string> command{"export", "onnx", "--model", "organization/model"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    options.environment.try_emplace("HF_ENDPOINT", server_.url());
    options.environment.try_emplace("HF_HUB_OFFLINE", "0");
    options.environment["no_proxy"] = "127.0.0.1";
    return run(command, std::move(options));
  }

  ProcessResult answer(const std::string& model, ProcessOptions options = {}) {
    options.environment.try_emplace("HF_ENDPOINT", server_.url());
    options.environment.try_emplace("HF_HUB_OFFLINE", "0");
    options.environment["no_proxy"] = "127.0.0.1";
    return run({"run", "question-answering", "--model", model, "--question", "Where is it?",
                "You use the library to open a model."},
               std::move(options));
  }

  void add_tokenizer() {
    HubServerModel& model = server_.models["organization/model"];
    model.files["vocab.txt"] = {.content = read_file(source_directory() / "tests/examples/vocab.txt")};
    model.files["tokenizer_config.json"] = {
        .content = R"({"tokenizer_class": "DistilBertTokenizer", "model_max_length": 64})"};
  }

  HubServer server_;
};

TEST_F(CliHub, ModelIsDownloadedOnceAndExported) {
  const ProcessResult result = export_model({"out"});
  EXPECT_EQ(result.exit_status, 0) << result.error;
  EXPECT_TRUE(result.output.ends_with("The ONNX export succeeded and the exported model was saved at: out\n"));
  EXPECT_TRUE(fs::exists(path("out/model.onnx")));
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(path("out/tokenizer_config.json"))));
  EXPECT_EQ(server_.count("README.md"), 0);
  const std::size_t requests = server_.requests().size();
  EXPECT_EQ(export_model({"again"}, {.environment = {{"HF_HUB_OFFLINE", "1"}}}).exit_status, 0);
  EXPECT_EQ(server_.requests().size(), requests);
  EXPECT_EQ(read_file(path("again/model.onnx")), read_file(path("out/model.onnx")));
}

TEST_F(CliHub, ProgressIsDrawnOnATerminalOnly) {
  // Slow enough to be seen.
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (request.path.starts_with("/storage/")) reply.pause_milliseconds = 700;
    return reply;
  };
  const ProcessResult piped = export_model({"--cache_dir", "one", "--quiet", "out"});
  EXPECT_EQ(piped.output + piped.error, "");
  const ProcessResult shown = export_model({"--cache_dir", "two", "out"}, {.terminal_columns = 100});
  EXPECT_NE(shown.output.find("Downloading organization/model"), std::string::npos);
}

TEST_F(CliHub, KilledDownloadGoesOn) {
  // The weights never come; everything else does.
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (request.path.starts_with("/storage/")) reply.pause_milliseconds = 60'000;
    return reply;
  };
  const ProcessResult killed = export_model({"out"}, {.kill_after = std::chrono::seconds(3)});
  EXPECT_EQ(killed.signal, 9);
  EXPECT_FALSE(fs::exists(path("out")));
  server_.intercept = nullptr;
  const std::size_t configs = server_.count("resolve/" + std::string(40, 'a') + "/config.json");
  EXPECT_EQ(configs, 1);
  const ProcessResult result = export_model({"out"});
  EXPECT_EQ(result.exit_status, 0) << result.error;
  EXPECT_EQ(server_.count("resolve/" + std::string(40, 'a') + "/config.json"), configs);
}

/// Killed when two of three segments are there: those do not come again.
TEST_F(CliHub, KilledDownloadKeepsItsSegments) {
  constexpr std::size_t segment = 16 << 20;
  HubServerModel& model = server_.models["organization/model"];
  model.files["tokenizer.model"] = {.content = std::string(2 * segment + 1000, 'x'), .is_large = true};
  const std::string third = "bytes=" + std::to_string(2 * segment);
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    const auto range = request.headers.find("range");
    if (range == request.headers.end() || !range->second.starts_with(third)) return std::nullopt;
    HubReply reply = server_.reply(request);
    reply.pause_milliseconds = 60'000;
    return reply;
  };
  const fs::path blob =
      path("cache/models--organization--model/blobs") / sha256(model.files["tokenizer.model"].content);
  const auto complete_segments = [&] {
    const std::string journal = fs::exists(blob.string() + ".journal") ? read_file(blob.string() + ".journal") : "";
    return std::count(journal.begin(), journal.end(), '\n');
  };
  const fs::path process_file = path("process");
  std::atomic<bool> over = false;
  std::thread killer([&] {
    while (!over && complete_segments() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (!over) ::kill(std::stoi(read_file(process_file)), SIGKILL);
  });
  const ProcessResult killed = export_model({"--cache_dir", "cache", "out"}, {.prepare = [&] {
                                              std::ofstream(process_file) << ::getpid();
                                              return true;
                                            }});
  over = true;
  killer.join();
  EXPECT_EQ(killed.signal, SIGKILL) << killed.error;
  EXPECT_FALSE(fs::exists(blob));

  server_.intercept = nullptr;
  const std::size_t before = server_.count("/storage/" + blob.filename().string());
  const ProcessResult result = export_model({"--cache_dir", "cache", "out"});
  EXPECT_EQ(result.exit_status, 0) << result.error;
  EXPECT_EQ(server_.count("/storage/" + blob.filename().string()), before + 1);
  EXPECT_TRUE(read_file(path("out/tokenizer.model")) == model.files["tokenizer.model"].content);
}

/// The weights pass through the disk of the output, and nothing of them stays in the cache.
TEST_F(CliHub, StreamedModelLeavesNoWeights) {
  const ProcessResult result = export_model({"--stream", "--cache_dir", "cache", "out"});
  EXPECT_EQ(result.exit_status, 0) << result.error;
  EXPECT_TRUE(result.output.ends_with("The ONNX export succeeded and the exported model was saved at: out\n"));
  const HubServerModel& model = server_.models["organization/model"];
  EXPECT_FALSE(fs::exists(path("cache/models--organization--model/blobs") /
                          sha256(model.files.at("model.safetensors").content)));
  EXPECT_EQ(export_model({"--cache_dir", "other", "usual"}).exit_status, 0);
  EXPECT_TRUE(read_file(path("usual/model.onnx")) == read_file(path("out/model.onnx")));
}

TEST_F(CliHub, RevisionTokenAndCacheAreTakenFromTheCommandLine) {
  HubServerModel& model = server_.models["organization/model"];
  model.token = "hf_secret";
  model.revisions = {"v1"};
  const std::vector<std::string> wrong_revision{"--token", "hf_secret", "--revision", "v2", "out"};
  const ProcessResult refused = export_model(wrong_revision);
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_NE(refused.error.find("no revision \"v2\""), std::string::npos) << refused.error;
  EXPECT_EQ(refused.error.find("hf_secret"), std::string::npos);
  const ProcessResult result =
      export_model({"--token", "hf_secret", "--revision", "v1", "--cache_dir", "cache", "out"});
  EXPECT_EQ(result.exit_status, 0) << result.error;
  EXPECT_TRUE(fs::exists(path("cache/models--organization--model/refs/v1")));
}

TEST_F(CliHub, RunExportsWhatHasNoOnnxFile) {
  add_tokenizer();
  const ProcessResult first = answer("organization/model");
  EXPECT_EQ(first.exit_status, 0) << first.error;
  EXPECT_NE(first.error.find("No ONNX files were found for organization/model"), std::string::npos) << first.error;
  EXPECT_EQ(server_.count("README.md"), 0);
  // The same as what an export leaves, which needs no note; here as another model of the Hub.
  ASSERT_EQ(export_model({"--quiet", "--no-validate", "out"}).exit_status, 0);
  HubServerModel& exported = server_.models["organization/exported"];
  for (const std::string& file : files("out")) {
    if (fs::is_regular_file(path("out") / file)) {
      exported.files[(file.ends_with(".onnx") ? "onnx/" : "") + file] = {.content = read_file(path("out") / file)};
    }
  }
  exported.files["model.safetensors"] = {.content = "not needed", .is_large = true};
  const ProcessResult second = answer("organization/exported");
  EXPECT_EQ(second.exit_status, 0) << second.error;
  EXPECT_EQ(second.error, "");
  EXPECT_EQ(second.output, first.output);
  EXPECT_EQ(server_.count("organization/exported/resolve/" + std::string(40, 'a') + "/model.safetensors"), 0);
  // Both are in the cache now.
  const std::size_t requests = server_.requests().size();
  EXPECT_EQ(answer("organization/model", {.environment = {{"HF_HUB_OFFLINE", "1"}}}).output, first.output);
  EXPECT_EQ(server_.requests().size(), requests);
}

TEST_F(CliHub, RunShowsDownloadsOnATerminal) {
  add_tokenizer();
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (request.path.starts_with("/storage/")) reply.pause_milliseconds = 700;
    return reply;
  };
  const ProcessResult shown = answer("organization/model", {.terminal_columns = 100});
  EXPECT_NE(shown.output.find("Downloading organization/model"), std::string::npos) << shown.output;
}

TEST_F(CliHub, UnknownModelIsOneLine) {
  server_.models.clear();
  const ProcessResult result = export_model({"out"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_NE(result.error.find("nor a model at"), std::string::npos) << result.error;
  EXPECT_FALSE(fs::exists(path("out")));
}

}  // namespace
}  // namespace onnxport::testing
