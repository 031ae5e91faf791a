// --stream: what a model of the Hub becomes while it is downloaded, and what of it is on the disk.
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "checkpoint/checkpoint.h"
#include "core/tensor_source.h"
#include "hub/weight_stream.h"
#include "hub_fixture.h"
#include "onnxport/exporter.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

using hub::WeightStream;

fs::path fixture(const std::string& model) {
  return source_directory() / "tests/checkpoint_formats/fixtures/tensorflow" / model;
}

class StreamTest : public HubTest {
 protected:
  StreamTest() { fs::create_directories(directory_ / "work"); }

  /// The Hub's model becomes one of the fixtures.
  void serve(const std::string& model, const std::string& weights = "expected.safetensors",
             const std::string& name = "model.safetensors") {
    fs::remove_all(directory_ / "cache");
    auto& files = server_.models[model_id].files;
    files.clear();
    files["config.json"] = {.content = read(fixture(model) / "config.json")};
    files[name] = {.content = read(fixture(model) / weights), .is_large = true};
  }

  /// The fixture's weights in two files.
  void serve_shards(const std::string& model) {
    serve(model);
    auto& files = server_.models[model_id].files;
    files.erase("model.safetensors");
    std::map<std::string, TensorSource, std::less<>> shards[2];
    Json weight_map;
    int number = 0;
    for (const auto& [name, source] : read_safetensors(fixture(model) / "expected.safetensors")) {
      const int shard = number++ % 2;
      shards[shard].emplace(name, source);
      weight_map.set(name, shard_name(shard));
    }
    for (const int shard : {0, 1}) {
      const fs::path path = directory_ / shard_name(shard);
      write_safetensors(path, shards[shard]);
      files[shard_name(shard)] = {.content = read(path), .is_large = true};
      fs::remove(path);
    }
    Json index;
    index.set("weight_map", std::move(weight_map));
    files["model.safetensors.index.json"] = {.content = dump_json(index)};
  }
  static std::string shard_name(int shard) {
    return "model-0000" + std::to_string(shard + 1) + "-of-00002.safetensors";
  }

  ExportOptions export_options() const {
    ExportOptions options;
    options.model = model_id;
    options.output = directory_ / "work" / "out";
    options.hub = options_;
    return options;
  }

  /// The ONNX files of an export by name; they are removed.
  std::map<std::string, std::string> exported(const ExportOptions& options) const {
    const ExportResult result = export_onnx(options);
    EXPECT_EQ(result.validated, options.validate);
    std::map<std::string, std::string> files;
    for (const fs::path& file : result.files) {
      if (file.extension() != ".json") files.emplace(file.filename().string(), read(file));
    }
    fs::remove_all(options.output);
    return files;
  }

  /// Exports with a stream, and without one into another cache: gives what the former wrote, which has to be the same.
  std::map<std::string, std::string> expect_equal_to_download(ExportOptions options) {
    options.stream = true;
    std::map<std::string, std::string> streamed = exported(options);
    EXPECT_FALSE(streamed.empty());
    expect_no_weights();
    options.stream = false;
    options.hub.cache_dir = directory_ / "other-cache";
    EXPECT_TRUE(exported(options) == streamed);
    fs::remove_all(options.hub.cache_dir);
    return streamed;
  }

  /// Nothing is on the disk but what the cache has of small files.
  void expect_no_weights() const {
    std::set<std::string> etags;
    for (const auto& [path, file] : server_.models.at(model_id).files) {
      if (!file.is_large) etags.insert(git_sha1(file.content));
    }
    const fs::path blobs = directory_ / "cache" / "models--organization--model" / "blobs";
    for (const auto& entry : fs::directory_iterator(blobs)) {
      EXPECT_TRUE(etags.contains(entry.path().filename().string())) << entry.path();
    }
    EXPECT_TRUE(fs::is_empty(directory_ / "work"));
  }

