#include "onnxport/hub.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>

#include "hub/cache.h"
#include "hub/http.h"
#include "hub_fixture.h"
#include "onnxport/error.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;
using hub::PartialBlob;

TEST_F(HubTest, CacheHasTheLayoutOfHuggingfaceHub) {
  const fs::path snapshot = download();
  const fs::path model = directory_ / "cache" / "models--organization--model";
  EXPECT_EQ(snapshot, model / "snapshots" / commit);
  expect_complete(snapshot);
  EXPECT_EQ(read(model / "refs" / "main"), commit);
  EXPECT_EQ(fs::read_symlink(snapshot / "config.json"), "../../blobs/" + git_sha1("{\"model_type\": \"bert\"}"));
  EXPECT_EQ(fs::read_symlink(snapshot / "1_Pooling" / "config.json"), "../../../blobs/" + git_sha1("{}"));
  EXPECT_EQ(fs::read_symlink(snapshot / "model.safetensors"), "../../blobs/" + sha256(noise(100'000)));
  EXPECT_TRUE(fs::exists(model / ".no_exist" / commit / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(model / ".no_exist" / commit / "config.json"));
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
}

TEST_F(HubTest, SecondDownloadFetchesNothingAndOfflineNeedsNoServer) {
  const fs::path snapshot = download();
  const std::size_t requests = server_.requests().size();
  EXPECT_EQ(download(), snapshot);
  EXPECT_EQ(server_.requests().size(), requests + 1);  // the description alone
  options_.local_files_only = true;
  EXPECT_EQ(download(), snapshot);
  EXPECT_EQ(server_.requests().size(), requests + 1);
  options_.local_files_only = false;
  ::setenv("HF_HUB_OFFLINE", "1", 1);
  EXPECT_EQ(download(), snapshot);
  ::unsetenv("HF_HUB_OFFLINE");
  EXPECT_EQ(server_.requests().size(), requests + 1);
}

TEST_F(HubTest, OfflineWithoutCacheIsRefused) {
  options_.local_files_only = true;
  EXPECT_NE(refusal().find("nor in the Hub's cache"), std::string::npos);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(HubTest, UnreachableHubLeavesTheCache) {
  const fs::path snapshot = download();
  options_.endpoint = "http://127.0.0.1:1";      // nobody listens
  options_.retry_delay = std::chrono::hours(1);  // and is not asked again
  std::string warning;
  options_.warn = [&](std::string_view line) { warning = line; };
  EXPECT_EQ(download(), snapshot);
  EXPECT_NE(warning.find("could not be reached"), std::string::npos);
  options_.cache_dir = directory_ / "other";
  EXPECT_NE(refusal().find("could not be reached"), std::string::npos);
}

TEST_F(HubTest, EnvironmentNamesEndpointCacheAndToken) {
  server_.models[model_id].token = "hf_secret";
  options_.endpoint.clear();
  options_.cache_dir.clear();
  ::setenv("HF_ENDPOINT", (server_.url() + "/").c_str(), 1);
  EXPECT_NE(refusal().find("--token"), std::string::npos);
  fs::create_directories(directory_ / "home");
  std::ofstream(directory_ / "home" / "token") << "hf_secret\n";
  EXPECT_EQ(download(), directory_ / "home" / "hub" / "models--organization--model" / "snapshots" / commit);
  ::setenv("HF_HUB_CACHE", (directory_ / "elsewhere").c_str(), 1);
  EXPECT_EQ(download(), directory_ / "elsewhere" / "models--organization--model" / "snapshots" / commit);
  ::unsetenv("HF_ENDPOINT");
  ::unsetenv("HF_HUB_CACHE");
}

TEST_F(HubTest, TokenStaysWithTheHub) {
  server_.models[model_id].token = "hf_secret";
  options_.token = "hf_secret";
  expect_complete(download());
  std::size_t storage_requests = 0;
  for (const HubRequest& request : server_.requests()) {
    const bool is_storage = request.host == server_.storage_host();
    storage_requests += is_storage ? 1 : 0;
    EXPECT_EQ(request.headers.contains("authorization"), !is_storage) << request.path;
  }
  EXPECT_EQ(storage_requests, 1);
  options_.token = "two\nlines";
  EXPECT_NE(refusal().find("characters"), std::string::npos);
}

TEST_F(HubTest, LargeFilesComeInRanges) {
  server_.models[model_id].files["model.safetensors"].content = noise(2 * PartialBlob::segment_size + 12345);
  std::vector<DownloadProgress> progress;
  options_.progress = [&](const DownloadProgress& now) { progress.push_back(now); };
  expect_complete(download());
  std::set<std::string> ranges;
  for (const HubRequest& request : server_.requests()) {
    if (request.host == server_.storage_host()) ranges.insert(request.headers.at("range"));
  }
  EXPECT_EQ(ranges.size(), 3);
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back().done, progress.back().total);
  EXPECT_GT(progress.back().total, 2 * PartialBlob::segment_size);
}

TEST_F(HubTest, ServerWithoutRangesWorks) {
  server_.models[model_id].files["model.safetensors"].content = noise(PartialBlob::segment_size + 54321);
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubRequest whole = request;
    whole.headers.erase("range");
    return server_.reply(whole);
  };
  expect_complete(download());
}

TEST_F(HubTest, InterruptedDownloadGoesOnWhereItStopped) {
  server_.models[model_id].files["model.safetensors"].content = noise(3 * PartialBlob::segment_size);
  options_.connections = 1;
  struct Interruption {};
  options_.progress = [](const DownloadProgress& now) {
    if (now.done >= 2 * PartialBlob::segment_size) throw Interruption();
  };
  // The third segment never comes, so that the interruption is in the middle.
  const std::string third = "bytes=" + std::to_string(2 * PartialBlob::segment_size);
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    const auto range = request.headers.find("range");
    if (range != request.headers.end() && range->second.starts_with(third)) reply.pause_milliseconds = 60'000;
    return reply;
  };
  EXPECT_THROW(download(), Interruption);
  EXPECT_FALSE(fs::exists(directory_ / "cache" / "models--organization--model" / "snapshots"));
  EXPECT_EQ(leftovers().size(), 2);

  server_.intercept = nullptr;
  options_.progress = nullptr;
  const std::size_t before = server_.count("/storage/");
  expect_complete(download());
  EXPECT_EQ(server_.count("/storage/"), before + 1);
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
}

TEST_F(HubTest, FailuresThatPassAreRepeated) {
  for (const int status : {429, 500, 502, 503, 504}) {
    options_.cache_dir = directory_ / std::to_string(status);
    std::map<std::string, int> requests;
    server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
      if (++requests[request.path] <= 2) return HubReply{.status = status};
      return std::nullopt;
    };
    expect_complete(download());
  }
}

TEST_F(HubTest, CutConnectionsAreRepeated) {
  std::map<std::string, int> requests;
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (++requests[request.path] <= 2) reply.cut_after = reply.body.size() / 2;
    return reply;
  };
  expect_complete(download());
}

