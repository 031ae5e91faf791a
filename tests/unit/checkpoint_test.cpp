#include "checkpoint/checkpoint.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/temporary_directory.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// A checkpoint directory under construction.
class CheckpointTest : public testing::Test {
 protected:
  void write(std::string_view name, std::string_view text) {
    std::ofstream stream(directory_ / name, std::ios::binary);
    stream << text;
  }

  void write_config() { write("config.json", R"({"model_type": "bert", "hidden_size": 4})"); }

  /// A file in which every tensor is one float32: its value.
  void write_weights(std::string_view name, const std::map<std::string, float>& values) {
    std::map<std::string, TensorSource, std::less<>> tensors;
    for (const auto& [tensor, value] : values) {
      tensors.emplace(tensor, from_array(Array::float32({1}, std::vector<float>{value})));
    }
    write_safetensors(directory_ / name, tensors);
  }

  void write_shards() {
    write_weights("model-00001-of-00002.safetensors", {{"a", 1.0F}, {"b", 2.0F}});
    write_weights("model-00002-of-00002.safetensors", {{"c", 3.0F}, {"unlisted", 4.0F}});
  }

  void write_index(std::string_view weight_map) {
    write("model.safetensors.index.json",
          R"({"metadata": {"total_size": 12}, "weight_map": )" + std::string(weight_map) + "}");
  }

  float value(const Checkpoint& checkpoint, std::string_view name) {
    const TensorSource* source = checkpoint.find(name);
    if (source == nullptr) {
      ADD_FAILURE() << "no tensor " << name;
      return 0.0F;
    }
    return *materialize(*source).data<float>();
  }

  std::string error(std::string_view variant = {}) {
    try {
      open_checkpoint(directory_, variant);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint);
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
  }

  void expect_error(std::string_view part, std::string_view variant = {}) {
    const std::string message = error(variant);
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nexpected: " << part;
  }

  const TemporaryDirectory temporary_;
  fs::path directory_ = temporary_.path();
};

constexpr std::string_view kWeightMap =
    R"({"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors",)"
    R"( "c": "model-00002-of-00002.safetensors"})";

TEST_F(CheckpointTest, SingleFile) {
  write_config();
  write_weights("model.safetensors", {{"x", 1.0F}, {"y", 2.0F}});
  const Checkpoint checkpoint = open_checkpoint(directory_);
  EXPECT_EQ(checkpoint.directory, directory_);
  EXPECT_EQ(checkpoint.config.find("model_type")->string(), "bert");
  EXPECT_EQ(checkpoint.weight_files, std::vector<fs::path>{directory_ / "model.safetensors"});
  EXPECT_EQ(value(checkpoint, "y"), 2.0F);
  EXPECT_EQ(checkpoint.find("z"), nullptr);
  EXPECT_EQ(checkpoint.byte_size(), 8U);
}

TEST_F(CheckpointTest, Shards) {
  write_config();
  write_shards();
  write_index(kWeightMap);
  const Checkpoint checkpoint = open_checkpoint(directory_);
  EXPECT_EQ(checkpoint.weight_files, (std::vector<fs::path>{directory_ / "model-00001-of-00002.safetensors",
                                                            directory_ / "model-00002-of-00002.safetensors"}));
  EXPECT_EQ(value(checkpoint, "a"), 1.0F);
  EXPECT_EQ(value(checkpoint, "b"), 2.0F);
  EXPECT_EQ(value(checkpoint, "c"), 3.0F);
  EXPECT_EQ(checkpoint.find("unlisted"), nullptr);
  EXPECT_EQ(checkpoint.find("a")->file, checkpoint.find("b")->file);
}

TEST_F(CheckpointTest, SingleFileComesBeforeShards) {
  write_config();
  write_shards();
  write_index(kWeightMap);
  write_weights("model.safetensors", {{"a", 9.0F}});
  EXPECT_EQ(value(open_checkpoint(directory_), "a"), 9.0F);
}

TEST_F(CheckpointTest, Variants) {
  write_config();
  write_weights("model.safetensors", {{"a", 1.0F}});
  write_weights("model.fp16.safetensors", {{"a", 2.0F}});
  write_weights("model.int8-00001-of-00001.safetensors", {{"a", 3.0F}});
  write("model.safetensors.index.int8.json", R"({"weight_map": {"a": "model.int8-00001-of-00001.safetensors"}})");
  EXPECT_EQ(value(open_checkpoint(directory_), "a"), 1.0F);
  EXPECT_EQ(value(open_checkpoint(directory_, "fp16"), "a"), 2.0F);
  EXPECT_EQ(value(open_checkpoint(directory_, "int8"), "a"), 3.0F);
  expect_error("there is none of model.bf16.safetensors, model.safetensors.index.bf16.json, pytorch_model.bf16.bin",
               "bf16");
  expect_error("\"model.fp16.safetensors\"", "bf16");
}

TEST_F(CheckpointTest, VariantMustBeAName) {
  write_config();
  for (const std::string_view variant : {"../x", "a/b", "..", "a\\b"}) {
    try {
      open_checkpoint(directory_, variant);
      ADD_FAILURE() << variant;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    }
  }
}

TEST_F(CheckpointTest, LinksMayLeadElsewhere) {
  // The layout of the hub's cache: snapshots/<revision>/model.safetensors -> ../../blobs/<hash>
  fs::create_directories(directory_ / "blobs");
  fs::create_directories(directory_ / "snapshots" / "0");
  write("blobs/1", R"({"model_type": "bert"})");
  write_weights("blobs/2", {{"a", 5.0F}});
  write("blobs/3", R"({"weight_map": {"a": "model-00001-of-00001.safetensors"}})");
  const fs::path snapshot = directory_ / "snapshots" / "0";
  fs::create_symlink("../../blobs/1", snapshot / "config.json");
  fs::create_symlink("../../blobs/2", snapshot / "model-00001-of-00001.safetensors");
  fs::create_symlink("../../blobs/3", snapshot / "model.safetensors.index.json");
  EXPECT_EQ(value(open_checkpoint(snapshot), "a"), 5.0F);
}

