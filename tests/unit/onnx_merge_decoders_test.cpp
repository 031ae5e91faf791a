// What cannot be merged, and names that mean different things in the two decoders.
#include <gtest/gtest.h>

#include "onnx/merge_decoders.h"
#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

ValueInfo floats(std::string name, std::string axis = "length") {
  return {std::move(name), DataType::Float32, {std::move(axis), std::int64_t{2}}};
}

Initializer weight(std::string name, std::vector<float> values) {
  return {std::move(name), from_array(Array::float32({1, static_cast<std::int64_t>(values.size())}, values))};
}

/// y = x + w, and a second output if asked for.
Model decoder(std::vector<float> values, bool two_outputs = false) {
  Model model;
  model.opset_imports[""] = 18;
  model.graph.inputs = {floats("x")};
  model.graph.initializers = {weight("w", std::move(values))};
  model.graph.nodes = {{"Add", "", "add", {"x", "w"}, {"y"}, {}}};
  model.graph.outputs = {floats("y")};
  if (two_outputs) {
    model.graph.nodes.push_back({"Neg", "", "neg", {"y"}, {"z"}, {}});
    model.graph.outputs.push_back(floats("z"));
  }
  return model;
}

const Graph& branch(const Model& merged, std::size_t index) {
  return *std::get<Subgraph>(merged.graph.nodes.at(0).attributes.at(index).value);
}

void expect_refused(Model first, Model second, const std::string& why) {
  try {
    merge_decoders(std::move(first), std::move(second));
    FAIL() << "not refused: " << why;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidModel);
    EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
  }
}

TEST(MergeDecoders, SharesEqualWeightsOfOneName) {
  const Model merged = merge_decoders(decoder({1, 2}), decoder({1, 2}));
  ASSERT_EQ(merged.graph.initializers.size(), 1U);
  EXPECT_EQ(merged.graph.initializers[0].name, "w");
  EXPECT_TRUE(branch(merged, 0).initializers.empty());
  EXPECT_EQ(branch(merged, 1).nodes[0].inputs[1], "w");
}

TEST(MergeDecoders, KeepsDifferentWeightsOfOneNameApart) {
  const Model merged = merge_decoders(decoder({1, 2}), decoder({1, 3}));
  ASSERT_EQ(merged.graph.initializers.size(), 2U);
  EXPECT_EQ(branch(merged, 0).nodes[0].inputs[1], merged.graph.initializers[0].name);
  EXPECT_EQ(branch(merged, 1).nodes[0].inputs[1], merged.graph.initializers[1].name);
  EXPECT_NE(merged.graph.initializers[0].name, merged.graph.initializers[1].name);
}

TEST(MergeDecoders, AWeightDoesNotHideAValueOfTheOtherDecoder) {
  Model second = decoder({1, 2});
  second.graph.initializers[0].name = "v";
  second.graph.nodes = {{"Neg", "", "neg", {"v"}, {"w"}, {}}, {"Add", "", "add", {"x", "w"}, {"y"}, {}}};
  const Model merged = merge_decoders(decoder({1, 2}), std::move(second));
  ASSERT_EQ(merged.graph.initializers.size(), 2U);
  EXPECT_EQ(merged.graph.initializers[0].name, "w_merged_0");
  EXPECT_EQ(branch(merged, 0).nodes[0].inputs[1], "w_merged_0");
  EXPECT_EQ(branch(merged, 1).nodes[1].inputs[1], "w") << "the value of its own";
}

TEST(MergeDecoders, GivesTheBranchWithPastTheOutputsThatItLacks) {
  const Model merged = merge_decoders(decoder({1, 2}, true), decoder({1, 2}));
  EXPECT_EQ(merged.graph.nodes[0].outputs, (std::vector<std::string>{"y", "z"}));
  const Node& constant = branch(merged, 1).nodes.back();
  EXPECT_EQ(constant.op_type, "Constant");
  EXPECT_EQ(std::get<Array>(constant.attributes.at(0).value).shape(), (std::vector<std::int64_t>{0, 2}));
}

TEST(MergeDecoders, RefusesWhatContradicts) {
  Model other = decoder({1, 2});
  other.opset_imports[""] = 17;
  expect_refused(decoder({1, 2}), other, "two opsets");
  expect_refused(decoder({1, 2}), decoder({1, 2}, true), "only the decoder with past has an output z");

  other = decoder({1, 2});
  other.graph.inputs[0].data_type = DataType::Float16;
  expect_refused(decoder({1, 2}), other, "the input x has another type or shape");

  other = decoder({1, 2});
  other.graph.outputs[0].data_type = DataType::Float16;
  expect_refused(decoder({1, 2}), other, "the output y has two types");

  other = decoder({1, 2}, true);
  other.graph.outputs[1].shape = {std::int64_t{3}, std::int64_t{2}};
  expect_refused(other, decoder({1, 2}), "the output z of the decoder has no dynamic axis");

  other = decoder({1, 2});
  other.graph.inputs.push_back(floats(use_cache_branch));
  expect_refused(decoder({1, 2}), other, use_cache_branch);
}

}  // namespace
}  // namespace onnxport::onnx
