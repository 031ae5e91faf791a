// decoder_model_merged: the decoders of an encoder-decoder in one file. Its branches against the values that
// transformers computed, its names and shapes against the files that Optimum writes (tools/merged.py).
#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "onnx/lowering.h"
#include "onnx/merge_decoders.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/json.h"
#include "runtime/session.h"
#include "support/merged_decoders.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

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

class MergedDecoder : public ::testing::TestWithParam<DecoderPair> {
 protected:
  static void run_both(const Target& target, onnx::WeightStorage storage, double atol) {
    const Written written(merge(GetParam(), target), storage);
    const Session session(written.path, {.intra_op_num_threads = 1});
    // Optimum passes pasts of length 1 to the first step, transformers.js of length 0.
    for (const std::int64_t length : {0, 1}) {
      for (const FixtureCase& example : read_cases(GetParam().first))
        expect_branch(session, example, false, length, atol);
      for (const FixtureCase& example : read_cases(GetParam().with_past))
        expect_branch(session, example, true, length, atol);
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
