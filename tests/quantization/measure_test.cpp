// Two models side by side: what their outputs differ by, and what they predict.
#include "quantization/measure.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "onnx/writer.h"
#include "unit/onnx_test_support.h"

namespace onnxport::quantization {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::write_file;

class MeasureTest : public onnx::TemporaryDirectoryTest {
 protected:
  /// y = x times factors
  static onnx::Model model(const std::vector<float>& factors) {
    onnx::Model result =
        onnx::small_model(from_array(Array::float32({static_cast<std::int64_t>(factors.size()) / 4, 4}, factors)));
    result.graph.nodes[0].op_type = "Mul";
    return result;
  }

  void write(const onnx::Model& before, const onnx::Model& after) const {
    onnx::write_model(before, directory_ / "before.onnx", {});
    onnx::write_model(after, directory_ / "after.onnx", {});
  }

  CalibrationDataOptions data(const std::string& lines) const {
    write_file(directory_ / "data.jsonl", lines);
    return {.file = directory_ / "data.jsonl", .model_directory = directory_};
  }

  ModelMeasurement outputs(const std::string& lines) const {
    return measure_outputs(directory_ / "before.onnx", directory_ / "after.onnx", data(lines));
  }
  TaskAccuracy task(const std::string& lines) const {
    return measure_task(directory_ / "before.onnx", directory_ / "after.onnx", data(lines));
  }
  std::string refused_task(const std::string& lines) const {
    return message_of(ErrorKind::InvalidArgument, [&] { task(lines); });
  }
};

// ---- Outputs --------------------------------------------------------------------------------------------------------

TEST_F(MeasureTest, ErrorsAreTakenOverAllSamples) {
  write(model({1, 1, 1, 1}), model({1.5, 1, 1, 1}));
  const ModelMeasurement result = outputs("{\"x\": [3, 4, 0, 0]}\n\n{\"x\": [0, 0, 0, 5]}\n");
  EXPECT_EQ(result.file, "before.onnx");
  EXPECT_EQ(result.result, "after.onnx");
  EXPECT_EQ(result.samples, 2);
  ASSERT_EQ(result.outputs.size(), 1U);
  EXPECT_EQ(result.outputs[0].name, "y");
  EXPECT_DOUBLE_EQ(result.outputs[0].max_error, 1.5);
  EXPECT_DOUBLE_EQ(result.outputs[0].relative, 1.5 / std::sqrt(9.0 + 16 + 25));
  EXPECT_DOUBLE_EQ(result.outputs[0].cosine, (13.5 + 16 + 25) / std::sqrt((9.0 + 16 + 25) * (20.25 + 16 + 25)));
  EXPECT_EQ(output_error(result), result.outputs[0].relative);
  EXPECT_GT(result.seconds_before, 0);
  EXPECT_GT(result.seconds_after, 0);
}

TEST_F(MeasureTest, EqualOutputsHaveNoError) {
  write(model({1, 2, 3, 4}), model({1, 2, 3, 4}));
  const OutputError error = outputs("{\"x\": [3, 4, 0, 0]}").outputs.at(0);
  EXPECT_EQ(error.relative, 0);
  EXPECT_EQ(error.max_error, 0);
  EXPECT_EQ(error.cosine, 1);
}

TEST_F(MeasureTest, MaskedLogitsDoNotCountButMasksThatDifferDo) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  write(model({1, kLowest, 1, kLowest}), model({1.5, kLowest, 1, -INFINITY}));
  EXPECT_DOUBLE_EQ(outputs("{\"x\": [1, 1, 1, 1]}").outputs.at(0).relative, 0.5 / std::sqrt(2.0));
  write(model({1, kLowest, 1, 1}), model({1, 1, 1, 1}));
  EXPECT_GT(output_error(outputs("{\"x\": [1, 1, 1, 1]}")), 0.9);
}

TEST_F(MeasureTest, AnOutputThatIsNoNumberIsInfinitelyWrong) {
  write(model({1, 1, 1, 1}), model({1, NAN, 1, 1}));
  EXPECT_EQ(output_error(outputs("{\"x\": [1, 1, 1, 1]}")), INFINITY);
  write(model({0, 0, 0, 0}), model({1, 1, 1, 1}));
  EXPECT_EQ(output_error(outputs("{\"x\": [1, 1, 1, 1]}")), INFINITY) << "relative to nothing";
}

