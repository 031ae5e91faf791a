// Every fixture and task: what optimization makes of the exported model computes what transformers computed.
#include <algorithm>

#include <gtest/gtest.h>

#include "architectures/build.h"
#include "core/tensor_source.h"
#include "onnx/lowering.h"
#include "optimization/float16.h"
#include "optimization/optimize_model.h"
#include "optimization/run_model.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

onnx::Model lower(const FixtureFile& file, int opset) {
  const Checkpoint checkpoint = materialize_checkpoint(file);
  BuiltTask task = build_task(checkpoint, architecture_of(Config(checkpoint.config)), file.task);
  for (BuiltModel& model : task.models)
    if (model.name == file.submodel) return onnx::lower_graph(*model.graph, {.opset = opset});
  throw std::runtime_error("the task has no file " + file.submodel);
}

/// As float16 holds it: numbers beyond its range, such as the logits of excluded tokens, are its largest.
Array saturated(const Array& values) {
  if (values.data_type() != DataType::Float32) return values;
  return materialize(cast(cast(from_array(values), DataType::Float16), DataType::Float32));
}

class OptimizedGolden : public ::testing::TestWithParam<FixtureFile> {
 protected:
  void expect_same(const OptimizationConfig& config, int opset, double relative) const {
    const FixtureFile& file = GetParam();
    const onnx::Model before = lower(file, opset);
    onnx::Model model = before;
    OptimizedModel report;
    optimization::optimize_model(model, config, report);
    if (config.fp16) optimization::convert_to_float16(model);
    int index = 0;
    for (const FixtureCase& example : read_cases(file)) {
      const std::vector<Array> outputs = run(model, example);
      for (std::size_t i = 0; i < outputs.size(); ++i)
        EXPECT_LE(difference(outputs[i], config.fp16 ? saturated(example.outputs[i].second) : example.outputs[i].second,
                             std::stod(file.metadata.at("atol")), relative),
                  1)
            << "case " << index << ", " << example.outputs[i].first;
      ++index;
    }
  }
};

TEST_P(OptimizedGolden, BasicKeepsValues) { expect_same(AutoOptimizationConfig::O1(), 18, 1e-4); }
TEST_P(OptimizedGolden, FusionsKeepValues) { expect_same(AutoOptimizationConfig::O2(), 18, 1e-4); }
/// Normalizations and GELU are written out there.
TEST_P(OptimizedGolden, FusionsOfAnOldOpsetKeepValues) { expect_same(AutoOptimizationConfig::O2(), 14, 1e-4); }
/// tanh for erf is off by 5e-4 at most for one GELU; layers add up.
TEST_P(OptimizedGolden, ApproximationStaysNear) { expect_same(AutoOptimizationConfig::O3(), 18, 5e-2); }
/// float16 inside, and tanh for erf.
TEST_P(OptimizedGolden, MixedFloat16StaysNear) { expect_same(AutoOptimizationConfig::O4(), 18, 5e-2); }

std::string test_name(const ::testing::TestParamInfo<FixtureFile>& info) {
  std::string name = info.param.fixture + "__" + info.param.path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OptimizedGolden, ::testing::ValuesIn(fixture_files()), test_name);

}  // namespace
}  // namespace onnxport::testing
