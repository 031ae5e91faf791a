// Attention and rotations in the forms of torch's tracer, and what looks alike and must stay.
#include <algorithm>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "optimization/test_model.h"

namespace onnxport::optimization {
namespace {

using Strings = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

std::int64_t count(const TestModel& model, const std::string& op_type) {
  const Strings operators = model.operators();
  return std::count(operators.begin(), operators.end(), op_type);
}

/// Softmax(query * key^T + mask) * value with 2 heads of 4, whose rows of NaN become zero.
/// `mask`: the node that makes the value "mask" from the booleans "allowed", which have `heads` heads.
TestModel guarded(const std::function<void(TestModel&)>& mask, std::int64_t heads = 1) {
  TestModel model;
  model.input("m", {std::string("batch"), heads, std::string("length"), std::string("length")});
  model.node("Cast", {"m"}, "allowed", {{"to", std::int64_t{9}}});
  model.integers("split", {0, 0, 2, 4}).integers("merge", {0, 0, 8});
  model.scalar("zero", 0).scalar("never", -std::numeric_limits<float>::infinity());
  mask(model);
  float first = 1;
  for (const std::string name : {"q", "k", "v"}) {
    model.weight(name + "_weight", {8, 8}, first++);
    model.node("MatMul", {"x", name + "_weight"}, name).node("Reshape", {name, "split"}, name + "_split");
    model.node("Transpose", {name + "_split"}, name + "_heads",
               {{"perm", Integers{0, 2, name == "k" ? 3 : 1, name == "k" ? 1 : 3}}});
  }
  model.node("MatMul", {"q_heads", "k_heads"}, "scores").node("Add", {"scores", "mask"}, "masked");
  model.node("Softmax", {"masked"}, "raw", {{"axis", std::int64_t{-1}}}).node("IsNaN", {"raw"}, "is_nan");
  model.node("Where", {"is_nan", "zero", "raw"}, "weights").node("MatMul", {"weights", "v_heads"}, "sum");
  model.node("Transpose", {"sum"}, "moved", {{"perm", Integers{0, 2, 1, 3}}}).node("Reshape", {"moved", "merge"}, "y");
  return model;
}

TEST(GuardedAttention, KeepsRowsOfZeros) {
  TestModel model = guarded([](TestModel& m) { m.node("Where", {"allowed", "zero", "never"}, "mask"); });
  model.optimize("O2");
  EXPECT_EQ(count(model, "com.microsoft.Attention"), 1);
  EXPECT_EQ(count(model, "ReduceMax"), 1);
  EXPECT_EQ(count(model, "IsNaN"), 0);
  EXPECT_EQ(model.model().graph.nodes.back().op_type, "Mul");
}

TEST(GuardedAttention, NeedsNoGuardWhereTheMaskIsFinite) {
  TestModel model = guarded([](TestModel& m) {
    m.scalar("seldom", -1e9F).node("Where", {"allowed", "zero", "seldom"}, "mask");
  });
  model.optimize("O2");
  EXPECT_EQ(model.model().graph.nodes.back().op_type, "Attention");
  EXPECT_EQ(count(model, "ReduceMax"), 0);
}

void expect_left(TestModel& model) {
  model.optimize("O2");
  EXPECT_EQ(count(model, "Softmax"), 1);
  ASSERT_FALSE(model.report().left.empty());
  EXPECT_EQ(model.report().left[0].fusion, "Attention");
  EXPECT_NE(model.report().left[0].reason.find("masked as a whole"), std::string::npos);
}

TEST(GuardedAttention, IsLeftWithAnotherMask) {
  TestModel model = guarded([](TestModel& m) { m.node("Log", {"m"}, "mask"); });
  expect_left(model);
}

/// A factor of rows cannot be one for each head.
TEST(GuardedAttention, IsLeftWithAMaskOfEachHead) {
  TestModel model = guarded([](TestModel& m) { m.node("Where", {"allowed", "zero", "never"}, "mask"); }, 2);
  expect_left(model);
}

/// x * cos + rotate_half(x) * sin with 2 heads of 4; angles (batch, length, 2), `again` beside them for the sine.
TestModel rotation(const std::string& again, std::int64_t half = 2) {
  TestModel model;
  const std::vector<onnx::Dimension> shape{std::string("batch"), std::string("length"), std::int64_t{2}};
  model.input("angles", shape).input("others", shape);
  model.integers("split", {0, 0, 2, 4});
  for (const auto& [name, values] : std::initializer_list<std::pair<const char*, Integers>>{
           {"start", {0}}, {"half", {half}}, {"end", {4}}, {"axis", {3}}, {"one", {1}}})
    model.integer_list(name, values);
  model.node("Reshape", {"x", "split"}, "s").node("Transpose", {"s"}, "h", {{"perm", Integers{0, 2, 1, 3}}});
  model.node("Concat", {"angles", "angles"}, "twice", {{"axis", std::int64_t{-1}}});
  model.node("Concat", {"angles", again}, "twice_again", {{"axis", std::int64_t{-1}}});
  model.node("Cos", {"twice"}, "c").node("Unsqueeze", {"c", "one"}, "cos");
  model.node("Sin", {"twice_again"}, "n").node("Unsqueeze", {"n", "one"}, "sin");
  model.node("Slice", {"h", "start", "half", "axis"}, "low").node("Slice", {"h", "half", "end", "axis"}, "high");
  model.node("Neg", {"high"}, "minus").node("Concat", {"minus", "low"}, "turned", {{"axis", std::int64_t{-1}}});
  model.node("Mul", {"h", "cos"}, "a").node("Mul", {"turned", "sin"}, "b").node("Add", {"a", "b"}, "y");
  return model;
}

TEST(RotaryEmbeddingFusion, Fuses) {
  TestModel model = rotation("angles");
  model.optimize("O2");
  EXPECT_EQ(count(model, "com.microsoft.RotaryEmbedding"), 1);
  EXPECT_EQ(count(model, "Neg"), 0);
}

TEST(RotaryEmbeddingFusion, NotWithOtherAngles) {
  TestModel model = rotation("others");
  model.optimize("O2");
  EXPECT_EQ(count(model, "com.microsoft.RotaryEmbedding"), 0);
  ASSERT_FALSE(model.report().left.empty());
  EXPECT_EQ(model.report().left[0].fusion, "RotaryEmbedding");
}

TEST(RotaryEmbeddingFusion, NotOfAnotherPart) {
  TestModel model = rotation("angles", 1);
  model.optimize("O2");
  EXPECT_EQ(count(model, "com.microsoft.RotaryEmbedding"), 0);
}

/// LayerNormalization of words and positions: rows `ids` and `places` of two tables.
TestModel embeddings(const std::vector<std::int64_t>& places) {
  TestModel model;
  model.input("i", {std::string("batch"), std::string("length")});
  model.node("Cast", {"i"}, "ids", {{"to", std::int64_t{7}}});
  model.weight("words", {6, 8}, 1).weight("positions", {4, 8}, 2).weight("gamma", {8}, 1).weight("beta", {8}, 2);
  model.integer_list("start", {0}).integer_list("axis", {1}).matrix("all", places);
  model.node("Shape", {"ids"}, "shape").node("Gather", {"shape", "axis"}, "length");
  model.node("Slice", {"all", "start", "length", "axis"}, "places");
  model.node("Gather", {"words", "ids"}, "a").node("Gather", {"positions", "places"}, "b");
  model.node("Add", {"a", "b"}, "sum").node("LayerNormalization", {"sum", "gamma", "beta"}, "y");
  return model;
}

TEST(EmbedLayerNormalizationFusion, CountsPositionsItself) {
  OptimizationConfig config = AutoOptimizationConfig::O2();
  config.disable_embed_layer_norm_fusion = false;
  TestModel model = embeddings({0, 1, 2, 3});
  model.optimize(config);
  EXPECT_EQ(model.model().graph.nodes.back().op_type, "EmbedLayerNormalization");
  EXPECT_EQ(model.model().graph.nodes.back().inputs.size(), 7U);

  TestModel other = embeddings({0, 2, 1, 3});
  other.optimize(config);
  EXPECT_EQ(other.model().graph.nodes.back().op_type, "EmbedLayerNormalization");
  EXPECT_EQ(other.model().graph.nodes.back().inputs.size(), 9U);
}

TEST(EmbedLayerNormalizationFusion, IsOffByDefault) {
  TestModel model = embeddings({0, 1, 2, 3});
  model.optimize("O2");
  EXPECT_EQ(count(model, "com.microsoft.EmbedLayerNormalization"), 0);
}

}  // namespace
}  // namespace onnxport::optimization