TEST_F(MeasureTest, OutputsMustBeComparable) {
  write(model({1, 1, 1, 1}), model({1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(message_of(ErrorKind::InvalidModel, [&] { outputs("{\"x\": [1, 1, 1, 1]}"); }),
            "the output \"y\" has the shape (2, 4) in the quantized model, (1, 4) in the model itself");

  onnx::Model integers = model({1, 1, 1, 1});
  integers.graph.nodes[0].op_type = "Cast";
  integers.graph.nodes[0].inputs = {"x"};
  integers.graph.nodes[0].attributes = {{"to", std::int64_t{7}}};
  integers.graph.outputs[0].data_type = DataType::Int64;
  integers.graph.initializers.clear();
  write(integers, integers);
  const ModelMeasurement nothing = outputs("{\"x\": [1, 1, 1, 1]}");
  EXPECT_TRUE(nothing.outputs.empty());
  EXPECT_EQ(message_of(ErrorKind::InvalidModel, [&] { output_error(nothing); }),
            "before.onnx has no output of floating-point numbers to compare");
}

TEST_F(MeasureTest, DataMustFit) {
  write(model({1, 1, 1, 1}), model({1, 1, 1, 1}));
  const auto refused = [&](const std::string& lines) {
    return message_of(ErrorKind::InvalidArgument, [&] { outputs(lines); });
  };
  EXPECT_NE(refused("").find("data.jsonl is empty"), std::string::npos);
  EXPECT_NE(refused("{\"x\": [1, 2]}").find("line 1 of data.jsonl: the input \"x\" has the shape (1, 2)"),
            std::string::npos);
  EXPECT_NE(refused("{\"x\": [1, 2, 3, 4]}\n{").find("line 2"), std::string::npos);
}

// ---- Task sets ------------------------------------------------------------------------------------------------------

TEST_F(MeasureTest, PredictionsAndLabelsAreCounted) {
  write_file(directory_ / "config.json", R"({"label2id": {"joy": 0, "anger": 1}})");
  write(model({1, 1, 1, 1}), model({1, 1, 1, 3}));
  const TaskAccuracy accuracy = task(
      "{\"x\": [1, 2, 0, 0.75], \"label\": 1}\n"
      "{\"x\": [5, 0, 0, 1], \"label\": \"joy\"}\n"
      "\n"
      "{\"x\": [0, 0, 1, 0], \"label\": 3}\n"
      "{\"x\": [0, 1, 0, 0], \"label\": null}\n"
      "{\"x\": [0, 0, 0, 1], \"label\": [-100]}\n");
  EXPECT_EQ(accuracy.samples, 5);
  EXPECT_EQ(accuracy.labelled, 3);
  EXPECT_DOUBLE_EQ(accuracy.agreement, 4.0 / 5);
  EXPECT_DOUBLE_EQ(accuracy.mean_difference, (1.5 + 2 + 0 + 0 + 2) / 4 / 5);
  EXPECT_DOUBLE_EQ(accuracy.accuracy_before, 2.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy.accuracy_after, 1.0 / 3);
}

TEST_F(MeasureTest, TokensHaveLabelsOfTheirOwn) {
  onnx::Model before = model({1, 1, 1, 1});
  before.graph.inputs[0].shape = {std::string("batch_size"), std::string("sequence_length"), std::int64_t{4}};
  before.graph.outputs[0].shape = before.graph.inputs[0].shape;
  onnx::Model after = before;
  after.graph.initializers = {{"weight", from_array(Array::float32({1, 4}, std::vector<float>{1, 1, 1, 3}))}};
  write(before, after);
  const TaskAccuracy accuracy = task(
      "{\"x\": [[1, 0, 0, 0], [0, 0, 1, 0.75], [0, 9, 0, 1], [0, 1, 0, 0]], \"label\": [0, 2, -100, 3]}\n"
      "{\"x\": [[1, 0, 0, 0]], \"label\": [0]}\n");
  EXPECT_DOUBLE_EQ(accuracy.agreement, (0.75 + 1) / 2);
  EXPECT_DOUBLE_EQ(accuracy.accuracy_before, (2.0 / 3 + 1) / 2);
  EXPECT_DOUBLE_EQ(accuracy.accuracy_after, (1.0 / 3 + 1) / 2);
}

TEST_F(MeasureTest, WrongLabelsAreRefusedWithTheirLine) {
  write_file(directory_ / "config.json", R"({"label2id": {"joy": 0, "anger": 1}})");
  write(model({1, 1, 1, 1}), model({1, 1, 1, 1}));
  const std::string good = "{\"x\": [1, 2, 3, 4], \"label\": 1}\n\n";
  const auto refused = [&](const std::string& label) {
    const std::string message = refused_task(good + "{\"x\": [1, 2, 3, 4], \"label\": " + label + "}");
    const std::string where = (directory_ / "data.jsonl").string() + ", line 3: ";
    EXPECT_TRUE(message.starts_with(where)) << message;
    return message.substr(std::min(where.size(), message.size()));
  };
  EXPECT_EQ(refused("4"), "the label 4 is none of the model's 4 classes");
  EXPECT_EQ(refused("-1"), "the label -1 is none of the model's 4 classes");
  EXPECT_EQ(refused("\"angry\""), "the label \"angry\" is not in label2id of config.json (nearest: anger)");
  EXPECT_EQ(refused("1.5"), "a label is the number or the name of a class, not 1.5");
  EXPECT_EQ(refused("[1, 2]"), "2 labels for 1 predictions");
  EXPECT_NE(refused_task("").find("is empty"), std::string::npos);
  CalibrationDataOptions safetensors = data("");
  safetensors.file = directory_ / "set.safetensors";
  EXPECT_NE(message_of(ErrorKind::InvalidArgument,
                       [&] { measure_task(directory_ / "before.onnx", directory_ / "after.onnx", safetensors); })
                .find("set.safetensors"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport::quantization
