// Static quantization inside branches of If: decoder_model_merged of the fixtures against its two decoders quantized
// alone, and models whose layers all stand in branches against the same without branches.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "onnx/merge_decoders.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/json.h"
#include "onnxport/quantizer.h"
#include "quantization/calibration_data.h"
#include "quantization/measure.h"
#include "runtime/session.h"
#include "support/merged_decoders.h"
#include "support/paths.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::write_file;
using testing::DecoderPair;
using testing::FixtureCase;

fs::path fixtures() { return testing::source_directory() / "tests/quantization/fixtures/static"; }

/// The first element along the batch axis, as nested arrays.
Json nested(const Array& array, std::size_t axis, std::int64_t& index) {
  if (axis == array.shape().size())
    return array.data_type() == DataType::Float32
               ? Json(static_cast<double>(array.data<float>()[index++]))
               : Json(materialize(cast(from_array(array), DataType::Int64)).data<std::int64_t>()[index++]);
  Json::Array items;
  for (std::int64_t i = 0; i < array.shape()[axis]; ++i) items.push_back(nested(array, axis + 1, index));
  return items;
}

/// One line of JSON for each example; with encoder_hidden_states of zeros where it has none and `width` is not 0.
std::string json_lines(const std::vector<FixtureCase>& examples, std::int64_t width = 0) {
  std::string lines;
  for (const FixtureCase& example : examples) {
    Json line{Json::Object{}};
    const auto add = [&](const std::string& name, const Array& array) {
      std::int64_t index = 0;
      line.set(name, nested(array, 1, index));
    };
    for (const auto& [name, array] : example.inputs) add(name, array);
    if (width > 0 && line.find("encoder_hidden_states") == nullptr) {
      const std::int64_t length = testing::find(example.inputs, "encoder_attention_mask")->shape().at(1);
      add("encoder_hidden_states",
          Array::float32({1, length, width}, std::vector<float>(static_cast<std::size_t>(length * width))));
    }
    lines += dump_json(line) + "\n";
  }
  return lines;
}

NamedArrays first_row(const NamedArrays& inputs) {
  NamedArrays rows;
  for (const auto& [name, array] : inputs) {
    std::vector<std::int64_t> shape = array.shape();
    shape[0] = 1;
    Array row(array.data_type(), shape);
    std::copy_n(array.bytes().begin(), row.bytes().size(), row.mutable_bytes().begin());
    rows.emplace_back(name, std::move(row));
  }
  return rows;
}

/// |a - b| / |b|
double relative_error(const Array& a, const Array& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double noise = 0;
  double signal = 0;
  for (std::int64_t i = 0; i < b.element_count(); ++i) {
    const auto x = static_cast<double>(a.data<float>()[i]);
    const auto y = static_cast<double>(b.data<float>()[i]);
    noise += (x - y) * (x - y);
    signal += y * y;
  }
  return std::sqrt(noise / signal);
}

// ---- Merged decoders ------------------------------------------------------------------------------------------------

class MergedStatic : public onnx::TemporaryDirectoryTest, public ::testing::WithParamInterface<DecoderPair> {
 protected:
  QuantizationResult quantize(const onnx::Model& model, const std::string& name, const std::string& data,
                              const CalibrationConfig& calibration = AutoCalibrationConfig::minmax({})) {
    const fs::path directory = directory_ / name;
    testing::write_checkpoint(GetParam().first, directory);
    fs::remove(directory / "model.safetensors");
    onnx::write_model(model, directory / (name + ".onnx"), {});
    QuantizeOptions options;
    options.model = directory;
    options.output = directory_ / (name + "-quantized");
    options.config = config_;
    options.calibration = calibration;
    if (!data.empty()) {
      options.calibration->data = directory_ / (name + ".jsonl");
      write_file(options.calibration->data, data);
    }
    return quantize_models(options);
  }
  fs::path quantized(const std::string& name) const {
    return directory_ / (name + "-quantized") / (name + "_quantized.onnx");
  }

  /// Errors of the outputs, against transformers, of a branch and of the decoder that it was.
  void expect_as_good(const Session& merged, const Session& alone, bool use_cache) {
    const std::vector<FixtureCase> cases = testing::read_cases(use_cache ? GetParam().with_past : GetParam().first);
    for (const FixtureCase& example : cases) {
      const NamedArrays inputs = first_row(example.inputs);
      const std::vector<Array> expected = alone.run(inputs);
      std::vector<std::string> names;
      for (const Session::Value& value : alone.outputs()) names.push_back(value.name);
      const std::vector<Array> actual = merged.run(testing::branch_inputs(merged, inputs, use_cache, 0), names);
      for (std::size_t i = 0; i < names.size(); ++i) {
        EXPECT_LE(relative_error(actual[i], expected[i]), 1e-3) << names[i];
        const Array real = first_row({{names[i], *testing::find(example.outputs, names[i])}})[0].second;
        EXPECT_LE(relative_error(actual[i], real), relative_error(expected[i], real) + 1e-3) << names[i];
        EXPECT_LE(relative_error(actual[i], real), 0.1) << names[i];
      }
    }
  }

