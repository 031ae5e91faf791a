// Every fixture, task and case: the exported ONNX under ONNX Runtime, and the reference evaluation, against the values
// that transformers computed.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "architectures/build.h"
#include "graph/evaluate.h"
#include "onnx/lowering.h"
#include "onnxport/json.h"
#include "run_fixture.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

/// Equal but for rounding to float16, beyond whose range numbers saturate.
void expect_close_in_float16(const Array& actual, const Array& exact, const std::string& what) {
  const TensorSource rounded = cast(from_array(exact), DataType::Float16);
  const Array expected = materialize(cast(rounded, DataType::Float32));
  double largest = 1;
  for (float value : expected.values<float>()) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  expect_close(actual, expected, 2e-2 * largest, what);
}

/// {"input_ids": {"0": "batch_size", ...}, ...} of a fixture's metadata.
std::vector<std::pair<std::string, std::map<std::size_t, std::string>>> axes_of(const std::string& text) {
  std::vector<std::pair<std::string, std::map<std::size_t, std::string>>> result;
  const Json declared = parse_json(text, "fixture metadata");
  for (const auto& [name, axes] : declared.object()) {
    auto& entry = result.emplace_back(name, std::map<std::size_t, std::string>{}).second;
    for (const auto& [axis, symbol] : axes.object()) entry[std::stoul(axis)] = symbol.string();
  }
  return result;
}

void expect_signature(const std::vector<onnx::ValueInfo>& values, const std::string& declared, const char* what) {
  const auto expected = axes_of(declared);
  ASSERT_EQ(values.size(), expected.size()) << what;
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i].name, expected[i].first) << what << " " << i;
    for (const auto& [axis, symbol] : expected[i].second) {
      ASSERT_LT(axis, values[i].shape.size()) << values[i].name;
      const onnx::Dimension& dimension = values[i].shape[axis];
      // A length that Optimum declares as "1" is the static size 1.
      const std::string actual = std::holds_alternative<std::string>(dimension)
                                     ? std::get<std::string>(dimension)
                                     : std::to_string(std::get<std::int64_t>(dimension));
      EXPECT_EQ(actual, symbol) << what << " " << values[i].name << ", axis " << axis;
    }
  }
}

class Golden : public ::testing::TestWithParam<FixtureFile> {};

std::vector<std::string> output_names(const FixtureCase& example) {
  std::vector<std::string> names;
  for (const auto& [name, array] : example.outputs) names.push_back(name);
  return names;
}

TEST_P(Golden, ReproducesTransformers) {
  const FixtureFile& file = GetParam();
  const BuiltModel built = build_fixture(file);
  const onnx::Model model = onnx::lower_graph(*built.graph, {});
  expect_signature(model.graph.inputs, file.metadata.at("inputs"), "input");
  expect_signature(model.graph.outputs, file.metadata.at("outputs"), "output");
  const Session session = load_fixture(file, model);
  const double atol = std::stod(file.metadata.at("atol"));
  int index = 0;
  for (const FixtureCase& example : read_cases(file)) {
    const std::string where = "case " + std::to_string(index++);
    const std::vector<std::string> names = output_names(example);
    const std::vector<Array> outputs = session.run(example.inputs, names);
    const NamedArrays reference = evaluate_graph(*built.graph, example.inputs);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Array& expected = example.outputs[i].second;
      expect_close(outputs[i], expected, atol, where + ", ONNX Runtime, " + names[i]);
      const Array* evaluated = find(reference, names[i]);
      ASSERT_NE(evaluated, nullptr) << names[i];
      expect_close(*evaluated, expected, atol, where + ", evaluation, " + names[i]);
    }
  }
}

