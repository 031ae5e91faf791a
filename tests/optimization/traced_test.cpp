// Files that Optimum traced: optimized, they compute what they computed before, and have the fused operators.
// make_traced.py made them.
#include <filesystem>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnx/reader.h"
#include "onnxport/json.h"
#include "optimization/optimize_model.h"
#include "optimization/run_model.h"
#include "support/fixture.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;
using Counts = std::map<std::string, std::int64_t>;

/// How far tanh for erf may take the outputs of two layers, relative to the largest.
constexpr double kApproximation = 5e-2;

struct Traced {
  std::string name;
  Counts fused;  ///< of O2: all there are
  /// Fusions that are left somewhere, with a reason that is told: SkipLayerNormalization of word and position
  /// embeddings, as these lack the axis of the batch, and all of deberta-v2, whose scripted If hides the shapes of its
  /// attention.
  std::set<std::string> left{};
};

void PrintTo(const Traced& traced, std::ostream* out) { *out << traced.name; }

const std::vector<Traced>& traced_files() {
  static const std::vector<Traced> files{
      {"albert",
       {{"FastGelu", 2}, {"LayerNormalization", 1}, {"MultiHeadAttention", 2}, {"SkipLayerNormalization", 4}},
       {"SkipLayerNormalization"}},
      {"bart.decoder_model",
       {{"Attention", 2},
        {"BiasGelu", 2},
        {"LayerNormalization", 1},
        {"MultiHeadAttention", 2},
        {"SkipLayerNormalization", 6}},
       {"SkipLayerNormalization"}},
      {"bart.decoder_with_past_model",
       {{"BiasGelu", 2}, {"LayerNormalization", 1}, {"MultiHeadAttention", 4}, {"SkipLayerNormalization", 6}},
       {"SkipLayerNormalization"}},
      {"bart.encoder_model", {{"Attention", 2}, {"BiasGelu", 2}, {"SkipLayerNormalization", 5}}},
      {"bert",
       {{"Attention", 2}, {"BiasGelu", 2}, {"LayerNormalization", 1}, {"SkipLayerNormalization", 4}},
       {"SkipLayerNormalization"}},
      {"clip",
       {{"Attention", 4}, {"LayerNormalization", 4}, {"QuickGelu", 4}, {"SkipLayerNormalization", 7}},
       {"SkipLayerNormalization"}},
      {"deberta-v2", {{"BiasGelu", 2}, {"LayerNormalization", 6}}, {"SkipLayerNormalization"}},
      {"distilbert",
       {{"Attention", 2}, {"BiasGelu", 2}, {"LayerNormalization", 1}, {"SkipLayerNormalization", 4}},
       {"SkipLayerNormalization"}},
      {"esm",
       {{"BiasGelu", 2},
        {"LayerNormalization", 1},
        {"MultiHeadAttention", 2},
        {"RotaryEmbedding", 4},
        {"SkipLayerNormalization", 4}}},
      {"gpt2", {{"FastGelu", 2}, {"MultiHeadAttention", 2}, {"SkipLayerNormalization", 5}}},
      {"gpt2_with_past", {{"FastGelu", 2}, {"MultiHeadAttention", 2}, {"SkipLayerNormalization", 5}}},
      {"llama",
       {{"MultiHeadAttention", 2},
        {"QuickGelu", 2},
        {"RotaryEmbedding", 4},
        {"SimplifiedLayerNormalization", 1},
        {"SkipSimplifiedLayerNormalization", 4}}},
      {"mistral",
       {{"MultiHeadAttention", 2},
        {"QuickGelu", 2},
        {"RotaryEmbedding", 4},
        {"SimplifiedLayerNormalization", 1},
        {"SkipSimplifiedLayerNormalization", 4}}},
      {"modernbert",
       {{"Gelu", 2},
        {"LayerNormalization", 1},
        {"MultiHeadAttention", 2},
        {"RotaryEmbedding", 4},
        {"SkipLayerNormalization", 4}}},
      {"qwen2",
       {{"MultiHeadAttention", 2},
        {"QuickGelu", 2},
        {"RotaryEmbedding", 4},
        {"SimplifiedLayerNormalization", 1},
        {"SkipSimplifiedLayerNormalization", 4}}},
      {"roberta", {{"Attention", 2}, {"BiasGelu", 3}, {"LayerNormalization", 1}, {"SkipLayerNormalization", 5}}},
      {"t5.decoder_model",
       {{"Attention", 2},
        {"FastGelu", 2},
        {"MultiHeadAttention", 2},
        {"SimplifiedLayerNormalization", 1},
        {"SkipSimplifiedLayerNormalization", 6}}},
      {"t5.decoder_with_past_model",
       {{"FastGelu", 2},
        {"MultiHeadAttention", 4},
        {"SimplifiedLayerNormalization", 1},
        {"SkipSimplifiedLayerNormalization", 6}}},
      {"t5.encoder_model",
       {{"Attention", 2},
        {"FastGelu", 2},
        {"SimplifiedLayerNormalization", 1},
        {"SkipSimplifiedLayerNormalization", 4}}},
      {"t5_merged.decoder_model_merged",
       {{"Attention", 2},
        {"FastGelu", 4},
        {"MultiHeadAttention", 6},
        {"SimplifiedLayerNormalization", 2},
        {"SkipSimplifiedLayerNormalization", 12}}},
      {"vit", {{"Attention", 2}, {"BiasGelu", 2}, {"LayerNormalization", 1}, {"SkipLayerNormalization", 4}}},
  };
  return files;
}

fs::path directory() { return source_directory() / "tests/optimization/traced"; }

std::vector<FixtureCase> cases_of(const std::string& name) {
  FixtureFile file;
  file.path = directory() / (name + ".safetensors");
  return read_cases(file);
}

