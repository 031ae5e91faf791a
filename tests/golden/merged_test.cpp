// decoder_model_merged: the decoders of an encoder-decoder in one file. Its branches against the values that
// transformers computed, its names and shapes against the files that Optimum writes (tools/merged.py).
#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "architectures/build.h"
#include "onnx/lowering.h"
#include "onnx/merge_decoders.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/json.h"
#include "runtime/session.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

/// The files of one fixture's decoders with a cache.
struct DecoderPair {
  FixtureFile first;
  FixtureFile with_past;
};

void PrintTo(const DecoderPair& pair, std::ostream* out) { *out << pair.first.fixture << "/" << pair.first.task; }

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

onnx::Model merge(const DecoderPair& pair, const Target& target) {
  const Checkpoint checkpoint = materialize_checkpoint(pair.first);
  const BuiltTask task = build_task(checkpoint, architecture_of(Config(checkpoint.config)), pair.first.task);
  const auto lower = [&](std::string_view name) {
    for (const BuiltModel& model : task.models)
      if (model.name == name) return onnx::lower_graph(*model.graph, target);
    throw std::runtime_error("the task has no file " + std::string(name));
  };
  return onnx::merge_decoders(lower("decoder_model"), lower("decoder_with_past_model"));
}

struct Written {
  onnx::Model model;
  fs::path path;
  Written(onnx::Model merged, onnx::WeightStorage storage)
      : model(std::move(merged)),
        path(fs::temp_directory_path() / ("onnxport-merged-" + std::to_string(getpid()) + ".onnx")) {
    onnx::WriteOptions options;
    options.weights = storage;
    onnx::write_model(model, path, options);
  }
  ~Written() {
    fs::remove(path);
    fs::remove(path.string() + "_data");
  }
};

const Array* find(const NamedArrays& arrays, const std::string& name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& a) { return a.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

Array converted(const Array& array, DataType type) {
  return array.data_type() == type || array.data_type() == DataType::Int64 ? array
                                                                           : materialize(cast(from_array(array), type));
}

Array flag(bool value) {
  Array array(DataType::Bool, {1});
  *array.mutable_data<std::uint8_t>() = value;
  return array;
}

/// What the other branch alone has: NaN, which would show if anything of it were read; `length` long, where a caller is
/// free to choose.
Array unused(const Session::Value& value, std::int64_t batch, std::int64_t length) {
  std::vector<std::int64_t> shape = value.shape;
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    if (shape[axis] < 0) shape[axis] = value.axis_names[axis] == "batch_size" ? batch : length;
  Array array(DataType::Float32, std::move(shape));
  std::fill_n(array.mutable_data<float>(), array.element_count(), NAN);
  return converted(array, value.data_type);
}

void run_branch(const Session& session, const FixtureCase& example, bool use_cache, std::int64_t length, double atol) {
  NamedArrays inputs;
  const std::int64_t batch = find(example.inputs, "input_ids")->shape()[0];
  for (const Session::Value& value : session.inputs()) {
    const Array* given = find(example.inputs, value.name);
    inputs.emplace_back(value.name, value.name == onnx::use_cache_branch ? flag(use_cache)
                                    : given != nullptr                   ? converted(*given, value.data_type)
                                                                         : unused(value, batch, length));
  }
  const std::vector<Array> outputs = session.run(inputs);
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
    EXPECT_LE(difference, atol * largest) << name << (use_cache ? ", with cache" : ", without cache");
  }
}

class MergedDecoder : public ::testing::TestWithParam<DecoderPair> {
 protected:
  static void run_both(const Target& target, onnx::WeightStorage storage, double atol) {
    const Written written(merge(GetParam(), target), storage);
    const Session session(written.path, {.intra_op_num_threads = 1});
    // Optimum passes pasts of length 1 to the first step, transformers.js of length 0.
    for (const std::int64_t length : {0, 1}) {
      for (const FixtureCase& example : read_cases(GetParam().first)) run_branch(session, example, false, length, atol);
      for (const FixtureCase& example : read_cases(GetParam().with_past))
        run_branch(session, example, true, length, atol);
    }
  }
};

TEST_P(MergedDecoder, ReproducesTransformersInBothBranches) { run_both({}, onnx::WeightStorage::Automatic, 1e-4); }

TEST_P(MergedDecoder, WithExternalData) { run_both({}, onnx::WeightStorage::External, 1e-4); }

