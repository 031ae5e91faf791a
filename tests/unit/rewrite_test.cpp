#include "export/rewrite.h"

#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/writer.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::counting;
using onnx::message_of;
using onnx::read_file;
using onnx::write_file;

class RewriteTest : public onnx::TemporaryDirectoryTest {
 protected:
  void SetUp() override {
    TemporaryDirectoryTest::SetUp();
    input_ = directory_ / "in";
    write_file(input_ / "config.json", R"({"model_type": "bert"})");
    write_file(input_ / "tokenizer_config.json", "{}");
    write_file(input_ / "notes.txt", "the user's");
    onnx::write_model(onnx::small_model(from_array(counting({4}))), input_ / "model.onnx", {});
  }

  RewriteOptions options(std::string suffix = "quantized") const {
    return {.model = input_, .output = directory_ / "out", .suffix = std::move(suffix)};
  }

  /// Adds 1 to the weight.
  static void edit(onnx::Model& model, const fs::path&) {
    model.graph.initializers.at(0).source = from_array(counting({4}, 1));
  }

  fs::path input_;
};

TEST_F(RewriteTest, WritesTheChangedModelsWithTheFilesBesideThem) {
  RewriteOptions rewrite = options();
  rewrite.documents = [] {
    Json document;
    document.set("opset", 17);
    return std::vector<std::pair<std::string, Json>>{{"ort_config.json", document}};
  };
  std::uint64_t done = 0;
  rewrite.progress = [&](std::string_view stage, std::uint64_t bytes, std::uint64_t) {
    EXPECT_EQ(stage, "Writing model_quantized.onnx");
    done = bytes;
  };
  const RewriteResult result = rewrite_models(rewrite, edit);

  const fs::path out = directory_ / "out";
  EXPECT_EQ(result.files, (std::vector{out / "model_quantized.onnx", out / "config.json", out / "tokenizer_config.json",
                                       out / "ort_config.json"}));
  ASSERT_EQ(result.models.size(), 1U);
  EXPECT_EQ(result.models[0].source, input_ / "model.onnx");
  EXPECT_EQ(result.models[0].source_bytes, fs::file_size(input_ / "model.onnx"));
  EXPECT_EQ(result.models[0].bytes, fs::file_size(out / "model_quantized.onnx"));
  EXPECT_EQ(done, result.models[0].bytes);
  const onnx::Model written = onnx::read_model(out / "model_quantized.onnx");
  EXPECT_EQ(onnx::content(written.graph.initializers.at(0).source), onnx::content(from_array(counting({4}, 1))));
  EXPECT_NE(read_file(out / "ort_config.json").find("\"opset\": 17"), std::string::npos);
  EXPECT_FALSE(fs::exists(out / "notes.txt"));
}

TEST_F(RewriteTest, TakesASingleFileAndChosenFiles) {
  onnx::write_model(onnx::small_model(from_array(counting({4}))), input_ / "other.onnx", {});
  EXPECT_EQ(rewrite_models(options(), edit).models.size(), 2U);
  RewriteOptions chosen = options();
  chosen.file_names = {"other.onnx"};
  EXPECT_EQ(rewrite_models(chosen, edit).models.at(0).path, directory_ / "out" / "other_quantized.onnx");
  RewriteOptions single = options("");
  single.model = input_ / "model.onnx";
  EXPECT_EQ(rewrite_models(single, edit).models.at(0).path, directory_ / "out" / "model.onnx");
  chosen.file_names = {"absent.onnx"};
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { rewrite_models(chosen, edit); }).find("absent"),
            std::string::npos);
}

TEST_F(RewriteTest, NothingIsLeftWhenAnEditFails) {
  EXPECT_THROW(
      rewrite_models(options(), [](onnx::Model&, const fs::path&) { throw Error(ErrorKind::InvalidModel, ""); }),
      Error);
  EXPECT_FALSE(fs::exists(directory_ / "out"));
}

TEST_F(RewriteTest, TheModelsOwnDirectoryIsNoOutput) {
  RewriteOptions same = options();
  same.output = input_ / "../in";
  EXPECT_NE(message_of(ErrorKind::InvalidArgument, [&] { rewrite_models(same, edit); }).find("choose another"),
            std::string::npos);
  EXPECT_EQ(onnx::content(onnx::read_model(input_ / "model.onnx").graph.initializers.at(0).source),
            onnx::content(from_array(counting({4}))));
}

TEST_F(RewriteTest, SaysWhereModelsAre) {
  RewriteOptions empty = options();
  empty.model = directory_;
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { rewrite_models(empty, edit); }).find(input_.string()),
            std::string::npos);
  empty.model = directory_ / "absent";
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { rewrite_models(empty, edit); }).find("does not exist"),
            std::string::npos);
}

TEST_F(RewriteTest, MissingAndShortExternalDataIsNamed) {
  onnx::WriteOptions external;
  external.weights = onnx::WeightStorage::External;
  onnx::write_model(onnx::small_model(from_array(counting({256, 4}))), input_ / "model.onnx", external);
  fs::resize_file(input_ / "model.onnx_data", 100);
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { rewrite_models(options(), edit); }).find("too short"),
            std::string::npos);
  fs::remove(input_ / "model.onnx_data");
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { rewrite_models(options(), edit); }).find("missing"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport
