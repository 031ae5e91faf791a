// What a model is calibrated with, read from files or made up.
#include "quantization/calibration_data.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnxport/auto_tokenizer.h"
#include "support/paths.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::write_file;

using Shape = std::vector<std::int64_t>;

ModelInput text_input(std::string name) {
  return {.name = std::move(name),
          .data_type = DataType::Int64,
          .shape = {-1, -1},
          .axis_names = {"batch_size", "sequence_length"}};
}

ModelInput past_input(std::string name) {
  return {.name = std::move(name),
          .data_type = DataType::Float32,
          .shape = {-1, 2, -1, 4},
          .axis_names = {"batch_size", "", "past_sequence_length", ""}};
}

ModelInput mask_after_past() {
  return {.name = "attention_mask",
          .data_type = DataType::Int64,
          .shape = {-1, -1},
          .axis_names = {"batch_size", "past_sequence_length + sequence_length"}};
}

std::vector<std::int64_t> integers(const NamedArrays& arrays, std::string_view name) {
  for (const auto& [key, array] : arrays) {
    if (key != name) continue;
    EXPECT_EQ(array.data_type(), DataType::Int64);
    return {array.data<std::int64_t>(), array.data<std::int64_t>() + array.element_count()};
  }
  ADD_FAILURE() << "no " << name;
  return {};
}

const Array& array_of(const NamedArrays& arrays, std::string_view name) {
  return std::find_if(arrays.begin(), arrays.end(), [&](const auto& item) { return item.first == name; })->second;
}

class CalibrationDataTest : public onnx::TemporaryDirectoryTest {
 protected:
  CalibrationDataOptions options(const std::string& name, const std::string& content = "") const {
    if (!content.empty()) write_file(directory_ / name, content);
    CalibrationDataOptions options;
    options.file = name.empty() ? fs::path() : directory_ / name;
    options.model_directory = directory_;
    return options;
  }
  void add_tokenizer() const {
    for (const char* name : {"tokenizer_config.json", "vocab.txt"})
      fs::copy(testing::source_directory() / "tests/auto_tokenizer/fixtures/bert_cased" / name, directory_ / name);
    write_file(directory_ / "config.json", R"({"model_type": "bert"})");
  }
};

TEST_F(CalibrationDataTest, IsReadSampleBySampleAndAgain) {
  const std::vector<ModelInput> inputs{
      {.name = "ids", .data_type = DataType::Int64, .shape = {-1, 4}, .axis_names = {"b", ""}}};
  CalibrationDataOptions two =
      options("data.jsonl", "{\"ids\": [1, 2, 3, 4]}\n\n{\"ids\": [5, 6, 7, 8]}\n{\"ids\": [9, 9, 9, 9]}\n");
  two.num_samples = 2;
  CalibrationData data(two, inputs);
  for (int pass = 0; pass < 2; ++pass) {
    for (const std::int64_t first : {1, 5}) {
      const auto sample = data.next();
      ASSERT_TRUE(sample.has_value());
      EXPECT_EQ(sample->at(0).second.shape(), (Shape{1, 4}));
      EXPECT_EQ(sample->at(0).second.data<std::int64_t>()[0], first);
    }
    EXPECT_FALSE(data.next().has_value());
    data.rewind();
  }
}

TEST_F(CalibrationDataTest, OfNumbersHasTheModelsTypes) {
  const std::vector<ModelInput> inputs{
      {.name = "image", .data_type = DataType::Float32, .shape = {-1, 2, 2}, .axis_names = {"b", "", ""}},
      {.name = "mask", .data_type = DataType::Bool, .shape = {-1, 2}, .axis_names = {"b", ""}},
      {.name = "kind", .data_type = DataType::Int32, .shape = {-1}, .axis_names = {"b"}}};
  CalibrationData data(options("data.jsonl", R"({"image": [[0.5, 1], [-2, 3e1]], "mask": [true, false], "kind": 7})"),
                       inputs);
  const NamedArrays sample = data.next().value();
  EXPECT_EQ(array_of(sample, "image").shape(), (Shape{1, 2, 2}));
  EXPECT_EQ(std::vector(array_of(sample, "image").data<float>(), array_of(sample, "image").data<float>() + 4),
            (std::vector<float>{0.5, 1, -2, 30}));
  EXPECT_EQ(array_of(sample, "mask").data<std::uint8_t>()[0], 1);
  EXPECT_EQ(array_of(sample, "mask").data<std::uint8_t>()[1], 0);
  EXPECT_EQ(array_of(sample, "kind").shape(), (Shape{1}));
  EXPECT_EQ(*array_of(sample, "kind").data<std::int32_t>(), 7);
}

TEST_F(CalibrationDataTest, OfIntegersIsExactOrRefused) {
  const std::vector<ModelInput> inputs{
      {.name = "ids", .data_type = DataType::Int64, .shape = {-1, 1}, .axis_names = {"b", ""}}};
  for (const char* value : {"1.5", "1e300", "-1e19", "9223372036854775808"}) {
    CalibrationData data(options("data.jsonl", std::string("{\"ids\": [") + value + "]}"), inputs);
    EXPECT_NE(message_of(ErrorKind::InvalidArgument, [&] { data.next(); }).find("line 1 of data.jsonl: "),
              std::string::npos)
        << value;
  }
}

TEST_F(CalibrationDataTest, OfTextIsTokenized) {
  add_tokenizer();
  CalibrationDataOptions texts = options(
      "texts.jsonl", "{\"text\": \"is it?\"}\n\"a b c d e\"\n{\"text\": \"a\", \"text_pair\": \"b\", \"label\": 1}\n");
  texts.max_length = 5;
  CalibrationData data(texts, {text_input("input_ids"), text_input("attention_mask"), text_input("token_type_ids")});
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory_);
  const auto ids = [&](std::initializer_list<const char*> tokens) {
    std::vector<std::int64_t> result;
    for (const char* token : tokens) result.push_back(tokenizer.convert_tokens_to_ids(token).value());
    return result;
  };
  data.next();
  EXPECT_EQ(integers(data.next().value(), "input_ids"), ids({"[CLS]", "a", "b", "c", "[SEP]"}));
  const NamedArrays pair = data.next().value();
  EXPECT_EQ(integers(pair, "input_ids"), ids({"[CLS]", "a", "[SEP]", "b", "[SEP]"}));
  EXPECT_EQ(integers(pair, "token_type_ids"), (Shape{0, 0, 0, 1, 1}));
  EXPECT_EQ(integers(pair, "attention_mask"), (Shape{1, 1, 1, 1, 1}));
  EXPECT_FALSE(data.next().has_value());
}

TEST_F(CalibrationDataTest, OfTextIsTheBeginningForDecoders) {
  add_tokenizer();
  CalibrationData data(options("texts.jsonl", "\"a b\"\n"),
                       {text_input("input_ids"), past_input("past_key_values.0.key"), mask_after_past()});
  const NamedArrays sample = data.next().value();
  EXPECT_EQ(array_of(sample, "past_key_values.0.key").shape(), (Shape{1, 2, 0, 4}));
  EXPECT_EQ(integers(sample, "attention_mask"), (Shape{1, 1, 1, 1}));

  CalibrationData without_mask(options("ids.jsonl", "{\"input_ids\": [1, 2]}\n"),
                               {text_input("input_ids"), past_input("past_key_values.0.key"), mask_after_past()});
  EXPECT_EQ(integers(without_mask.next().value(), "attention_mask"), (Shape{1, 1}));
}

TEST_F(CalibrationDataTest, OfTextTakesTheTokenizerBesideAFileWithoutADirectory) {
  add_tokenizer();
  CalibrationDataOptions texts = options("texts.jsonl", "\"a b\"\n");
  texts.model_directory = std::filesystem::path("model.onnx").parent_path();
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  CalibrationData data(texts, {text_input("input_ids")});
  const std::optional<NamedArrays> sample = data.next();
  std::filesystem::current_path(before);
  EXPECT_EQ(integers(sample.value(), "input_ids").size(), 4U);
}

TEST_F(CalibrationDataTest, OfTextNeedsATokenizer) {
  CalibrationData data(options("texts.jsonl", "\"a b\"\n"), {text_input("input_ids")});
  EXPECT_THROW(data.next(), Error);
}

TEST_F(CalibrationDataTest, OfSafetensorsIsCutByItsFirstAxis) {
  write_safetensors(directory_ / "data.safetensors",
                    {{"x", from_array(onnx::counting({3, 2}))}, {"unused", from_array(onnx::counting({7}))}});
  CalibrationData data(options("data.safetensors"),
                       {{.name = "x", .shape = {-1, 2}, .axis_names = {"batch_size", ""}}});
  for (int pass = 0; pass < 2; ++pass) {
    for (const float first : {0.0F, 2.0F, 4.0F}) {
      const NamedArrays sample = data.next().value();
      EXPECT_EQ(sample.at(0).second.shape(), (Shape{1, 2}));
      EXPECT_EQ(sample.at(0).second.data<float>()[0], first);
    }
    EXPECT_FALSE(data.next().has_value());
    data.rewind();
  }
}

TEST_F(CalibrationDataTest, IsMadeUpToFitTheModel) {
  write_file(directory_ / "config.json", R"({"model_type": "gpt2", "vocab_size": 9, "n_positions": 12})");
  const std::vector<ModelInput> inputs{text_input("input_ids"), past_input("past_key_values.0.key"), mask_after_past(),
                                       text_input("position_ids")};
  CalibrationDataOptions three = options("");
  three.num_samples = 3;
  CalibrationData data(three, inputs);
  std::set<std::vector<std::int64_t>> seen;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < 3; ++i) {
      const NamedArrays sample = data.next().value();
      const std::vector<std::int64_t> tokens = integers(sample, "input_ids");
      EXPECT_EQ(tokens.size(), 6U);
      for (const std::int64_t token : tokens) EXPECT_TRUE(token >= 0 && token < 9);
      EXPECT_EQ(array_of(sample, "past_key_values.0.key").shape(), (Shape{1, 2, 6, 4}));
      EXPECT_EQ(integers(sample, "attention_mask"), Shape(12, 1));
      EXPECT_EQ(integers(sample, "position_ids"), (Shape{6, 7, 8, 9, 10, 11}));
      seen.insert(tokens);
    }
    EXPECT_FALSE(data.next().has_value());
    data.rewind();
  }
  EXPECT_EQ(seen.size(), 3U) << "samples differ, and those of the second pass are those of the first";
}

ModelInput branch_flag() {
  return {.name = "use_cache_branch", .data_type = DataType::Bool, .shape = {1}, .axis_names = {""}};
}

TEST_F(CalibrationDataTest, OfAMergedDecoderTakesBothBranches) {
  write_file(directory_ / "config.json", R"({"model_type": "gpt2", "vocab_size": 9, "n_positions": 12})");
  const std::vector<ModelInput> inputs{text_input("input_ids"), past_input("past_key_values.0.key"), mask_after_past(),
                                       branch_flag()};
  CalibrationDataOptions four = options("");
  four.num_samples = 4;
  CalibrationData data(four, inputs);
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < 4; ++i) {
      const bool use_cache = i % 2 == 1;
      const NamedArrays sample = data.next().value();
      EXPECT_EQ(*array_of(sample, "use_cache_branch").data<std::uint8_t>(), use_cache ? 1 : 0);
      EXPECT_EQ(integers(sample, "input_ids").size(), use_cache ? 6U : 12U);
      EXPECT_EQ(array_of(sample, "past_key_values.0.key").shape(), (Shape{1, 2, use_cache ? 6 : 0, 4}));
      EXPECT_EQ(integers(sample, "attention_mask"), Shape(12, 1));
    }
    EXPECT_FALSE(data.next().has_value());
    data.rewind();
  }
}

/// A sample with a past takes the branch that has one; one without needs none of what that branch reads.
TEST_F(CalibrationDataTest, ChoosesTheBranchByThePast) {
  write_file(directory_ / "config.json", R"({"model_type": "t5", "vocab_size": 9})");
  ModelInput encoder = past_input("past_key_values.0.encoder.key");
  encoder.axis_names[2] = "encoder_sequence_length_out";
  const std::vector<ModelInput> inputs{text_input("input_ids"), encoder, branch_flag()};
  const CalibrationDataOptions samples = options("samples.jsonl", R"({"input_ids": [1, 2]}
{"input_ids": [3], "past_key_values.0.encoder.key": [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]}
{"input_ids": [3], "past_key_values.0.encoder.key": [[[1, 2, 3, 4]], [[5, 6, 7, 8]]], "use_cache_branch": false}
)");
  CalibrationData data(samples, inputs);
  const NamedArrays first = data.next().value();
  EXPECT_EQ(*array_of(first, "use_cache_branch").data<std::uint8_t>(), 0);
  EXPECT_EQ(array_of(first, "past_key_values.0.encoder.key").shape(), (Shape{1, 2, 0, 4}));
  EXPECT_EQ(*array_of(data.next().value(), "use_cache_branch").data<std::uint8_t>(), 1);
  EXPECT_EQ(*array_of(data.next().value(), "use_cache_branch").data<std::uint8_t>(), 0);
}

TEST_F(CalibrationDataTest, OfImagesHasTheSizesOfTheConfig) {
  const auto shape = [&](const std::string& config) {
    write_file(directory_ / "config.json", config);
    CalibrationData data(options(""), {{.name = "pixel_values",
                                        .shape = {-1, -1, -1, -1},
                                        .axis_names = {"batch_size", "num_channels", "height", "width"}}});
    return data.next().value().at(0).second.shape();
  };
  EXPECT_EQ(shape("{}"), (Shape{1, 3, 224, 224}));
  EXPECT_EQ(shape(R"({"image_size": 30, "num_channels": 1})"), (Shape{1, 1, 30, 30}));
  EXPECT_EQ(shape(R"({"image_size": [20, 10]})"), (Shape{1, 3, 20, 10}));
  EXPECT_EQ(shape(R"({"vision_config": {"image_size": 16}})"), (Shape{1, 3, 16, 16}));
  EXPECT_THROW(shape(R"({"image_size": [20]})"), Error);
}

TEST_F(CalibrationDataTest, NumbersAreNearlyNormal) {
  CalibrationData data(options(""), {{.name = "x", .shape = {-1, 10000}, .axis_names = {"batch_size", ""}}});
  const Array values = data.next().value().at(0).second;
  double sum = 0;
  double squares = 0;
  for (const float value : values.values<float>()) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(sum / 10000, 0, 0.05);
  EXPECT_NEAR(squares / 10000, 1, 0.05);
}

TEST_F(CalibrationDataTest, NeedsASample) {
  CalibrationDataOptions none = options("");
  none.num_samples = 0;
  EXPECT_EQ(message_of(ErrorKind::InvalidArgument, [&] { CalibrationData(none, {text_input("input_ids")}); }),
            "calibration needs at least one sample, not 0");
}

}  // namespace
}  // namespace onnxport
