#include <gtest/gtest.h>

#include "onnx/graph_editor.h"
#include "unit/onnx_test_support.h"

namespace onnxport::onnx {
namespace {

Node make_node(std::string op_type, std::vector<std::string> inputs, std::vector<std::string> outputs,
               std::vector<Attribute> attributes = {}) {
  std::string name = "make_" + outputs.front();
  return {std::move(op_type), "", std::move(name), std::move(inputs), std::move(outputs), std::move(attributes)};
}

ValueInfo value(std::string name) { return {std::move(name), DataType::Float32, {std::int64_t{4}}}; }

/// y = Relu(x + w), z = Neg(x + w)
Graph small_graph() {
  Graph graph;
  graph.inputs = {value("x")};
  graph.outputs = {value("y"), value("z")};
  graph.initializers = {{"w", from_array(counting({4}))}};
  graph.nodes = {make_node("Add", {"x", "w"}, {"sum"}), make_node("Relu", {"sum"}, {"y"}),
                 make_node("Neg", {"sum"}, {"z"})};
  return graph;
}

/// The same with an If whose branches use `sum` and `w` of the graph around them.
Graph graph_with_branches() {
  Graph graph = small_graph();
  Graph then_branch;
  then_branch.outputs = {value("t")};
  then_branch.nodes = {make_node("Mul", {"sum", "w"}, {"t"})};
  Graph else_branch;
  else_branch.outputs = {value("e")};
  else_branch.initializers = {{"own", from_array(counting({4}))}};
  else_branch.nodes = {make_node("Mul", {"own", "w"}, {"e"})};
  graph.inputs.push_back({"condition", DataType::Bool, {}});
  graph.outputs.push_back(value("choice"));
  graph.nodes.push_back(make_node("If", {"condition"}, {"choice"},
                                  {{"then_branch", Subgraph(then_branch)}, {"else_branch", Subgraph(else_branch)}}));
  return graph;
}

std::vector<std::string> op_types(const Graph& graph) {
  std::vector<std::string> types;
  for (const Node& node : graph.nodes) types.push_back(node.op_type);
  return types;
}

using Strings = std::vector<std::string>;

TEST(GraphEditorTest, AnUnchangedGraphStaysAsItIs) {
  Graph graph = graph_with_branches();
  GraphEditor(graph).finish();
  EXPECT_EQ(op_types(graph), (Strings{"Add", "Relu", "Neg", "If"}));
  EXPECT_EQ(graph.initializers.size(), 1U);
  EXPECT_EQ(graph.inputs.size(), 2U);
  EXPECT_EQ(graph.outputs.size(), 3U);
}

TEST(GraphEditorTest, KnowsWhoMakesAndWhoUses) {
  Graph graph = graph_with_branches();
  const GraphEditor editor(graph);
  EXPECT_EQ(editor.producer("sum"), 0U);
  EXPECT_EQ(editor.producer("w"), std::nullopt);
  EXPECT_EQ(editor.consumers("sum"), (std::vector<NodeId>{1, 2, 3}));
  EXPECT_EQ(editor.consumers("w"), (std::vector<NodeId>{0, 3}));
  EXPECT_FALSE(editor.has_single_use("y"));
  EXPECT_TRUE(editor.has_single_use("x"));
  EXPECT_TRUE(editor.constant("w").has_value());
  EXPECT_FALSE(editor.constant("x").has_value());
  EXPECT_EQ(editor.value_info("w")->shape, (std::vector<Dimension>{std::int64_t{4}}));
}

TEST(GraphEditorTest, ReplacedValuesAreReplacedInSubgraphsToo) {
  Graph graph = graph_with_branches();
  GraphEditor editor(graph);
  editor.replace_uses("sum", "x");
  editor.finish();
  EXPECT_EQ(op_types(graph), (Strings{"Relu", "Neg", "If"}));
  EXPECT_EQ(std::get<Subgraph>(graph.nodes[2].attributes[0].value)->nodes[0].inputs, (Strings{"x", "w"}));
}

TEST(GraphEditorTest, AnOutputOfTheGraphKeepsItsName) {
  Graph graph = small_graph();
  GraphEditor editor(graph);
  editor.add_node(make_node("Sigmoid", {"sum"}, {"other"}));
  editor.replace_uses("y", "other");
  editor.finish();
  ASSERT_EQ(op_types(graph), (Strings{"Add", "Neg", "Sigmoid"}));
  EXPECT_EQ(graph.nodes[2].outputs, Strings{"y"});

  graph = small_graph();
  GraphEditor to_input(graph);
  to_input.replace_uses("y", "x");
  to_input.finish();
  ASSERT_EQ(op_types(graph), (Strings{"Add", "Neg", "Identity"}));
  EXPECT_EQ(graph.nodes[2].outputs, Strings{"y"});
}

TEST(GraphEditorTest, AnAddedNodeComesRightBeforeItsFirstUser) {
  Graph graph = small_graph();
  GraphEditor editor(graph);
  const NodeId cast = editor.add_node(make_node("Cast", {"x"}, {"x_cast"}));
  const NodeId again = editor.add_node(make_node("Floor", {"x_cast"}, {"x_floor"}));
  editor.set_input(2, 0, "x_floor");
  EXPECT_EQ(editor.consumers("x_cast"), std::vector{again});
  EXPECT_EQ(editor.node(cast).outputs, Strings{"x_cast"});
  editor.finish();
  EXPECT_EQ(op_types(graph), (Strings{"Add", "Relu", "Cast", "Floor", "Neg"}));
}

TEST(GraphEditorTest, WhatNothingNeedsIsRemoved) {
  Graph graph = small_graph();
  graph.value_infos = {value("sum")};
  GraphEditor editor(graph);
  editor.replace_uses("sum", "x");
  const std::string added = editor.add_initializer("w", from_array(counting({4}, 9)));
  EXPECT_EQ(added, "w_1");
  editor.set_input(1, 0, added);
  editor.finish();
  EXPECT_EQ(op_types(graph), (Strings{"Relu", "Neg"}));
  ASSERT_EQ(graph.initializers.size(), 1U);
  EXPECT_EQ(graph.initializers[0].name, "w_1");
  EXPECT_TRUE(graph.value_infos.empty());
}

TEST(GraphEditorTest, BranchesShareWhatReplacesAWeight) {
  Graph graph = graph_with_branches();
  int graphs = 0;
  edit_graphs(graph, [&](GraphEditor& editor) {
    ++graphs;
    for (const NodeId id : editor.nodes()) {
      if (editor.node(id).op_type != "Mul") continue;
      ASSERT_NE(editor.initializer("w"), nullptr);
      GraphEditor& home = editor.home_of("w");
      EXPECT_NE(&home, &editor);
      if (home.initializer("half") == nullptr) home.add_initializer("half", from_array(counting({4})));
      editor.set_input(id, 1, "half");
    }
  });
  EXPECT_EQ(graphs, 3);
  ASSERT_EQ(graph.initializers.size(), 2U);
  EXPECT_EQ(graph.initializers[1].name, "half");
  const auto& else_branch = *std::get<Subgraph>(graph.nodes.back().attributes[1].value);
  EXPECT_EQ(else_branch.nodes[0].inputs, (Strings{"own", "half"}));
  EXPECT_EQ(else_branch.initializers.size(), 1U);
}

TEST(GraphEditorTest, GraphsThatContradictThemselvesAreRefused) {
  Graph twice = small_graph();
  twice.nodes.push_back(make_node("Abs", {"x"}, {"y"}));
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { GraphEditor{twice}; }).find("'y'"), std::string::npos);

  Graph circle = small_graph();
  circle.nodes[0].inputs[1] = "y";
  GraphEditor editor(circle);
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { editor.finish(); }).find("circle"), std::string::npos);
}

TEST(GraphEditorTest, SubgraphsAreCopiedWithTheirAttribute) {
  const Graph graph = graph_with_branches();
  Graph copy = graph;
  std::get<Subgraph>(copy.nodes.back().attributes[0].value)->nodes[0].op_type = "Div";
  EXPECT_EQ(std::get<Subgraph>(graph.nodes.back().attributes[0].value)->nodes[0].op_type, "Mul");
}

}  // namespace
}  // namespace onnxport::onnx