  /// All that both branches need: with a past, encoder_hidden_states are an input that is not read.
  std::string data_of_both() const {
    const std::vector<FixtureCase> first = testing::read_cases(GetParam().first);
    const Array* states = testing::find(first.front().inputs, "encoder_hidden_states");
    return json_lines(first) + json_lines(testing::read_cases(GetParam().with_past), states->shape().at(2));
  }

  /// reduce_range: products of unsigned and signed bytes overflow in processors without VNNI.
  /// Without sums: scores that are masked by adding -3e38 are lost in integers.
  static std::vector<std::string> products() { return {"MatMul", "Gemm", "Gather", "Relu"}; }

  QuantizationConfig config_ = AutoQuantizationConfig::avx2(
      {.is_static = true, .per_channel = false, .reduce_range = true, .operators_to_quantize = products()});
};

TEST_P(MergedStatic, IsAsGoodAsTheDecodersAlone) {
  for (const bool per_channel : {false, true}) {
    config_ = AutoQuantizationConfig::avx2(
        {.is_static = true, .per_channel = per_channel, .reduce_range = true, .operators_to_quantize = products()});
    const auto alone = [&](const char* name, const DecoderPair& pair, const testing::FixtureFile& file) {
      return quantize(testing::lower_decoder(pair, name), name, json_lines(testing::read_cases(file)));
    };
    const QuantizationResult first = alone("decoder_model", GetParam(), GetParam().first);
    const QuantizationResult with_past = alone("decoder_with_past_model", GetParam(), GetParam().with_past);
    const QuantizationResult merged = quantize(testing::merge(GetParam()), "decoder_model_merged", data_of_both());
    for (const auto& [op_type, count] : first.models[0].quantized_nodes)
      EXPECT_EQ(merged.models[0].quantized_nodes.at(op_type), count + with_past.models[0].quantized_nodes.at(op_type))
          << op_type;
    const Session session(quantized("decoder_model_merged"));
    expect_as_good(session, Session(quantized("decoder_model")), false);
    expect_as_good(session, Session(quantized("decoder_with_past_model")), true);
    for (const char* name : {"decoder_model", "decoder_with_past_model", "decoder_model_merged"})
      fs::remove_all(directory_ / (std::string(name) + "-quantized"));
  }
}

TEST_P(MergedStatic, HasTheIntegersOfEachWeightOnce) {
  quantize(testing::merge(GetParam()), "decoder_model_merged", "");
  const onnx::Model model = onnx::read_model(quantized("decoder_model_merged"));
  int integers = 0;
  std::set<std::string> names;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Initializer& weight : graph.initializers) {
      EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
      if (weight.source.shape.size() < 2) continue;
      EXPECT_EQ(&graph, &model.graph) << weight.name;
      integers += weight.source.data_type == DataType::Int8 || weight.source.data_type == DataType::UInt8;
    }
  });
  const onnx::Model alone = testing::lower_decoder(GetParam(), "decoder_model");
  EXPECT_GT(integers, 0);
  EXPECT_LE(integers, std::count_if(alone.graph.initializers.begin(), alone.graph.initializers.end(),
                                    [](const auto& weight) { return weight.source.shape.size() >= 2; }));
}

TEST_P(MergedStatic, IsRefusedInTheOtherFormat) {
  config_.format = QuantFormat::QOperator;
  EXPECT_TRUE(
      message_of(ErrorKind::InvalidArgument, [&] { quantize(testing::merge(GetParam()), "decoder_model_merged", ""); })
          .starts_with("decoder_model_merged.onnx has branches of If, which static quantization reaches in the "
                       "QDQ format only"));
  EXPECT_FALSE(fs::exists(directory_ / "decoder_model_merged-quantized"));
}

/// Random samples take both branches in turn.
TEST_P(MergedStatic, IsCalibratedWithRandomSamples) {
  CalibrationConfig calibration = AutoCalibrationConfig::minmax({});
  calibration.num_samples = 4;
  quantize(testing::merge(GetParam()), "decoder_model_merged", "", calibration);
  const CalibrationDataOptions data{.model_directory = directory_ / "decoder_model_merged", .num_samples = 4};
  const quantization::ModelMeasurement measured = quantization::measure_outputs(
      data.model_directory / "decoder_model_merged.onnx", quantized("decoder_model_merged"), data);
  EXPECT_EQ(measured.samples, 4);
  for (const quantization::OutputError& output : measured.outputs) EXPECT_LE(output.relative, 0.2) << output.name;
}