  std::string stream_refusal(ErrorKind kind, ExportOptions options) {
    options.stream = true;
    try {
      export_onnx(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_TRUE(fs::is_empty(directory_ / "work"));
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return {};
  }

  /// What the files below a directory take of the disk.
  static std::uint64_t room_of(const fs::path& directory) {
    std::uint64_t room = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(directory, error), end; entry != end; entry.increment(error)) {
      struct stat status {};
      if (::lstat(entry->path().c_str(), &status) == 0) room += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    return room;
  }
};

TEST_F(StreamTest, GivesWhatADownloadGives) {
  for (const char* model : {"bert", "gpt2", "vit", "t5"}) {
    SCOPED_TRACE(model);
    serve(model);
    expect_equal_to_download(export_options());
  }
}

TEST_F(StreamTest, InOtherTypesAndPlaces) {
  serve("bert");
  for (const char* type : {"fp16", "bf16"}) {
    ExportOptions options = export_options();
    options.dtype = type;
    expect_equal_to_download(options);
  }
  serve("vit");  // has a tensor that is large enough to lie outside
  ExportOptions options = export_options();
  options.external_data = ExternalData::Always;
  EXPECT_TRUE(expect_equal_to_download(options).contains("model.onnx_data"));
}

/// Fused operators take their weights packed: the reference needs what they were packed of.
TEST_F(StreamTest, WithFusedOperators) {
  serve("bert");
  ExportOptions options = export_options();
  options.optimize = "O2";
  expect_equal_to_download(options);
}

TEST_F(StreamTest, UnderOtherNames) {
  serve("bert");
  HubServerFile& file = server_.models[model_id].files["config.json"];
  Json config = parse_json(file.content, "config.json");
  config.set("model_type", "acme");
  file.content = dump_json(config);
  ExportOptions options = export_options();
  options.architecture = {.model_type = "bert",
                          .weights_map = R"({"bert.encoder.*": "encoder.*", "bert.embeddings.*": "embeddings.*"})"};
  expect_equal_to_download(options);
}

TEST_F(StreamTest, OfShards) {
  serve_shards("bert");
  expect_equal_to_download(export_options());
}

TEST_F(StreamTest, OfTensorFlowsSafetensors) {
  serve("bert", "tf.safetensors");
  expect_equal_to_download(export_options());
}

TEST_F(StreamTest, OfAVariantInASubfolder) {
  serve("bert", "expected.safetensors", "model.fp16.safetensors");
  auto& files = server_.models[model_id].files;
  for (const char* name : {"config.json", "model.fp16.safetensors"}) {
    files[std::string("folder/") + name] = files.at(name);
    files.erase(name);
  }
  ExportOptions options = export_options();
  options.variant = "fp16";
  options.hub.subfolder = "folder";
  expect_equal_to_download(options);
}

/// A tensor that is longer than a segment is written in pieces, and what was written makes room for what comes.
TEST_F(StreamTest, DiskHoldsTheOutputAndAWindow) {
  serve("bert-base");
  auto& files = server_.models[model_id].files;
  auto tensors = read_safetensors(fixture("bert-base") / "expected.safetensors");
  constexpr std::int64_t vocabulary = 1'500'000;
  Array words(DataType::Float32, {vocabulary, 8});
  const std::string values = noise(static_cast<std::size_t>(words.element_count()));
  std::transform(values.begin(), values.end(), words.mutable_data<float>(), [](char c) { return c / 256.0F; });
  tensors["embeddings.word_embeddings.weight"] = from_array(words);
  write_safetensors(directory_ / "large", tensors);
  files["model.safetensors"] = {.content = read(directory_ / "large"), .is_large = true};
  fs::remove(directory_ / "large");
  Json config = parse_json(files["config.json"].content, "config.json");
  config.set("vocab_size", vocabulary);
  files["config.json"].content = dump_json(config);

  ExportOptions options = export_options();
  options.stream = true;
  options.hub.connections = 1;
  std::uint64_t most = 0;
  DownloadProgress last;
  options.hub.progress = [&](const DownloadProgress& now) {
    most = std::max(most, room_of(directory_));
    last = now;
  };
  for (const char* type : {"fp32", "fp16"}) {
    most = 0;
    options.dtype = type;
    const ExportResult result = export_onnx(options);
    EXPECT_TRUE(result.validated);
    const std::uint64_t output = room_of(options.output);
    EXPECT_GT(output, 20U << 20);
    // A connection, two segments ahead of the reader, and the one that it reads.
    EXPECT_LE(most, output + 4 * WeightStream::segment_size + (1U << 20)) << type;
    EXPECT_EQ(last.done, last.total);
    EXPECT_GT(last.total, std::uint64_t{40} << 20);
    fs::remove_all(options.output);
    expect_no_weights();
  }
}

TEST_F(StreamTest, DamagedWeightsLeaveNothing) {
  serve("bert");
  const std::string& content = server_.models[model_id].files["model.safetensors"].content;
  // In the header, which still describes a model (one whose first normalization has no bias), and in the data.
  for (const std::size_t position : {content.find("bert.embeddings.LayerNorm.bias"), content.size() - 5}) {
    ASSERT_NE(position, std::string::npos);
    server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
      HubReply reply = server_.reply(request);
      if (request.path.starts_with("/storage/")) reply.body[position] ^= 1;
      return reply;
    };
    EXPECT_NE(stream_refusal(ErrorKind::HubFailed, export_options()).find("arrived damaged"), std::string::npos);
    expect_no_weights();
  }
}

TEST_F(StreamTest, HostileHeadersLeaveNothing) {
  serve("bert");
  std::string& content = server_.models[model_id].files["model.safetensors"].content;
  const std::string intact = content;
  for (const std::string& begin : {std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8), std::string(8, '\0'),
                                   std::string("\x00\x00\x00\x05\x00\x00\x00\x00", 8)}) {
    content = begin + intact.substr(8);
    EXPECT_NE(stream_refusal(ErrorKind::InvalidCheckpoint, export_options()).find("safetensors"), std::string::npos);
  }
  content = "abc";
  stream_refusal(ErrorKind::InvalidCheckpoint, export_options());
  content = "";
  stream_refusal(ErrorKind::InvalidCheckpoint, export_options());
}

TEST_F(StreamTest, CutConnectionsGoOnWhereTheyStopped) {
  serve("bert");
  std::map<std::string, int> requests;
  std::vector<std::string> ranges;
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    HubReply reply = server_.reply(request);
    if (!request.path.starts_with("/storage/")) return reply;
    ranges.push_back(request.headers.contains("range") ? request.headers.at("range") : "");
    // A quarter each time: more often than a request is repeated that brings nothing.
    reply.cut_after = std::max<std::size_t>(reply.body.size() / 4, 512);
    return reply;
  };
  ExportOptions options = export_options();
  options.stream = true;
  exported(options);
  EXPECT_GT(ranges.size(), 6U);
  EXPECT_EQ(std::set<std::string>(ranges.begin(), ranges.end()).size(), ranges.size()) << "something came twice";
  expect_no_weights();
}

TEST_F(StreamTest, LastingFailuresLeaveNothing) {
  serve("bert");
  int requests = 0;
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubReply> {
    // The header comes, the rest does not.
    if (!request.path.starts_with("/storage/") || ++requests == 1) return std::nullopt;
    return HubReply{.status = 500};
  };
  // More than is asked for with the header.
  server_.models[model_id].files["model.safetensors"].content += noise(100'000);
  std::string message = stream_refusal(ErrorKind::InvalidCheckpoint, export_options());
  EXPECT_NE(message.find("behind its last tensor"), std::string::npos) << message;

  serve("bert");
  requests = 1;
  message = stream_refusal(ErrorKind::HubFailed, export_options());
  EXPECT_NE(message.find("500"), std::string::npos) << message;
  server_.intercept = nullptr;

  ExportOptions options = export_options();
  options.hub.local_files_only = true;
  EXPECT_NE(stream_refusal(ErrorKind::HubFailed, options).find("offline"), std::string::npos);
  options = export_options();
  options.hub.endpoint = "http://127.0.0.1:1";  // nobody listens
  EXPECT_NE(stream_refusal(ErrorKind::HubFailed, options).find("could not be reached"), std::string::npos);
  server_.models[model_id].token = "hf_secret";
  EXPECT_NE(stream_refusal(ErrorKind::HubFailed, export_options()).find("--token"), std::string::npos);
}

TEST_F(StreamTest, WeightsThatTheCacheHasAreTakenThere) {
  serve_shards("bert");
  const std::map<std::string, std::string> expected = exported(export_options());
  // One of both shards is there.
  fs::remove(directory_ / "cache" / "models--organization--model" / "blobs" /
             sha256(server_.models[model_id].files[shard_name(1)].content));
  const std::size_t before = server_.count("/storage/");
  ExportOptions options = export_options();
  options.stream = true;
  EXPECT_TRUE(exported(options) == expected);
  EXPECT_EQ(server_.count("/storage/"), before + 1);
  EXPECT_TRUE(fs::is_empty(directory_ / "work"));
}

TEST_F(StreamTest, OtherFormatsAreDownloaded) {
  for (const auto& [file, name] : {std::pair<const char*, const char*>{"pytorch_model.bin", "pytorch_model.bin"},
                                   std::pair<const char*, const char*>{"tf_model.h5", "tf_model.h5"}}) {
    serve("bert", file, name);
    ExportOptions options = export_options();
    options.stream = true;
    std::string warning;
    options.warn = [&](std::string_view line) { warning = line; };
    EXPECT_FALSE(exported(options).empty());
    EXPECT_NE(warning.find("--stream needs weights in safetensors files"), std::string::npos);
    EXPECT_TRUE(fs::is_empty(directory_ / "work"));
  }
}

TEST_F(StreamTest, DirectoriesNeedNone) {
  serve("bert");
  const fs::path snapshot = download();
  ExportOptions options = export_options();
  options.model = snapshot;
  options.stream = true;
  std::string warning;
  options.warn = [&](std::string_view line) { warning = line; };
  EXPECT_FALSE(exported(options).empty());
  EXPECT_NE(warning.find("--stream changes nothing"), std::string::npos);
  options.weights = WeightsMode::Reference;
  EXPECT_NE(stream_refusal(ErrorKind::InvalidArgument, options).find("--weights reference"), std::string::npos);
}

}  // namespace
}  // namespace onnxport::testing