TEST_P(MergedDecoder, LowersToFloat16) {
  run_both({.data_type = DataType::Float16}, onnx::WeightStorage::Automatic, 2e-2);
}

TEST_P(MergedDecoder, LowersToEveryOpset) {
  for (const int opset : {onnx::minimum_opset, 15, 17, 20, 23, onnx::maximum_opset})
    run_both({.opset = opset}, onnx::WeightStorage::Automatic, 1e-4);
}

TEST_P(MergedDecoder, HasEachWeightOnce) {
  for (const DataType type : {DataType::Float32, DataType::Float16}) {
    const onnx::Model merged = merge(GetParam(), {.data_type = type});
    std::set<std::string> names;
    for (const onnx::Initializer& weight : merged.graph.initializers) {
      EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
      EXPECT_EQ(weight.name.find("_merged_"), std::string::npos) << weight.name << " is there twice";
    }
    for (const onnx::Attribute& branch : merged.graph.nodes.front().attributes)
      for (const onnx::Initializer& left : std::get<onnx::Subgraph>(branch.value)->initializers)
        EXPECT_TRUE(left.source.shape.empty() || left.source.data_type == DataType::Int64) << left.name;
  }
}

std::string test_name(const ::testing::TestParamInfo<DecoderPair>& parameter) {
  std::string name = parameter.param.first.fixture + "__" + parameter.param.first.task;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, MergedDecoder, ::testing::ValuesIn(decoder_pairs()), test_name);

// ---- As Optimum writes it -------------------------------------------------------------------------------------------

Json signature(const std::vector<onnx::ValueInfo>& values) {
  Json::Array result;
  for (const onnx::ValueInfo& value : values) {
    Json::Array shape;
    for (const onnx::Dimension& dimension : value.shape)
      std::visit([&](const auto& size) { shape.emplace_back(size); }, dimension);
    const char* type = value.data_type == DataType::Float32 ? "FLOAT"
                       : value.data_type == DataType::Int64 ? "INT64"
                                                            : "BOOL";
    result.push_back(Json::Array{value.name, type, std::move(shape)});
  }
  return result;
}

Json strings(const std::vector<std::string>& values) { return Json::Array(values.begin(), values.end()); }

Json describe(const onnx::Model& model) {
  const onnx::Node& node = model.graph.nodes.at(0);
  Json branches = Json::Object{};
  Json branch_outputs = Json::Object{};
  Json empty_outputs = Json::Object{};
  for (const onnx::Attribute& attribute : node.attributes) {
    const onnx::Graph& graph = *std::get<onnx::Subgraph>(attribute.value);
    branches.set(attribute.name, graph.name);
    branch_outputs.set(attribute.name, signature(graph.outputs));
    if (attribute.name != "then_branch") continue;
    for (const onnx::Node& inner : graph.nodes) {
      if (inner.op_type != "Constant") continue;
      const auto& shape = std::get<Array>(inner.attributes.at(0).value).shape();
      empty_outputs.set(inner.outputs.at(0), Json::Array(shape.begin(), shape.end()));
    }
  }
  Json result;
  result.set("ir_version", model.ir_version);
  result.set("graph", model.graph.name);
  result.set("node", Json::Array{node.op_type, node.name, strings(node.inputs), strings(node.outputs)});
  result.set("branches", std::move(branches));
  result.set("inputs", signature(model.graph.inputs));
  result.set("outputs", signature(model.graph.outputs));
  result.set("branch_outputs", std::move(branch_outputs));
  result.set("empty_outputs", std::move(empty_outputs));
  return result;
}

TEST(MergedDecoderSignature, IsThatOfOptimum) {
  const fs::path path = fixtures_directory().parent_path() / "merged_signatures.json";
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const Json expected = parse_json(text.str(), path.string());
  std::size_t compared = 0;
  for (const DecoderPair& pair : decoder_pairs()) {
    const std::string key = pair.first.fixture + "/" + pair.first.task;
    const Json* signature_of = expected.find(key);
    if (signature_of == nullptr) continue;
    const Written written(merge(pair, {}), onnx::WeightStorage::Automatic);
    EXPECT_EQ(dump_json(describe(onnx::read_model(written.path))), dump_json(*signature_of)) << key;
    ++compared;
  }
  EXPECT_EQ(compared, expected.object().size()) << "a fixture of " << path << " is gone";
}

}  // namespace
}  // namespace onnxport::testing