TEST_P(MergedStatic, NeedsDataOfBothBranches) {
  const auto refused = [&](const std::string& data) {
    return message_of(ErrorKind::InvalidArgument,
                      [&] { quantize(testing::merge(GetParam()), "decoder_model_merged", data); });
  };
  EXPECT_TRUE(refused(json_lines(testing::read_cases(GetParam().first)))
                  .starts_with("no sample of the calibration data takes the then_branch of \"optimum::if\" in "
                               "decoder_model_merged.onnx: give samples for both branches"));
  EXPECT_FALSE(fs::exists(directory_ / "decoder_model_merged-quantized"));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, MergedStatic, ::testing::ValuesIn(testing::decoder_pairs()), testing::test_name);

// ---- Everything in branches -----------------------------------------------------------------------------------------

/// The model's nodes in both branches of an If, its weights around it.
onnx::Model in_branches(onnx::Model model) {
  onnx::Graph branch;
  branch.name = "branch";
  branch.nodes = std::move(model.graph.nodes);
  branch.outputs = model.graph.outputs;
  branch.value_infos = std::move(model.graph.value_infos);
  model.graph.value_infos.clear();
  model.graph.inputs.push_back(
      {.name = onnx::use_cache_branch, .data_type = DataType::Bool, .shape = {std::int64_t{1}}});
  onnx::Node node{.op_type = "If",
                  .domain = {},
                  .name = "if",
                  .inputs = {onnx::use_cache_branch},
                  .outputs = {},
                  .attributes = {{"then_branch", onnx::Subgraph(branch)}, {"else_branch", onnx::Subgraph(branch)}}};
  for (onnx::ValueInfo& output : model.graph.outputs) {
    output.name += "_of_if";
    node.outputs.push_back(output.name);
  }
  model.graph.nodes = {std::move(node)};
  return model;
}

struct StaticCase {
  std::string model;
  std::string name;
  QuantizationConfig config;
};

std::vector<StaticCase> static_cases() {
  std::vector<StaticCase> cases;
  for (const std::string model : {"static", "operators"}) {
    const auto add = [&](std::string name, QuantizationConfig config) {
      cases.push_back({model, std::move(name), std::move(config)});
    };
    add("avx2", AutoQuantizationConfig::avx2({.is_static = true, .per_channel = false}));
    add("per_channel", AutoQuantizationConfig::avx512_vnni({.is_static = true}));
    add("symmetric", AutoQuantizationConfig::arm64({.is_static = true, .use_symmetric_activations = true}));
    QuantizationConfig pairs = AutoQuantizationConfig::avx2({.is_static = true, .per_channel = false});
    pairs.qdq_add_pair_to_weight = true;
    pairs.qdq_dedicated_pair = true;
    add("pairs", pairs);
  }
  return cases;
}

class StaticInBranches : public onnx::TemporaryDirectoryTest, public ::testing::WithParamInterface<StaticCase> {
 protected:
  fs::path quantize(const onnx::Model& model, const std::string& name) {
    onnx::write_model(model, directory_ / (name + ".onnx"), {});
    QuantizeOptions options;
    options.model = directory_ / (name + ".onnx");
    options.output = directory_ / (name + "-quantized");
    options.config = GetParam().config;
    options.calibration_tensors_range = ranges_;
    result_ = quantize_models(options);
    return options.output / (name + "_quantized.onnx");
  }

  CalibrationRanges ranges_;
  QuantizationResult result_;
};

TEST_P(StaticInBranches, ComputesTheSame) {
  const onnx::Model model = onnx::read_model(fixtures() / (GetParam().model + ".onnx"));
  onnx::Model branches = in_branches(model);
  // One sample has the same ranges in both branches, which the branches' own names tell apart.
  const ORTQuantizer quantizer = ORTQuantizer::from_pretrained(fixtures(), GetParam().model + ".onnx");
  ranges_ = quantizer.fit(AutoCalibrationConfig::minmax({}));
  const Session plain(quantize(model, "plain"));
  const auto plain_nodes = result_.models[0].quantized_nodes;
  for (const auto& [name, range] : CalibrationRanges(ranges_)) ranges_.emplace(name + "_else_branch", range);
  const Session session(quantize(branches, "branches"));
  for (const auto& [op_type, count] : plain_nodes)
    EXPECT_EQ(result_.models[0].quantized_nodes.at(op_type), 2 * count) << op_type;

  CalibrationData samples({.num_samples = 3}, plain.inputs());
  while (const auto sample = samples.next()) {
    const std::vector<Array> expected = plain.run(*sample);
    for (const bool use_cache : {false, true}) {
      Array flag(DataType::Bool, {1});
      *flag.mutable_data<std::uint8_t>() = use_cache;
      NamedArrays inputs = *sample;
      inputs.emplace_back(onnx::use_cache_branch, flag);
      const std::vector<Array> actual = session.run(inputs);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_TRUE(std::ranges::equal(actual[i].bytes(), expected[i].bytes()))
            << plain.outputs()[i].name << ": " << relative_error(actual[i], expected[i]);
    }
  }
}

std::string case_name(const ::testing::TestParamInfo<StaticCase>& info) {
  return info.param.model + "_" + info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Configs, StaticInBranches, ::testing::ValuesIn(static_cases()), case_name);

}  // namespace
}  // namespace onnxport
