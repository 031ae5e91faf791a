// One model in every form that a checkpoint comes in: which of them is read, and that the ONNX files are the same.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "compare.h"
#include "core/temporary_directory.h"
#include "export/inspect_checkpoint.h"
#include "onnxport/exporter.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;
using testing::read_bytes;

fs::path fixture(const std::string& model) { return testing::format_fixtures() / "tensorflow" / model; }

class CheckpointFormats : public ::testing::Test {
 protected:
  /// Puts a file of the fixture into checkpoint/ under the name that save_pretrained gives it.
  void add(const std::string& model, const std::string& file, const std::string& name) const {
    fs::create_directories(checkpoint());
    fs::copy_file(fixture(model) / "config.json", checkpoint() / "config.json", fs::copy_options::overwrite_existing);
    fs::copy_file(fixture(model) / file, checkpoint() / name, fs::copy_options::overwrite_existing);
  }
  void add_shards(const std::string& model) const {
    add(model, "tf_model.h5.index.json", "tf_model.h5.index.json");
    for (const auto& entry : fs::directory_iterator(fixture(model))) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("tf_model-")) add(model, name, name);
    }
  }
  void clear() const { fs::remove_all(checkpoint()); }

  fs::path checkpoint() const { return directory_ / "model"; }
  fs::path path(std::string_view name) const { return directory_ / name; }

  std::string opened(std::string_view variant = {}, Framework framework = Framework::Automatic) const {
    const Checkpoint opened = open_checkpoint(checkpoint(), variant, framework);
    return opened.weight_files.front().filename().string();
  }

  /// Exports, validates, and gives the bytes of every ONNX file by name.
  std::map<std::string, std::string> exported(const ExportOptions& changed = {}) const {
    ExportOptions options = changed;
    options.model = checkpoint();
    options.output = path("out");
    const ExportResult result = export_onnx(options);
    EXPECT_TRUE(result.validated);
    std::map<std::string, std::string> files;
    std::set<std::string> others;
    for (const auto& entry : fs::directory_iterator(path("out"))) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".onnx")) {
        files.emplace(name, read_bytes(entry.path()));
      } else {
        others.insert(name);
      }
    }
    others.erase("generation_config.json");
    EXPECT_EQ(others, std::set<std::string>{"config.json"}) << "weights are not copied along";
    fs::remove_all(path("out"));
    return files;
  }

 private:
  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

class EveryFormat : public CheckpointFormats, public ::testing::WithParamInterface<const char*> {};

TEST_P(EveryFormat, GivesTheSameFiles) {
  const std::string model = GetParam();
  add(model, "expected.safetensors", "model.safetensors");
  const std::map<std::string, std::string> expected = exported();
  ASSERT_FALSE(expected.empty());

  const std::pair<const char*, const char*> forms[] = {{"pytorch_model.bin", "pytorch_model.bin"},
                                                       {"pytorch_model.legacy.bin", "pytorch_model.bin"},
                                                       {"tf_model.h5", "tf_model.h5"},
                                                       {"unnamed.h5", "tf_model.h5"},
                                                       {"tf.safetensors", "model.safetensors"}};
  for (const auto& [file, name] : forms) {
    SCOPED_TRACE(file);
    clear();
    add(model, file, name);
    EXPECT_TRUE(exported() == expected);
  }
  clear();
  add_shards(model);
  EXPECT_TRUE(exported() == expected) << "shards of TensorFlow";
}

INSTANTIATE_TEST_SUITE_P(Models, EveryFormat, ::testing::Values("bert", "distilbert", "gpt2", "t5", "vit"));

TEST_F(CheckpointFormats, AreReadInFromPretrainedsOrder) {
  add("bert", "tf_model.h5", "tf_model.h5");
  EXPECT_EQ(opened(), "tf_model.h5");
  EXPECT_EQ(opened({}, Framework::TensorFlow), "tf_model.h5");
  expect_refused([&] { opened({}, Framework::PyTorch); }, "there is \"tf_model.h5\"");

  add("bert", "pytorch_model.bin", "pytorch_model.bin");
  EXPECT_EQ(opened(), "pytorch_model.bin");
  EXPECT_EQ(opened({}, Framework::PyTorch), "pytorch_model.bin");
  EXPECT_EQ(opened({}, Framework::TensorFlow), "tf_model.h5");

  add("bert", "expected.safetensors", "model.safetensors");
  EXPECT_EQ(opened(), "model.safetensors");
  EXPECT_EQ(opened({}, Framework::TensorFlow), "tf_model.h5");

  add("bert", "pytorch_model.bin", "pytorch_model.fp16.bin");
  EXPECT_EQ(opened("fp16"), "pytorch_model.fp16.bin");
  expect_refused([&] { opened("int8"); }, "none of model.int8.safetensors");
}