/// Operators of ONNX Runtime, and those of ONNX that are put in the place of several nodes.
Counts fused_operators(const onnx::Model& model) {
  Counts counts;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      if (node.domain == "com.microsoft" || node.op_type == "LayerNormalization" ||
          node.op_type == "SimplifiedLayerNormalization")
        ++counts[node.op_type];
  });
  return counts;
}

class TracedModel : public ::testing::TestWithParam<Traced> {
 protected:
  void optimize(const OptimizationConfig& config) {
    model = onnx::read_model(directory() / (GetParam().name + ".onnx"));
    optimization::optimize_model(model, config, report);
  }
  void expect_same(double relative) const {
    int index = 0;
    for (const FixtureCase& example : cases_of(GetParam().name)) {
      const std::vector<Array> outputs = run(model, example);
      ASSERT_EQ(outputs.size(), example.outputs.size());
      for (std::size_t i = 0; i < outputs.size(); ++i)
        EXPECT_LE(difference(outputs[i], example.outputs[i].second, relative, relative), 1)
            << "case " << index << ", " << example.outputs[i].first;
      ++index;
    }
    EXPECT_GE(index, 2) << "there are no cases";
  }

  onnx::Model model;
  OptimizedModel report;
};

TEST_P(TracedModel, BasicKeepsValues) {
  optimize(AutoOptimizationConfig::O1());
  expect_same(1e-4);
}

TEST_P(TracedModel, FusionsKeepValuesAndAreAllFound) {
  optimize(AutoOptimizationConfig::O2());
  expect_same(1e-4);
  EXPECT_EQ(fused_operators(model), GetParam().fused);
  std::set<std::string> left;
  for (const LeftPattern& pattern : report.left) {
    left.insert(pattern.fusion);
    EXPECT_FALSE(pattern.reason.empty());
  }
  EXPECT_EQ(left, GetParam().left);
}

/// Off by default, as in Optimum.
TEST_P(TracedModel, EmbeddingsAreFusedOnRequest) {
  static const std::set<std::string> with_words_and_positions{"bert",
                                                              "roberta",
                                                              "distilbert",
                                                              "albert",
                                                              "gpt2",
                                                              "clip",
                                                              "gpt2_with_past",
                                                              "bart.encoder_model",
                                                              "bart.decoder_model",
                                                              "bart.decoder_with_past_model"};
  OptimizationConfig config = AutoOptimizationConfig::O2();
  config.disable_embed_layer_norm_fusion = false;
  optimize(config);
  expect_same(1e-4);
  EXPECT_EQ(fused_operators(model)["EmbedLayerNormalization"], with_words_and_positions.count(GetParam().name));
}

/// The rotations stay, and attention is fused around them.
TEST_P(TracedModel, RotationsStayWhereTheirFusionIsDisabled) {
  OptimizationConfig config = AutoOptimizationConfig::O2();
  config.disable_rotary_embeddings = true;
  optimize(config);
  expect_same(1e-4);
  Counts expected = GetParam().fused;
  expected.erase("RotaryEmbedding");
  EXPECT_EQ(fused_operators(model), expected);
}

TEST_P(TracedModel, ApproximationStaysNear) {
  optimize(AutoOptimizationConfig::O3());
  expect_same(kApproximation);
}

/// Fused operators of the same kind: one Attention takes the place of another.
Counts by_kind(const Counts& counts) {
  static const std::map<std::string, std::string> kinds{{"Attention", "attention"}, {"MultiHeadAttention", "attention"},
                                                        {"BiasGelu", "activation"}, {"FastGelu", "activation"},
                                                        {"Gelu", "activation"},     {"QuickGelu", "activation"}};
  Counts result;
  for (const auto& [name, count] : counts) {
    const auto kind = kinds.find(name);
    result[kind == kinds.end() ? name : kind->second] += count;
  }
  // A sum that is normalized is fused better than a normalization alone.
  result["normalization"] = result["LayerNormalization"] + result["SimplifiedLayerNormalization"] +
                            result["SkipLayerNormalization"] + result["SkipSimplifiedLayerNormalization"];
  result.erase("LayerNormalization");
  result.erase("SimplifiedLayerNormalization");
  return result;
}

/// operators.json has what optimum.onnxruntime.ORTOptimizer makes of the same files.
TEST_P(TracedModel, AtLeastWhatOptimumFuses) {
  const Json table = parse_json(read_text_file(directory() / "operators.json"), "operators.json");
  const Json* optimum = table.find(GetParam().name);
  ASSERT_NE(optimum, nullptr);
  if (optimum->is_string()) return;  // Optimum refuses the model type
  Counts theirs;
  for (const auto& [name, count] : optimum->object()) theirs[name] = count.integer();
  optimize(AutoOptimizationConfig::O2());
  Counts ours = by_kind(fused_operators(model));
  for (const auto& [kind, count] : by_kind(theirs)) {
    // onnxruntime fuses without knowing the shapes of the summands.
    if (GetParam().name == "deberta-v2" && kind == "SkipLayerNormalization") continue;
    EXPECT_GE(ours[kind], count) << kind;
  }
}

TEST(TracedModels, AreAllHere) {
  std::set<std::string> stored;
  std::set<std::string> listed;
  for (const auto& entry : fs::directory_iterator(directory()))
    if (entry.path().extension() == ".onnx") stored.insert(entry.path().stem().string());
  for (const Traced& traced : traced_files()) listed.insert(traced.name);
  EXPECT_EQ(stored, listed);
}

std::string test_name(const ::testing::TestParamInfo<Traced>& info) {
  std::string name = info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Files, TracedModel, ::testing::ValuesIn(traced_files()), test_name);

}  // namespace
}  // namespace onnxport::testing
