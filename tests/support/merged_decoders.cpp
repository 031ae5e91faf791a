#include "support/merged_decoders.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "architectures/build.h"
#include "core/tensor_source.h"
#include "onnx/lowering.h"
#include "onnx/merge_decoders.h"

namespace onnxport::testing {
namespace {

Array flag(bool value) {
  Array array(DataType::Bool, {1});
  *array.mutable_data<std::uint8_t>() = value;
  return array;
}

Array unused(const Session::Value& value, std::int64_t batch, std::int64_t length) {
  std::vector<std::int64_t> shape = value.shape;
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    if (shape[axis] < 0) shape[axis] = value.axis_names[axis] == "batch_size" ? batch : length;
  Array array(DataType::Float32, std::move(shape));
  std::fill_n(array.mutable_data<float>(), array.element_count(), NAN);
  return converted(array, value.data_type);
}

}  // namespace

std::vector<DecoderPair> decoder_pairs() {
  const std::vector<FixtureFile>& files = fixture_files();
  std::vector<DecoderPair> pairs;
  for (const FixtureFile& with_past : files) {
    if (with_past.submodel != "decoder_with_past_model") continue;
    for (const FixtureFile& first : files)
      if (first.submodel == "decoder_model" && first.fixture == with_past.fixture && first.task == with_past.task)
        pairs.push_back({first, with_past});
  }
  return pairs;
}

onnx::Model lower_decoder(const DecoderPair& pair, std::string_view name, const Target& target) {
  const Checkpoint checkpoint = materialize_checkpoint(pair.first);
  const BuiltTask task = build_task(checkpoint, architecture_of(Config(checkpoint.config)), pair.first.task);
  for (const BuiltModel& model : task.models)
    if (model.name == name) return onnx::lower_graph(*model.graph, target);
  throw std::runtime_error("the task has no file " + std::string(name));
}

onnx::Model merge(const DecoderPair& pair, const Target& target) {
  return onnx::merge_decoders(lower_decoder(pair, "decoder_model", target),
                              lower_decoder(pair, "decoder_with_past_model", target));
}

const Array* find(const NamedArrays& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& a) { return a.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

Array converted(const Array& array, DataType type) {
  return array.data_type() == type || array.data_type() == DataType::Int64 ? array
                                                                           : materialize(cast(from_array(array), type));
}

NamedArrays branch_inputs(const Session& session, const NamedArrays& example, bool use_cache, std::int64_t length) {
  NamedArrays inputs;
  const std::int64_t batch = find(example, "input_ids")->shape()[0];
  for (const Session::Value& value : session.inputs()) {
    const Array* given = find(example, value.name);
    inputs.emplace_back(value.name, value.name == onnx::use_cache_branch ? flag(use_cache)
                                    : given != nullptr                   ? converted(*given, value.data_type)
                                                                         : unused(value, batch, length));
  }
  return inputs;
}

void expect_branch(const Session& session, const FixtureCase& example, bool use_cache, std::int64_t length,
                   double tolerance) {
  const std::vector<Array> outputs = session.run(branch_inputs(session, example.inputs, use_cache, length));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = session.outputs()[i].name;
    const Array* expected = find(example.outputs, name);
    if (expected == nullptr) {
      EXPECT_TRUE(use_cache && name.find(".encoder.") != std::string::npos) << name;
      EXPECT_EQ(outputs[i].element_count(), 0) << name;
      continue;
    }
    ASSERT_EQ(outputs[i].shape(), expected->shape()) << name;
    const Array actual = converted(outputs[i], DataType::Float32);
    double largest = 1;
    double difference = 0;
    for (std::int64_t k = 0; k < expected->element_count(); ++k) {
      const double a = static_cast<double>(actual.data<float>()[k]);
      const double e = static_cast<double>(expected->data<float>()[k]);
      largest = std::max(largest, std::fabs(e));
      difference = std::isnan(a) ? INFINITY : std::max(difference, std::fabs(a - e));
    }
    EXPECT_LE(difference, tolerance * largest) << name << (use_cache ? ", with cache" : ", without cache");
  }
}

std::string test_name(const ::testing::TestParamInfo<DecoderPair>& parameter) {
  std::string name = parameter.param.first.fixture + "__" + parameter.param.first.task;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

}  // namespace onnxport::testing