ExportOptions with_variant(const char* variant) {
  ExportOptions options;
  options.variant = variant;
  return options;
}

TEST_F(CheckpointFormats, VariantsOfWeightsAreExported) {
  add("bert", "expected.safetensors", "model.safetensors");
  const std::map<std::string, std::string> expected = exported();
  clear();
  add("bert", "tf_model.h5", "tf_model.h5");
  add("bert", "pytorch_model.bin", "pytorch_model.fp16.bin");
  EXPECT_TRUE(exported(with_variant("fp16")) == expected);
  clear();
  add("bert", "expected.safetensors", "model.fp16-00001-of-00001.safetensors");
  Json weight_map;
  for (const auto& [name, source] : read_safetensors(fixture("bert") / "expected.safetensors")) {
    weight_map.set(name, "model.fp16-00001-of-00001.safetensors");
  }
  Json index;
  index.set("weight_map", weight_map);
  std::ofstream(checkpoint() / "model.safetensors.index.fp16.json") << dump_json(index);
  EXPECT_TRUE(exported(with_variant("fp16")) == expected);

  // The names of Optimum's export variants keep their meaning.
  expect_refused([&] { exported(); }, "must be asked for by --variant VARIANT");
  expect_refused([&] { exported(with_variant("bf16")); }, "asked for is the variant \"bf16\"");
  for (const char* variant : {"monolith", "with-past"}) {
    try {
      exported(with_variant(variant));
      ADD_FAILURE() << variant;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
      EXPECT_NE(std::string(error.what()).find("belongs to architectures that onnxport lacks"), std::string::npos);
    }
  }
}

TEST_F(CheckpointFormats, ShardsOfPyTorch) {
  add("bert", "pytorch_model.bin", "pytorch_model-00001-of-00002.bin");
  add("bert", "pytorch_model.legacy.bin", "pytorch_model-00002-of-00002.bin");
  const auto whole = read_safetensors(fixture("bert") / "expected.safetensors");
  Json weight_map;
  int number = 0;
  for (const auto& [name, source] : whole) {
    weight_map.set(name, ++number % 2 == 0 ? "pytorch_model-00001-of-00002.bin" : "pytorch_model-00002-of-00002.bin");
  }
  Json index;
  index.set("weight_map", weight_map);
  std::ofstream(checkpoint() / "pytorch_model.bin.index.json") << dump_json(index);
  const Checkpoint opened = open_checkpoint(checkpoint());
  EXPECT_EQ(opened.weight_files.size(), 2U);
  testing::expect_equal(opened.tensors, whole);

  fs::remove(checkpoint() / "pytorch_model-00002-of-00002.bin");
  expect_refused([&] { open_checkpoint(checkpoint()); }, "\"pytorch_model-00002-of-00002.bin\"");
}

TEST_F(CheckpointFormats, MissingShardsOfTensorFlow) {
  add_shards("bert");
  for (const auto& entry : fs::directory_iterator(checkpoint())) {
    if (entry.path().filename().string().starts_with("tf_model-00001")) fs::remove(entry.path());
  }
  expect_refused([&] { open_checkpoint(checkpoint()); }, "tf_model-00001");
}

/// Weights that lie plainly in the file of torch.save are referred to there.
TEST_F(CheckpointFormats, ReferencesIntoPyTorchsFile) {
  add("bert", "pytorch_model.bin", "pytorch_model.bin");
  ExportOptions options;
  options.model = checkpoint();
  options.output = path("out");
  options.weights = WeightsMode::Reference;
  EXPECT_TRUE(export_onnx(options).validated);
  fs::remove_all(path("out"));
}

TEST_F(CheckpointFormats, AreInspected) {
  for (const char* file : {"tf_model.h5", "pytorch_model.bin"}) {
    clear();
    add("distilbert", file, file);
    const Json inspection = inspect_checkpoint(checkpoint());
    EXPECT_EQ(inspection.find("files")->array().front().find("name")->string(), file);
    EXPECT_EQ(inspection.find("trained_task")->string(), "question-answering");
    EXPECT_EQ(inspection.find("tensors")->find("count")->integer(),
              static_cast<std::int64_t>(read_safetensors(fixture("distilbert") / "expected.safetensors").size()));
    EXPECT_FALSE(format_checkpoint_inspection(inspection).empty());
  }
}

}  // namespace
}  // namespace onnxport
