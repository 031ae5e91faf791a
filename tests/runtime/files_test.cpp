// from_pretrained and save_pretrained: which file is opened, what is written, and what is said of files that are
// missing or damaged.
#include <set>

#include "core/tensor_source.h"
#include "model_test.h"

namespace onnxport::testing {
namespace {

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// A model in a directory, with a case to run it on.
class ModelFiles : public ModelTest {
 protected:
  void SetUp() override {
    ModelTest::SetUp();
    const FixtureFile file = fixture("distilbert", "question-answering");
    directory_ = exported(file);
    example_ = read_cases(file).front();
  }

  void expect_right(const ORTModel& model) const {
    const NamedArrays outputs = model(example_.inputs);
    for (const auto& [name, expected] : example_.outputs) {
      ASSERT_NE(find(outputs, name), nullptr) << name;
      expect_close(*find(outputs, name), expected, 1e-4, name);
    }
  }
  std::string refusal(const ORTModelOptions& options = {}) const {
    return message_of(ErrorKind::InvalidModel, [&] { ORTModel::from_pretrained(directory_, options); });
  }

  fs::path directory_;
  FixtureCase example_;
};

// ---- Which file -----------------------------------------------------------------------------------------------------

TEST_F(ModelFiles, ModelOnnxComesFirst) {
  write_file(directory_ / "a_broken.onnx", "x");
  write_file(directory_ / "onnx/model.onnx", "x");
  const ORTModel model = ORTModel::from_pretrained(directory_);
  EXPECT_EQ(model.path(), directory_ / "model.onnx");
  expect_right(model);
}

TEST_F(ModelFiles, TheOnlyFileOfAnyName) {
  fs::rename(directory_ / "model.onnx", directory_ / "model_quantized.onnx");
  EXPECT_EQ(ORTModel::from_pretrained(directory_).path(), directory_ / "model_quantized.onnx");
}

TEST_F(ModelFiles, SeveralFilesOfOtherNamesMustBeChosenFrom) {
  fs::copy_file(directory_ / "model.onnx", directory_ / "model_quantized.onnx");
  fs::rename(directory_ / "model.onnx", directory_ / "model_optimized.onnx");
  expect_message(refusal(), {"several ONNX files", "\"model_optimized.onnx\", \"model_quantized.onnx\"", "file_name"});
  expect_right(ORTModel::from_pretrained(directory_, {.file_name = "model_quantized.onnx"}));
  expect_message(refusal({.file_name = "model_o4.onnx"}),
                 {"no ONNX file \"model_o4.onnx\"", "\"model_optimized.onnx\""});
}

TEST_F(ModelFiles, AFolderOfTheHubsLayout) {
  fs::create_directories(directory_ / "onnx");
  fs::rename(directory_ / "model.onnx", directory_ / "onnx/model.onnx");
  fs::copy_file(directory_ / "onnx/model.onnx", directory_ / "onnx/model_O2.onnx");
  expect_right(ORTModel::from_pretrained(directory_));
  expect_right(ORTModel::from_pretrained(directory_, {.subfolder = "onnx"}));
  expect_right(ORTModel::from_pretrained(directory_, {.file_name = "model_O2.onnx", .subfolder = "onnx"}));
  EXPECT_EQ(ORTModel::from_pretrained(directory_, {.file_name = "onnx/model_O2.onnx"}).path(),
            directory_ / "onnx/model_O2.onnx");
  expect_message(refusal({.subfolder = "openvino"}), {"has no folder \"openvino\""});
}

TEST_F(ModelFiles, WithoutAnOnnxFileOrAConfig) {
  fs::rename(directory_ / "model.onnx", directory_ / "model.bin");
  // What has no ONNX file counts as a checkpoint, unless a file was asked for.
  expect_message(message_of(ErrorKind::InvalidCheckpoint, [&] { ORTModel::from_pretrained(directory_); }),
                 {directory_.string(), "model.safetensors"});
  expect_message(refusal({.file_name = "model.onnx"}), {"has no ONNX file \"model.onnx\""});
  fs::rename(directory_ / "model.bin", directory_ / "model.onnx");
  fs::remove(directory_ / "config.json");
  expect_message(message_of(ErrorKind::InvalidCheckpoint, [&] { ORTModel::from_pretrained(directory_); }),
                 {"has no config.json"});
  write_file(directory_ / "config.json", "{\"model_type\": ");
  expect_message(message_of(ErrorKind::InvalidCheckpoint, [&] { ORTModel::from_pretrained(directory_); }),
                 {"config.json:1:15"});
  expect_message(
      message_of(ErrorKind::InvalidCheckpoint, [&] { ORTModel::from_pretrained(path("nowhere/to be found")); }),
      {"nowhere/to be found\" is not a directory"});
}

// ---- Damaged files --------------------------------------------------------------------------------------------------

TEST_F(ModelFiles, DamagedOnnxFiles) {
  const std::string whole = read_file(directory_ / "model.onnx");
  for (const std::size_t size : {whole.size() / 2, std::size_t{100}, std::size_t{1}}) {
    write_file(directory_ / "model.onnx", whole.substr(0, size));
    expect_message(refusal(), {"model.onnx"});
  }
  write_file(directory_ / "model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  expect_message(refusal(), {"model.onnx"});
}

TEST_F(ModelFiles, AnEmptyOnnxFile) {
  write_file(directory_ / "model.onnx", "");
  EXPECT_THROW(ORTModel::from_pretrained(directory_), Error);
}

TEST_F(ModelTest, ExternalDataThatIsMissingOrTooShort) {
  const fs::path directory = exported(fixture("bert", "fill-mask"), "model",
                                      [](ExportOptions& options) { options.external_data = ExternalData::Always; });
  const fs::path data = directory / "model.onnx_data";
  EXPECT_NO_THROW(ORTModel::from_pretrained(directory));
  const std::string whole = read_file(data);
  write_file(data, whole.substr(0, whole.size() / 2));
  expect_message(message_of(ErrorKind::InvalidModel, [&] { ORTModel::from_pretrained(directory); }),
                 {data.string(), "is too short"});
  fs::remove(data);
  expect_message(message_of(ErrorKind::InvalidModel, [&] { ORTModel::from_pretrained(directory); }),
                 {"model.onnx has its weights in \"model.onnx_data\", which is missing"});
}

// ---- export_ and save_pretrained ------------------------------------------------------------------------------------

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) names.insert(entry.path().lexically_relative(directory).string());
  return names;
}

TEST_F(ModelTest, ExportsForTheTaskOfTheClassAndSaves) {
  const FixtureFile file = fixture("bert", "text-classification");
  const fs::path directory = checkpoint(file);
  write_file(directory / "vocab.txt", "[PAD]\n");
  fs::path temporary;
  {
    const auto model = ORTModelForSequenceClassification::from_pretrained(directory, {.export_ = true});
    temporary = model.path().parent_path();
    EXPECT_TRUE(fs::exists(temporary));
    EXPECT_EQ(names_in(directory), (std::set<std::string>{"config.json", "model.safetensors", "vocab.txt"}));
    const std::vector<fs::path> written = model.save_pretrained(path("onnx"));
    EXPECT_EQ(names_in(path("onnx")), (std::set<std::string>{"config.json", "model.onnx", "vocab.txt"}));
    EXPECT_EQ(written.size(), 3U);
    for (const fs::path& name : written) EXPECT_TRUE(fs::exists(name)) << name;
  }
  EXPECT_FALSE(fs::exists(temporary)) << "the exported files outlive the model";
  const auto saved = ORTModelForSequenceClassification::from_pretrained(path("onnx"));
  const FixtureCase example = read_cases(file).front();
  expect_close(saved(example.inputs).logits, *find(example.outputs, "logits"), 1e-4, "logits");
}

TEST_F(ModelTest, WhatHasNoOnnxFileIsExported) {
  const FixtureFile file = fixture("bert", "text-classification");
  std::vector<std::string> lines;
  std::set<std::string> stages;
  const auto model = ORTModelForSequenceClassification::from_pretrained(
      checkpoint(file), {.warn = [&](std::string_view line) { lines.emplace_back(line); },
                         .progress = [&](const ExportProgress& now) { stages.emplace(now.stage); }});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines.front().find("No ONNX files were found for " + path("checkpoint").string()), 0U) << lines.front();
  EXPECT_TRUE(stages.contains("Writing model.onnx"));
  const FixtureCase example = read_cases(file).front();
  expect_close(model(example.inputs).logits, *find(example.outputs, "logits"), 1e-4, "logits");
}

