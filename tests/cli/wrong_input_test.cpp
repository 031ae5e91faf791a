// What the program says about input that it cannot export: what is wrong, where, and what to do about it.
#include <cmath>
#include <limits>

#include "checkpoint/checkpoint.h"
#include "cli_test.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliWrongInput : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint();
  }

  /// Exporting fails, says these things, and writes nothing.
  void expect_error(const std::vector<std::string>& parts, const std::vector<std::string>& options = {}) {
    EXPECT_TRUE(failed(export_checkpoint(options), 1, parts));
    EXPECT_FALSE(fs::exists(path("out")));
  }

  fs::path weights() const { return path("checkpoint/model.safetensors"); }

  /// A safetensors file with this header, and the length that the file claims for it.
  void write_weights(const std::string& header, std::uint64_t claimed_length) const {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(claimed_length >> (8 * i));
    write_file(weights(), bytes + header);
  }

  /// Replaces a tensor of the checkpoint.
  void change_tensor(const std::string& name, const Array& value) const {
    auto tensors = read_safetensors(weights());
    ASSERT_TRUE(tensors.contains(name));
    tensors[name] = from_array(value);
    write_safetensors(path("changed.safetensors"), tensors);
    fs::rename(path("changed.safetensors"), weights());
  }
};

TEST_F(CliWrongInput, NotADirectory) {
  EXPECT_TRUE(failed(run({"export", "onnx", "-m", "./nowhere", "out"}), 1, {"\"./nowhere\" is not a directory"}));
  EXPECT_TRUE(failed(run({"export", "onnx", "-m", "checkpoint/config.json", "out"}), 1, {"is not a directory"}));
  EXPECT_TRUE(failed(run({"export", "onnx", "-m", "", "out"}), 1, {"is not a directory"}));
  EXPECT_TRUE(failed(run({"export", "onnx", "-m", "bert-base-uncased", "out"}), 1, {"Hub's cache", "offline"}));
}

TEST_F(CliWrongInput, NoConfig) {
  fs::remove(path("checkpoint/config.json"));
  expect_error({"checkpoint", "config.json"});
}

TEST_F(CliWrongInput, NoWeights) {
  fs::rename(weights(), path("checkpoint/flax_model.msgpack"));
  expect_error({"model.safetensors", "flax_model.msgpack"});
}

TEST_F(CliWrongInput, UnknownModelType) {
  change_config("model_type", "distilbart");
  expect_error({"\"distilbart\"", "distilbert", "onnxport list", "add-an-architecture.md"});
}

TEST_F(CliWrongInput, NoModelType) {
  change_config("model_type", nullptr);
  expect_error({"config.json", "model_type"});
}

TEST_F(CliWrongInput, UnsupportedTask) {
  expect_error({"distilbert", "image-classification", "question-answering", "feature-extraction"},
               {"--task", "image-classification"});
}

TEST_F(CliWrongInput, UnknownTask) {
  expect_error({"\"question-answring\"", "question-answering"}, {"--task", "question-answring"});
}

TEST_F(CliWrongInput, TaskWhoseHeadIsMissing) {
  expect_error({"pre_classifier", "checkpoint"}, {"--task", "text-classification"});
}

TEST_F(CliWrongInput, TruncatedWeights) {
  const std::string bytes = read_file(weights());
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_file(weights(), std::string_view(bytes).substr(0, size));
    SCOPED_TRACE(size);
    expect_error({"model.safetensors"});
  }
}

TEST_F(CliWrongInput, AbsurdHeader) {
  for (const std::uint64_t length :
       {std::numeric_limits<std::uint64_t>::max(), std::uint64_t{1} << 40, std::uint64_t{200} << 20}) {
    SCOPED_TRACE(length);
    write_weights("{}", length);
    expect_error({"model.safetensors", "header"});
  }
}

TEST_F(CliWrongInput, OverlappingTensors) {
  const std::string header = R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},)"
                             R"( "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}})";
  write_weights(header + std::string(12, '\0'), header.size());
  expect_error({"model.safetensors", "\"b\""});
}

TEST_F(CliWrongInput, UnknownDataType) {
  const std::string header = R"({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 8]}})";
  write_weights(header + std::string(8, '\0'), header.size());
  expect_error({"model.safetensors", "F4"});
}