TEST_F(CheckpointTest, NotADirectory) {
  directory_ /= "missing";
  expect_error("is not a directory");
  expect_error("name a directory that save_pretrained wrote");
  directory_ = directory_.parent_path();
  write("file", "");
  try {
    open_checkpoint(directory_ / "file");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("is not a directory"), std::string::npos);
  }
}

TEST_F(CheckpointTest, WithoutConfig) {
  write_weights("model.safetensors", {{"a", 1.0F}});
  expect_error("has no config.json");
}

TEST_F(CheckpointTest, BrokenConfig) {
  write_weights("model.safetensors", {{"a", 1.0F}});
  write("config.json", "{\n  \"a\": }");
  expect_error("config.json:2:8: invalid JSON");
  write("config.json", "[]");
  expect_error("config.json: is not a JSON object");
  write("config.json", "");
  expect_error("config.json:1:1: invalid JSON");
  write("config.json", R"({"a": 1, "a": 2})");
  expect_error("two members \"a\"");
  fs::remove(directory_ / "config.json");
  fs::create_directory(directory_ / "config.json");
  expect_error("config.json: is not a regular file");
}

TEST_F(CheckpointTest, NamedPipesDoNotHang) {
  write_weights("model.safetensors", {{"a", 1.0F}});
  ASSERT_EQ(::mkfifo((directory_ / "config.json").c_str(), 0600), 0);
  expect_error("is not a regular file");
}

TEST_F(CheckpointTest, WithoutWeights) {
  write_config();
  expect_error("has no weights: there is none of model.safetensors, model.safetensors.index.json, pytorch_model.bin");
}

TEST_F(CheckpointTest, WeightsOfUnknownFormats) {
  write_config();
  for (const std::string_view name : {"flax_model.msgpack", "model.ckpt.index", "consolidated.00.pth"}) {
    write(name, "x");
    expect_error("there is \"" + std::string(name) + "\", a format that onnxport does not read");
    fs::remove(directory_ / name);
  }
}

TEST_F(CheckpointTest, OnlyAVariant) {
  write_config();
  write_weights("model.fp16.safetensors", {{"a", 1.0F}});
  expect_error("there is \"model.fp16.safetensors\" (a variant");
}

TEST_F(CheckpointTest, CorruptWeights) {
  write_config();
  write("model.safetensors", "nonsense that is not a header");
  expect_error("model.safetensors: is not a safetensors file");
  write("model.safetensors", "");
  expect_error("model.safetensors: is not a safetensors file");
}

TEST_F(CheckpointTest, BrokenIndex) {
  write_config();
  write_shards();
  for (const std::string_view text : {"[]", "{", ""}) {
    write("model.safetensors.index.json", text);
    expect_error("model.safetensors.index.json");
  }
  write("model.safetensors.index.json", "{}");
  expect_error("has no object \"weight_map\"");
  write_index("[]");
  expect_error("has no object \"weight_map\"");
  write_index(R"({"a": 1})");
  expect_error("the file of tensor \"a\" is not a string");
}

TEST_F(CheckpointTest, ShardNamesMustStayInTheDirectory) {
  write_config();
  write_shards();
  fs::create_directory(directory_ / "sub");
  write_weights("sub/model.safetensors", {{"a", 1.0F}});
  for (const std::string& name :
       {std::string("../model.safetensors"), std::string("sub/model.safetensors"),
        (directory_ / "model-00001-of-00002.safetensors").string(), std::string(".."), std::string("."), std::string(),
        std::string("sub\\\\x"), std::string("./x"), std::string("model-00001-of-00002.safetensors\\u0000")}) {
    write_index("{\"a\": \"" + name + "\"}");
    expect_error("is not the name of a file in the same directory");
  }
}

TEST_F(CheckpointTest, MissingShard) {
  write_config();
  write_shards();
  write_index(kWeightMap);
  fs::remove(directory_ / "model-00002-of-00002.safetensors");
  expect_error("the file \"model-00002-of-00002.safetensors\" of tensor \"c\" is missing");
}

TEST_F(CheckpointTest, TensorThatItsShardLacks) {
  write_config();
  write_shards();
  write_index(R"({"a": "model-00002-of-00002.safetensors"})");
  expect_error("tensor \"a\" is not in \"model-00002-of-00002.safetensors\"");
}

TEST_F(CheckpointTest, CorruptShard) {
  write_config();
  write_shards();
  write_index(kWeightMap);
  fs::resize_file(directory_ / "model-00002-of-00002.safetensors",
                  fs::file_size(directory_ / "model-00002-of-00002.safetensors") - 1);
  expect_error("model-00002-of-00002.safetensors: tensor");
  expect_error("may not have been downloaded completely");
}

TEST_F(CheckpointTest, TextFiles) {
  write("text", std::string_view("a\0b", 3));
  EXPECT_EQ(read_text_file(directory_ / "text"), std::string("a\0b", 3));
  write("empty", "");
  EXPECT_EQ(read_text_file(directory_ / "empty"), "");
  EXPECT_THROW(read_text_file(directory_ / "missing"), Error);
  EXPECT_THROW(read_text_file(directory_), Error);
  // A sparse file: nothing is written.
  write("large", "");
  fs::resize_file(directory_ / "large", (std::uintmax_t{512} << 20) + 1);
  EXPECT_THROW(read_text_file(directory_ / "large"), Error);
}

}  // namespace
}  // namespace onnxport