TEST_F(ModelTest, ACheckpointWithoutTheHeadIsNotExported) {
  const fs::path directory = checkpoint(fixture("bert", "fill-mask"));
  expect_message(message_of(ErrorKind::MissingTensor,
                            [&] { ORTModelForQuestionAnswering::from_pretrained(directory, {.export_ = true}); }),
                 {"qa_outputs"});
  expect_message(
      message_of(ErrorKind::InvalidArgument,
                 [&] { ORTModel::from_pretrained(directory, {.file_name = "model.onnx", .export_ = true}); }),
      {"file_name and export_"});
}

TEST_F(ModelTest, SavesExternalDataAndOntoItself) {
  const FixtureFile file = fixture("bert", "fill-mask");
  const fs::path directory =
      exported(file, "model", [](ExportOptions& options) { options.external_data = ExternalData::Always; });
  fs::create_directories(directory / "onnx");
  for (const char* name : {"model.onnx", "model.onnx_data"}) fs::rename(directory / name, directory / "onnx" / name);
  const ORTModel model = ORTModel::from_pretrained(directory);
  model.save_pretrained(path("saved"));
  EXPECT_EQ(names_in(path("saved")), (std::set<std::string>{"config.json", "model.onnx", "model.onnx_data"}));
  const ORTModel saved = ORTModel::from_pretrained(path("saved"));
  saved.save_pretrained(path("saved"));
  const FixtureCase example = read_cases(file).front();
  for (const ORTModel& either : {ORTModel::from_pretrained(path("saved"))})
    expect_close(*find(either(example.inputs), "logits"), *find(example.outputs, "logits"), 1e-4, "saved twice");
  expect_close(*find(saved(example.inputs), "logits"), *find(example.outputs, "logits"), 1e-4, "saved over");

  write_file(path("file"), "");
  EXPECT_NE(message_of(ErrorKind::OutputFailed, [&] { saved.save_pretrained(path("file")); }), "");
}

// ---- Models of the Hub ----------------------------------------------------------------------------------------------

/// A repository in a cache, as huggingface_hub keeps it.
TEST_F(ModelFiles, AModelIdIsFoundInTheCache) {
  const fs::path snapshot = path("cache/models--org--tiny/snapshots/0123456789012345678901234567890123456789");
  write_file(path("cache/models--org--tiny/refs/main"), "0123456789012345678901234567890123456789");
  fs::create_directories(snapshot / "onnx");
  fs::rename(directory_ / "model.onnx", snapshot / "onnx/model.onnx");
  fs::rename(directory_ / "config.json", snapshot / "config.json");
  expect_right(ORTModel::from_pretrained("org/tiny", {.cache_dir = path("cache"), .local_files_only = true}));
  const std::string message = message_of(ErrorKind::HubFailed, [&] {
    ORTModel::from_pretrained("org/other", {.cache_dir = path("cache"), .local_files_only = true});
  });
  expect_message(message, {"org/other"});
}

}  // namespace
}  // namespace onnxport::testing
