// Each pass on the smallest graph with its pattern, and on graphs that look alike and must stay as they are.
#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "optimization/test_model.h"

namespace onnxport::optimization {
namespace {

using Strings = std::vector<std::string>;
using Permutation = std::vector<std::int64_t>;

// ---- O1 -------------------------------------------------------------------------------------------------------------

TEST(ConstantFolding, ComputesWhatDependsOnConstantsAlone) {
  TestModel model;
  model.scalar("a", 2).scalar("b", 3);
  model.node("Sqrt", {"a"}, "root").node("Mul", {"root", "b"}, "c").node("Mul", {"x", "c"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Mul"}));
  EXPECT_NEAR(model.constant_of_last(), 3 * std::sqrt(2.0F), 1e-6F);
}

TEST(ConstantFolding, KnowsSizesThatAreFixed) {
  TestModel model;
  model.integers("last", {2});
  model.node("Shape", {"x"}, "shape").node("Gather", {"shape", "last"}, "size");
  model.node("Cast", {"size"}, "number", {{"to", std::int64_t{1}}}).node("Mul", {"x", "number"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Mul"}));
  EXPECT_EQ(model.constant_of_last(), 8);
}

TEST(ConstantFolding, LeavesSizesThatAreNotFixed) {
  TestModel model;
  model.integers("first", {0});
  model.node("Shape", {"x"}, "shape").node("Gather", {"shape", "first"}, "size");
  model.node("Cast", {"size"}, "number", {{"to", std::int64_t{1}}}).node("Mul", {"x", "number"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Shape", "Gather", "Cast", "Mul"}));
}

TEST(NoOps, Go) {
  TestModel model;
  model.scalar("zero", 0).scalar("one", 1);
  model.node("Identity", {"x"}, "a").node("Add", {"a", "zero"}, "b").node("Mul", {"one", "b"}, "c");
  model.node("Transpose", {"c"}, "d", {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  model.node("Transpose", {"d"}, "e", {{"perm", std::vector<std::int64_t>{1, 0, 2}}}).node("Relu", {"e"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Relu"}));
}

TEST(NoOps, ThatChangeTheShapeStay) {
  TestModel model;
  model.weight("zeros", {2, 1, 1, 1}, 0);
  model.node("Add", {"x", "zeros"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Add"}));
}

TEST(NoOps, AnOutputThatIsAnInputStays) {
  TestModel model;
  model.node("Identity", {"x"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Identity"}));
}

TEST(CommonSubexpressions, AreComputedOnce) {
  TestModel model;
  model.node("Relu", {"x"}, "a").node("Relu", {"x"}, "b").node("Add", {"a", "b"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"Relu", "Add"}));
}

TEST(CommonSubexpressions, RandomNumbersDiffer) {
  TestModel model;
  for (const char* name : {"a", "b"}) model.node("RandomNormalLike", {"x"}, name);
  model.node("Sub", {"a", "b"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators(), Strings({"RandomNormalLike", "RandomNormalLike", "Sub"}));
}

TEST(CommonSubexpressions, OtherAttributesDiffer) {
  TestModel model;
  model.node("LeakyRelu", {"x"}, "a", {{"alpha", 0.1F}}).node("LeakyRelu", {"x"}, "b", {{"alpha", 0.2F}});
  model.node("Add", {"a", "b"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.operators().size(), 3U);
}

TEST(WeightSharing, EqualWeightsAreStoredOnce) {
  TestModel model;
  model.weight("w", {8}, 1).weight("same", {8}, 1).weight("other", {8}, 2);
  model.node("Mul", {"x", "w"}, "a").node("Mul", {"a", "same"}, "b").node("Mul", {"b", "other"}, "y");
  model.optimize("O1");
  EXPECT_EQ(model.model().graph.initializers.size(), 2U);
}

// ---- LayerNormalization ---------------------------------------------------------------------------------------------

struct NormalizationVariant {
  std::vector<std::int64_t> axes{-1};
  std::int64_t keeps = 1;
  float power = 2;
  std::vector<std::int64_t> weight_shape{8};
};

TestModel normalization(const NormalizationVariant& variant = {}) {
  TestModel model;
  model.scalar("two", variant.power).scalar("epsilon", 1e-5F);
  model.weight("gamma", variant.weight_shape, 1).weight("beta", {8}, 2);
  const std::vector<onnx::Attribute> axes{{"axes", variant.axes}, {"keepdims", variant.keeps}};
  model.node("ReduceMean", {"x"}, "mean", axes).node("Sub", {"x", "mean"}, "centered");
  model.node("Pow", {"centered", "two"}, "square").node("ReduceMean", {"square"}, "variance", axes);
  model.node("Add", {"variance", "epsilon"}, "sum").node("Sqrt", {"sum"}, "deviation");
  model.node("Div", {"centered", "deviation"}, "normal").node("Mul", {"normal", "gamma"}, "scaled");
  model.node("Add", {"scaled", "beta"}, "y");
  return model;
}

TEST(LayerNormalizationFusion, Fuses) {
  TestModel model = normalization();
  model.optimize("O2");
  ASSERT_EQ(model.operators(), Strings({"LayerNormalization"}));
  const onnx::Node& node = model.model().graph.nodes[0];
  EXPECT_EQ(node.inputs, Strings({"x", "gamma", "beta"}));
  EXPECT_FLOAT_EQ(onnx::float_attribute(node, "epsilon", 0), 1e-5F);
}

TEST(LayerNormalizationFusion, NotOfAnotherAxis) {
  TestModel model = normalization({.axes = {1}});
  model.optimize("O2");
  EXPECT_EQ(model.operators().size(), 9U);
}

TEST(LayerNormalizationFusion, NotOfAnotherPower) {
  TestModel model = normalization({.power = 3});
  model.optimize("O2");
  EXPECT_EQ(model.operators().size(), 9U);
}

TEST(LayerNormalizationFusion, NotWhereAValueInsideIsAnOutput) {
  TestModel model = normalization();
  model.output("deviation");
  model.optimize("O2");
  EXPECT_EQ(model.operators().size(), 9U);
  ASSERT_FALSE(model.report().left.empty());
  EXPECT_EQ(model.report().left[0].fusion, "LayerNormalization");
}

TEST(LayerNormalizationFusion, IsOffWhereItIsDisabled) {
  TestModel model = normalization();
  OptimizationConfig config = AutoOptimizationConfig::O2();
  config.disable_layer_norm_fusion = true;
  model.optimize(config);
  EXPECT_EQ(model.operators().size(), 9U);
}

// ---- GELU -----------------------------------------------------------------------------------------------------------

TEST(GeluFusion, OfErf) {
  TestModel model;
  model.scalar("root", std::sqrt(2.0F)).scalar("one", 1).scalar("half", 0.5F);
  model.node("Div", {"x", "root"}, "a").node("Erf", {"a"}, "b").node("Add", {"b", "one"}, "c");
  model.node("Mul", {"x", "c"}, "d").node("Mul", {"d", "half"}, "y");
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"com.microsoft.Gelu"}));
}

TEST(GeluFusion, OfErfInAnotherOrder) {
  TestModel model;
  model.scalar("inverse", 1 / std::sqrt(2.0F)).scalar("one", 1).scalar("half", 0.5F);
  model.node("Mul", {"inverse", "x"}, "a").node("Erf", {"a"}, "b").node("Add", {"one", "b"}, "c");
  model.node("Mul", {"half", "x"}, "d").node("Mul", {"d", "c"}, "y");
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"com.microsoft.Gelu"}));
}

TEST(GeluFusion, NotWithAnotherFactor) {
  TestModel model;
  model.scalar("root", 1.5F).scalar("one", 1).scalar("half", 0.5F);
  model.node("Div", {"x", "root"}, "a").node("Erf", {"a"}, "b").node("Add", {"b", "one"}, "c");
  model.node("Mul", {"x", "c"}, "d").node("Mul", {"d", "half"}, "y");
  model.optimize("O2");
  EXPECT_EQ(model.operators().size(), 5U);
}

TEST(GeluFusion, NotWhereAValueInsideIsUsedElsewhere) {
  TestModel model;
  model.scalar("root", std::sqrt(2.0F)).scalar("one", 1).scalar("half", 0.5F);
  model.node("Div", {"x", "root"}, "a").node("Erf", {"a"}, "b").node("Add", {"b", "one"}, "c");
  model.node("Mul", {"x", "c"}, "d").node("Mul", {"d", "half"}, "y").output("a");
  model.optimize("O2");
  EXPECT_EQ(model.operators().size(), 5U);
}

TEST(GeluFusion, OfTanh) {
  TestModel model;
  model.scalar("three", 3).scalar("cubic", 0.044715F).scalar("scale", 0.7978846F).scalar("one", 1).scalar("half", 0.5F);
  model.node("Pow", {"x", "three"}, "a").node("Mul", {"a", "cubic"}, "b").node("Add", {"x", "b"}, "c");
  model.node("Mul", {"c", "scale"}, "d").node("Tanh", {"d"}, "e").node("Add", {"e", "one"}, "f");
  model.node("Mul", {"x", "half"}, "g").node("Mul", {"g", "f"}, "y");
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"com.microsoft.FastGelu"}));
}

TestModel biased_gelu() {
  TestModel model;
  model.weight("w", {8, 8}, 1).weight("bias", {8}, 2);
  model.node("MatMul", {"x", "w"}, "product").node("Add", {"product", "bias"}, "sum");
  model.scalar("root", std::sqrt(2.0F)).scalar("one", 1).scalar("half", 0.5F);
  model.node("Div", {"sum", "root"}, "a").node("Erf", {"a"}, "b").node("Add", {"b", "one"}, "c");
  model.node("Mul", {"sum", "c"}, "d").node("Mul", {"d", "half"}, "y");
  return model;
}

TEST(BiasGeluFusion, Fuses) {
  TestModel model = biased_gelu();
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"MatMul", "com.microsoft.BiasGelu"}));
}

TEST(BiasGeluFusion, NotWhereTheSumIsAnOutput) {
  TestModel model = biased_gelu();
  model.output("sum");
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"MatMul", "Add", "com.microsoft.Gelu"}));
}

TEST(GeluApproximation, IsOfLevelThree) {
  TestModel model = biased_gelu();
  model.optimize("O3");
  EXPECT_EQ(model.operators(), Strings({"MatMul", "com.microsoft.FastGelu"}));
}

// ---- SkipLayerNormalization -----------------------------------------------------------------------------------------

TestModel residual() {
  TestModel model;
  model.weight("gamma", {8}, 1).weight("beta", {8}, 2);
  model.node("Relu", {"x"}, "a").node("Add", {"x", "a"}, "sum");
  model.node("LayerNormalization", {"sum", "gamma", "beta"}, "y", {{"epsilon", 1e-3F}});
  return model;
}

TEST(SkipLayerNormalizationFusion, Fuses) {
  TestModel model = residual();
  model.optimize("O2");
  ASSERT_EQ(model.operators(), Strings({"Relu", "com.microsoft.SkipLayerNormalization"}));
  EXPECT_FLOAT_EQ(onnx::float_attribute(model.model().graph.nodes[1], "epsilon", 0), 1e-3F);
}

TEST(SkipLayerNormalizationFusion, HandsOnTheSum) {
  TestModel model = residual();
  model.output("sum");
  model.optimize("O2");
  ASSERT_EQ(model.operators(), Strings({"Relu", "com.microsoft.SkipLayerNormalization"}));
  EXPECT_EQ(model.model().graph.nodes[1].outputs, Strings({"y", "", "", "sum"}));
}

TEST(SkipLayerNormalizationFusion, NotOfAnotherAxis) {
  TestModel model;
  model.weight("gamma", {8}, 1);
  model.node("Relu", {"x"}, "a").node("Add", {"x", "a"}, "sum");
  model.node("LayerNormalization", {"sum", "gamma"}, "y", {{"axis", std::int64_t{1}}});
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"Relu", "Add", "LayerNormalization"}));
}