/// Every opset at which the lowering of an operator changes, and both ends.
TEST_P(Golden, LowersToEveryOpset) {
  const FixtureFile& file = GetParam();
  const BuiltModel built = build_fixture(file);
  const FixtureCase example = read_cases(file).front();
  const std::vector<std::string> names = output_names(example);
  for (int opset : {onnx::minimum_opset, 15, 17, 20, 23, onnx::maximum_opset}) {
    const Session session = load_fixture(file, onnx::lower_graph(*built.graph, {.opset = opset}));
    const std::vector<Array> outputs = session.run(example.inputs, names);
    for (std::size_t i = 0; i < names.size(); ++i)
      expect_close(outputs[i], example.outputs[i].second, std::stod(file.metadata.at("atol")),
                   "opset " + std::to_string(opset) + ", " + names[i]);
  }
}

/// ONNX Runtime's own operators, which --optimize O2 takes.
TEST_P(Golden, LowersToContribOperators) {
  const FixtureFile& file = GetParam();
  const BuiltModel built = build_fixture(file);
  const onnx::Model model = onnx::lower_graph(*built.graph, {.contrib_operators = true});
  expect_signature(model.graph.inputs, file.metadata.at("inputs"), "input");
  expect_signature(model.graph.outputs, file.metadata.at("outputs"), "output");
  const Session session = load_fixture(file, model);
  int index = 0;
  for (const FixtureCase& example : read_cases(file)) {
    const std::string where = "case " + std::to_string(index++);
    const std::vector<std::string> names = output_names(example);
    const std::vector<Array> outputs = session.run(example.inputs, names);
    for (std::size_t i = 0; i < names.size(); ++i)
      expect_close(outputs[i], example.outputs[i].second, std::stod(file.metadata.at("atol")), where + ", " + names[i]);
  }
}

/// --optimize O4: float16 inside, approximate GELU.
TEST_P(Golden, LowersToMixedFloat16) {
  const FixtureFile& file = GetParam();
  const BuiltModel built = build_fixture(file);
  const FixtureCase example = read_cases(file).front();
  const Session session = load_fixture(file, onnx::lower_graph(*built.graph, {.data_type = DataType::Float16,
                                                                              .contrib_operators = true,
                                                                              .gelu_approximation = true,
                                                                              .keep_io_types = true}));
  const std::vector<std::string> names = output_names(example);
  const std::vector<Array> outputs = session.run(example.inputs, names);
  for (std::size_t i = 0; i < names.size(); ++i)
    expect_close_in_float16(outputs[i], example.outputs[i].second, names[i]);
}

/// In float16 the outputs stay what they are but for rounding, and but for numbers beyond its range: the logits of
/// excluded tokens saturate.
TEST_P(Golden, LowersToFloat16) {
  const FixtureFile& file = GetParam();
  const BuiltModel built = build_fixture(file);
  const FixtureCase example = read_cases(file).front();
  const Session session = load_fixture(file, onnx::lower_graph(*built.graph, {.data_type = DataType::Float16}));
  NamedArrays inputs;
  for (const auto& [name, array] : example.inputs)
    inputs.emplace_back(
        name, array.data_type() == DataType::Float32 ? materialize(cast(from_array(array), DataType::Float16)) : array);
  const std::vector<std::string> names = output_names(example);
  const std::vector<Array> outputs = session.run(inputs, names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(outputs[i].data_type(), DataType::Float16) << names[i];
    expect_close_in_float16(materialize(cast(from_array(outputs[i]), DataType::Float32)), example.outputs[i].second,
                            names[i]);
  }
}

std::string test_name(const ::testing::TestParamInfo<FixtureFile>& info) {
  std::string name = info.param.fixture + "__" + info.param.path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden, ::testing::ValuesIn(fixture_files()), test_name);

/// No row without proof: what is registered has a fixture that the test above runs.
TEST(GoldenCoverage, EveryRegisteredTaskHasAFixture) {
  std::set<std::pair<std::string, std::string>> proven;
  for (const FixtureFile& file : fixture_files()) proven.emplace(file.metadata.at("model_type"), file.task);
  for (const auto& [model_type, architecture] : registry().architectures())
    for (const TaskDefinition& task : architecture.tasks)
      EXPECT_TRUE(proven.contains({model_type, task.task}))
          << model_type << " " << task.task << " has no golden fixture";
}

}  // namespace
}  // namespace onnxport::testing