TEST_F(HubTest, SilentServerIsGivenUp) {
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (request.path.starts_with("/storage/")) reply.pause_milliseconds = 60'000;
    return reply;
  };
  options_.connections = 1;
  const std::string message =
      refusal([](const std::vector<HubFile>&) { return std::vector<std::string>{"model.safetensors"}; });
  EXPECT_NE(message.find("model.safetensors"), std::string::npos) << message;
}

TEST_F(HubTest, LastingFailureNamesTheFile) {
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    if (request.path.starts_with("/storage/")) return HubReply{.status = 500};
    return std::nullopt;
  };
  const std::string message = refusal();
  EXPECT_NE(message.find("\"model.safetensors\""), std::string::npos) << message;
  EXPECT_NE(message.find("500"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(directory_ / "cache" / "models--organization--model" / "snapshots"));
}

TEST_F(HubTest, DamagedFileIsDiscarded) {
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (request.path.starts_with("/storage/")) reply.body[7] ^= 1;
    return reply;
  };
  options_.connections = 1;  // else another file may be left half done, to be gone on with
  EXPECT_NE(refusal().find("damaged"), std::string::npos);
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
  server_.intercept = nullptr;
  expect_complete(download());
}

TEST_F(HubTest, WrongSizesAreRefused) {
  for (const int change : {-1, 1}) {
    server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
      HubReply reply = server_.reply(request);
      if (request.path.starts_with("/storage/")) reply.body.resize(reply.body.size() + change);
      return reply;
    };
    EXPECT_NE(refusal().find("than the Hub says"), std::string::npos);
  }
}