TEST(SkipLayerNormalizationFusion, NotWhereASummandIsBroadcast) {
  TestModel model;
  model.weight("gamma", {8}, 1);
  model.node("ReduceMax", {"x"}, "a", {{"axes", std::vector<std::int64_t>{1}}}).node("Add", {"x", "a"}, "sum");
  model.node("LayerNormalization", {"sum", "gamma"}, "y");
  model.optimize("O2");
  EXPECT_EQ(model.operators(), Strings({"ReduceMax", "Add", "LayerNormalization"}));
}

// ---- Attention ------------------------------------------------------------------------------------------------------

/// Two heads of size 4 over x (batch, length, 8).
TestModel attention() {
  TestModel model;
  model.integers("split", {0, 0, 2, 4}).integers("merge", {0, 0, 8}).scalar("scale", 0.5F);
  for (const std::string name : {"q", "k", "v"}) {
    model.weight(name + "_weight", {8, 8}, name[0]).weight(name + "_bias", {8}, name[0] + 9.0F);
    model.node("MatMul", {"x", name + "_weight"}, name + "_product");
    model.node("Add", {name + "_product", name + "_bias"}, name + "_sum");
    model.node("Reshape", {name + "_sum", "split"}, name + "_split");
    model.node("Transpose", {name + "_split"}, name,
               {{"perm", name == "k" ? std::vector<std::int64_t>{0, 2, 3, 1} : std::vector<std::int64_t>{0, 2, 1, 3}}});
  }
  model.node("MatMul", {"q", "k"}, "product").node("Mul", {"product", "scale"}, "scores");
  model.node("Softmax", {"scores"}, "weights", {{"axis", std::int64_t{-1}}});
  model.node("MatMul", {"weights", "v"}, "weighted");
  model.node("Transpose", {"weighted"}, "moved", {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
  model.node("Reshape", {"moved", "merge"}, "y");
  return model;
}

TEST(AttentionFusion, PacksTheProjections) {
  TestModel model = attention();
  model.optimize("O2");
  ASSERT_EQ(model.operators(), Strings({"com.microsoft.Attention"}));
  const onnx::Node& node = model.model().graph.nodes[0];
  EXPECT_EQ(onnx::integer_attribute(node, "num_heads", 0), 2);
  EXPECT_EQ(node.inputs.size(), 3U);
  ASSERT_EQ(model.model().graph.initializers.size(), 2U);
}

TEST(AttentionFusion, OfSeveralHeadsWhereAsked) {
  TestModel model = attention();
  OptimizationConfig config = AutoOptimizationConfig::O2();
  config.use_multi_head_attention = true;
  model.optimize(config);
  EXPECT_EQ(model.operators().back(), "com.microsoft.MultiHeadAttention");
}

TEST(AttentionFusion, NotWhereTheWeightsAreAnOutput) {
  TestModel model = attention();
  model.output("weights");
  model.optimize("O2");
  const Strings operators = model.operators();
  EXPECT_EQ(std::count(operators.begin(), operators.end(), "Softmax"), 1);
}

/// The same with a cache of earlier keys and values, and with a bias if `biased`, computed from all keys.
TestModel attention_with_cache(bool biased) {
  TestModel model;
  model.integers("split", {0, 0, 2, 4}).integers("merge", {0, 0, 8}).scalar("scale", 0.5F);
  const Permutation swap_heads{0, 2, 1, 3};
  for (const std::string name : {"q", "k", "v"}) {
    model.weight(name + "_weight", {8, 8}, name[0]).node("MatMul", {"x", name + "_weight"}, name + "_product");
    model.node("Reshape", {name + "_product", "split"}, name + "_split");
    model.node("Transpose", {name + "_split"}, name, {{"perm", swap_heads}});
  }
  for (const std::string name : {"k", "v"}) {
    model.input("past_" + name, {std::string("batch"), std::int64_t{2}, std::string("past"), std::int64_t{4}});
    model.node("Concat", {"past_" + name, name}, "present_" + name, {{"axis", std::int64_t{2}}});
    model.output("present_" + name);
  }
  model.node("Transpose", {"present_k"}, "keys", {{"perm", Permutation{0, 1, 3, 2}}});
  model.node("MatMul", {"q", "keys"}, "product").node("Mul", {"product", "scale"}, "scores");
  if (biased) {
    model.node("ReduceMax", {"keys"}, "bias", {{"axes", Permutation{2}}}).node("Add", {"scores", "bias"}, "sum");
  }
  model.node("Softmax", {biased ? "sum" : "scores"}, "weights", {{"axis", std::int64_t{-1}}});
  model.node("MatMul", {"weights", "present_v"}, "weighted");
  model.node("Transpose", {"weighted"}, "moved", {{"perm", swap_heads}}).node("Reshape", {"moved", "merge"}, "y");
  return model;
}

TEST(AttentionFusion, MakesTheCacheToo) {
  TestModel model = attention_with_cache(false);
  model.optimize("O2");
  const onnx::Node& node = model.model().graph.nodes.back();
  EXPECT_EQ(node.op_type, "MultiHeadAttention");
  EXPECT_EQ(node.outputs, Strings({"y", "present_k", "present_v"}));
}

TEST(AttentionFusion, NotWhereTheMaskComesFromTheCache) {
  TestModel model = attention_with_cache(true);
  model.optimize("O2");
  const Strings operators = model.operators();
  EXPECT_EQ(std::count(operators.begin(), operators.end(), "Softmax"), 1);
  ASSERT_FALSE(model.report().left.empty());
  EXPECT_NE(model.report().left[0].reason.find("computed from the keys"), std::string::npos);
}

}  // namespace
}  // namespace onnxport::optimization