TEST_F(CliWrongInput, ShardOutsideTheDirectory) {
  fs::rename(weights(), path("secret.safetensors"));
  write_file(path("checkpoint/model.safetensors.index.json"),
             R"({"weight_map": {"qa_outputs.weight": "../secret.safetensors"}})");
  expect_error({"../secret.safetensors", "same directory"});
}

TEST_F(CliWrongInput, TensorOfTheWrongShape) {
  change_tensor("qa_outputs.weight", Array::float32({3, 5}, std::vector<float>(15)));
  expect_error({"qa_outputs", "(3, 5)"});
}

TEST_F(CliWrongInput, ConfigThatContradictsTheWeights) {
  change_config("vocab_size", 1234);
  expect_error({"word_embeddings.weight", "1234"});
}

TEST_F(CliWrongInput, NotANumberIsAWarningThatNamesTheTensor) {
  const Array bias = materialize(read_safetensors(weights()).at("qa_outputs.bias"));
  std::vector<float> values(bias.values<float>().begin(), bias.values<float>().end());
  values.back() = std::nanf("");
  change_tensor("qa_outputs.bias", Array::float32(bias.shape(), values));
  const ProcessResult result = export_checkpoint({"--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(result.error.starts_with("onnxport: warning: ")) << result.error;
  EXPECT_TRUE(contains(result.error, "qa_outputs.bias")) << result.error;
  const Json report = parse_json(result.output, "stdout");
  ASSERT_EQ(at(report, "warnings").array().size(), 1U);
  EXPECT_TRUE(contains(at(report, "warnings").array().front().string(), "qa_outputs.bias"));
}

TEST_F(CliWrongInput, OpsetOutOfRange) {
  expect_error({"opset 12", "13 to 24"}, {"--opset", "12"});
  expect_error({"opset 25", "13 to 24"}, {"--opset", "25"});
}

TEST_F(CliWrongInput, JsonWithDuplicateKeys) {
  write_file(path("checkpoint/config.json"), R"({"model_type": "distilbert", "model_type": "bert"})");
  expect_error({"config.json", "model_type"});
}

TEST_F(CliWrongInput, JsonNestedTooDeep) {
  write_file(path("checkpoint/config.json"), R"({"model_type": )" + std::string(100'000, '['));
  expect_error({"config.json", "deep"});
}

TEST_F(CliWrongInput, JsonNumberOutOfRange) {
  write_file(path("checkpoint/config.json"), R"({"model_type": "distilbert", "vocab_size": 99999999999999999999})");
  expect_error({"config.json", "99999999999999999999"});
  write_file(path("checkpoint/config.json"), R"({"model_type": "distilbert", "dropout": 1e999})");
  expect_error({"config.json", "1e999"});
}

TEST_F(CliWrongInput, SizesOutOfRange) {
  for (const Json& size : {Json(0), Json(-1), Json(std::int64_t{1} << 60), Json("many")}) {
    SCOPED_TRACE(dump_json(size));
    change_config("n_heads", size);
    expect_error({"n_heads"});
  }
}

TEST_F(CliWrongInput, ModelKwargsThatAreNoObject) {
  expect_error({"--model-kwargs"}, {"--model-kwargs", "[1]"});
  expect_error({"--model-kwargs"}, {"--model-kwargs", "{"});
}

TEST_F(CliWrongInput, ReferenceThatIsNoReference) {
  expect_error({"nowhere.safetensors"}, {"--reference", "nowhere.safetensors"});
  expect_error({"model.safetensors", "output.NAME"}, {"--reference", "checkpoint/model.safetensors"});
}

/// Names in a checkpoint are anybody's: they must not draw on the terminal, nor begin a line of their own.
TEST_F(CliWrongInput, ControlCharactersInNamesStayOut) {
  change_config("model_type", "\x1b[31mred\nonnxport: error: forged\x9b");
  const ProcessResult result = export_checkpoint();
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_FALSE(contains(result.error, "\x1b"));
  EXPECT_FALSE(contains(result.error, "\nonnxport: error: forged"));
}

}  // namespace
}  // namespace onnxport::testing