TEST_F(HubTest, RefusalsSayWhatToDo) {
  HubServerModel& model = server_.models[model_id];
  options_.revision = "v2";
  EXPECT_NE(refusal().find("no revision \"v2\""), std::string::npos);
  options_.revision = "main";
  model.token = "hf_secret";
  EXPECT_NE(refusal().find("--token"), std::string::npos);
  model.is_gated = true;
  EXPECT_NE(refusal().find("is gated"), std::string::npos);
  server_.models.clear();
  EXPECT_NE(refusal().find("nor a model at"), std::string::npos);
}

TEST_F(HubTest, HostileDescriptionsAreRefused) {
  const std::string hash = git_sha1("x");
  const auto describe = [&](const std::string& files) {
    server_.intercept = [=](const HubRequest&) -> std::optional<HubReply> {
      return HubReply{.body = "{\"sha\": \"" + commit + "\", \"siblings\": " + files + "}"};
    };
  };
  for (const char* name : {"../../escape", "/etc/passwd", "a/../../b", "a\\\\b", "..", "a/./b", "\\u0001"}) {
    describe("[{\"rfilename\": \"" + std::string(name) + "\", \"size\": 1, \"blobId\": \"" + hash + "\"}]");
    EXPECT_NE(refusal().find("leads outside"), std::string::npos) << name;
  }
  describe("[{\"rfilename\": \"a\", \"size\": 1, \"blobId\": \"../../../../etc/passwd\"}]");
  EXPECT_NE(refusal().find("wrongly"), std::string::npos);
  describe("[{\"rfilename\": \"a\", \"size\": -1, \"blobId\": \"" + hash + "\"}]");
  EXPECT_NE(refusal().find("wrongly"), std::string::npos);
  describe("[{\"rfilename\": \"a\", \"size\": 9000000000000000000, \"blobId\": \"" + hash + "\"}]");
  EXPECT_NE(refusal().find("MiB"), std::string::npos);
  describe("7");
  EXPECT_NE(refusal().find("\"siblings\""), std::string::npos);
  server_.intercept = [](const HubRequest&) -> std::optional<HubReply> { return HubReply{.body = "<html>"}; };
  refusal();
}

TEST_F(HubTest, RedirectionsAreBoundedAndStayOnTheWeb) {
  std::string location;
  server_.intercept = [&](const HubRequest&) -> std::optional<HubReply> {
    return HubReply{.status = 307, .headers = {{"Location", location}}};
  };
  location = "/again";
  EXPECT_NE(refusal().find("without end"), std::string::npos);
  location = "file:///etc/passwd";
  EXPECT_NE(refusal().find("no URL"), std::string::npos);
}

TEST_F(HubTest, RenamedModelIsFoundUnderItsOldId) {
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    const std::size_t at = request.path.find("old-name");
    if (at == std::string::npos) return std::nullopt;
    std::string path = request.path;
    return HubReply{.status = 307, .headers = {{"Location", path.replace(at, 8, model_id)}}};
  };
  const fs::path snapshot = download_model("old-name", select_all, options_);
  EXPECT_EQ(snapshot.parent_path().parent_path().filename(), "models--old-name");
  expect_complete(snapshot);
}

TEST_F(HubTest, SubfolderAndRevision) {
  HubServerModel& model = server_.models[model_id];
  model.revisions.push_back("refs/pr/1");
  options_.revision = "refs/pr/1";
  options_.subfolder = "1_Pooling";
  const fs::path snapshot = download([](const auto& files) { return select_checkpoint_files(files, "1_Pooling"); });
  EXPECT_EQ(read(snapshot / "config.json"), "{}");
  EXPECT_FALSE(fs::exists(snapshot.parent_path() / "config.json"));
  EXPECT_EQ(read(directory_ / "cache" / "models--organization--model" / "refs" / "refs" / "pr" / "1"), commit);
  options_.subfolder = "../..";
  refusal();
}

TEST(HubNames, ModelIds) {
  for (const char* id : {"bert-base-uncased", "google/bert_uncased", "a/b.c", "x"}) EXPECT_TRUE(is_model_id(id)) << id;
  for (const char* id : {"", "a/b/c", "/a", "a/", "a--b", "a..b", "-a", "a b", "a.git", "../a", "http://x/y", "é"}) {
    EXPECT_FALSE(is_model_id(id)) << id;
  }
}

TEST(HubNames, CheckpointFiles) {
  const auto select = [](std::vector<std::string> names, std::string_view subfolder = {}) {
    std::vector<HubFile> files;
    for (std::string& name : names) files.push_back({std::move(name), 1});
    return select_checkpoint_files(files, subfolder);
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(select({"README.md", "config.json", "flax_model.msgpack", "model.safetensors", "pytorch_model.bin",
                    "tf_model.h5", "tokenizer.json", "onnx/model.onnx"}),
            (Names{"config.json", "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(select({"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                    "model.safetensors.index.json", "pytorch_model.bin"}),
            (Names{"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                   "model.safetensors.index.json"}));
  EXPECT_EQ(select({"config.json", "pytorch_model.bin", "tf_model.h5"}), (Names{"config.json", "pytorch_model.bin"}));
  EXPECT_EQ(select({"config.json", "tf_model.h5"}), (Names{"config.json", "tf_model.h5"}));
  EXPECT_EQ(select({"config.json", "modules.json", "model.safetensors", "1_Pooling/config.json",
                    "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", "other/config.json"}),
            (Names{"1_Pooling/config.json", "2_Dense/model.safetensors", "config.json", "model.safetensors",
                   "modules.json"}));
  EXPECT_EQ(select({"config.json", "unet/config.json", "unet/model.safetensors"}, "unet"),
            (Names{"unet/config.json", "unet/model.safetensors"}));
}

TEST(HubNames, VariantsOfWeights) {
  const auto select = [](std::vector<std::string> names, std::string_view variant) {
    std::vector<HubFile> files;
    for (std::string& name : names) files.push_back({std::move(name), 1});
    return select_checkpoint_files(files, {}, variant);
  };
  using Names = std::vector<std::string>;
  const Names all{"config.json",
                  "model-00001-of-00002.safetensors",
                  "model-00002-of-00002.safetensors",
                  "model.fp16-00001-of-00002.safetensors",
                  "model.fp16-00002-of-00002.safetensors",
                  "model-00001-of-00002.bf16.safetensors",
                  "model.safetensors.index.bf16.json",
                  "model.safetensors.index.fp16.json",
                  "model.safetensors.index.json",
                  "pytorch_model.int8.bin",
                  "tf_model.h5"};
  EXPECT_EQ(select(all, ""), (Names{"config.json", "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors", "model.safetensors.index.json"}));
  EXPECT_EQ(select(all, "fp16"), (Names{"config.json", "model.fp16-00001-of-00002.safetensors",
                                        "model.fp16-00002-of-00002.safetensors", "model.safetensors.index.fp16.json"}));
  EXPECT_EQ(select(all, "bf16"),
            (Names{"config.json", "model-00001-of-00002.bf16.safetensors", "model.safetensors.index.bf16.json"}));
  EXPECT_EQ(select(all, "int8"), (Names{"config.json", "pytorch_model.int8.bin"}));
  EXPECT_EQ(select({"config.json", "model.fp16.safetensors", "model.safetensors", "pytorch_model.fp16.bin"}, "fp16"),
            (Names{"config.json", "model.fp16.safetensors"}));
  EXPECT_EQ(select({"1_Dense/model.safetensors", "config.json", "model.fp16.safetensors", "modules.json"}, "fp16"),
            (Names{"1_Dense/model.safetensors", "config.json", "model.fp16.safetensors", "modules.json"}));
  try {
    select({"config.json", "model.safetensors", "model.bf16.safetensors", "tf_model.h5"}, "fp16");
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint);
    EXPECT_NE(
        std::string(error.what())
            .find("no weights of the variant \"fp16\" (model.fp16.safetensors, pytorch_model.fp16.bin or their index); "
                  "it has \"model.bf16.safetensors\", \"model.safetensors\", \"tf_model.h5\""),
        std::string::npos)
        << error.what();
  }
}

TEST(HubUrls, QuotingAndResolution) {
  EXPECT_EQ(hub::quote_url("a b/ü%", "/"), "a%20b/%C3%BC%25");
  EXPECT_EQ(hub::quote_url("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(hub::url_origin("HTTPS://Host/path"), "https://host:443");
  EXPECT_EQ(hub::url_origin("http://host:8080"), "http://host:8080");
  EXPECT_EQ(hub::url_origin("ftp://host/"), "");
  EXPECT_EQ(hub::resolve_url("https://host/a/b", "/c?d=%2F"), "https://host/c?d=%2F");
  EXPECT_EQ(hub::resolve_url("https://host/a", "https://other/b"), "https://other/b");
  EXPECT_EQ(hub::resolve_url("https://host/a", "javascript:x"), "");
}

}  // namespace
}  // namespace onnxport::testing
