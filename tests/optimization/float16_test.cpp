// Conversion to float16 reaches into branches of If: decoder_model_merged of the fixtures against transformers, and
// small models for what is blocked and what is shared.
#include "optimization/float16.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "core/temporary_directory.h"
#include "onnx/writer.h"
#include "optimization/optimize_model.h"
#include "runtime/session.h"
#include "support/merged_decoders.h"

namespace onnxport::optimization {
namespace {

using onnxport::testing::DecoderPair;
using onnxport::testing::FixtureCase;

class Written {
 public:
  explicit Written(const onnx::Model& model) { onnx::write_model(model, path(), {}); }
  std::filesystem::path path() const { return directory_.path() / "model.onnx"; }
  Session session() const { return Session(path(), {.intra_op_num_threads = 1}); }

 private:
  TemporaryDirectory directory_;
};

// ---- Merged decoders ------------------------------------------------------------------------------------------------

class MergedFloat16 : public ::testing::TestWithParam<DecoderPair> {
 protected:
  static onnx::Model optimized(std::string_view level, const Float16Options& options) {
    onnx::Model model = onnxport::testing::merge(GetParam());
    OptimizedModel report;
    optimize_model(model, AutoOptimizationConfig::with_optimization_level(level), report);
    convert_to_float16(model, options);
    return model;
  }

  static void expect_near(const onnx::Model& model) {
    const Written written(model);
    const Session session = written.session();
    for (const std::int64_t length : {0, 1}) {
      for (const FixtureCase& example : onnxport::testing::read_cases(GetParam().first))
        onnxport::testing::expect_branch(session, example, false, length, 2e-2);
      for (const FixtureCase& example : onnxport::testing::read_cases(GetParam().with_past))
        onnxport::testing::expect_branch(session, example, true, length, 2e-2);
    }
  }
};

TEST_P(MergedFloat16, BothBranchesStayNear) {
  for (const char* level : {"O1", "O2", "O4"}) {
    const onnx::Model model = optimized(level, {});
    for (const auto* infos : {&model.graph.inputs, &model.graph.outputs})
      for (const onnx::ValueInfo& info : *infos) EXPECT_NE(info.data_type, DataType::Float16) << info.name;
    expect_near(model);
  }
}

TEST_P(MergedFloat16, InputsAndOutputsToo) {
  const onnx::Model model = optimized("O2", {.keep_io_types = false});
  for (const auto* infos : {&model.graph.inputs, &model.graph.outputs})
    for (const onnx::ValueInfo& info : *infos) EXPECT_NE(info.data_type, DataType::Float32) << info.name;
  expect_near(model);
}

/// Numbers, not the indices of axes that optimization reads sizes from.
std::ptrdiff_t weight_count(const onnx::Model& model) {
  return std::ranges::count_if(model.graph.initializers, [](const onnx::Initializer& initializer) {
    return is_floating_point(initializer.source.data_type);
  });
}

TEST_P(MergedFloat16, HasEachWeightOnce) {
  const std::ptrdiff_t before = weight_count(onnxport::testing::merge(GetParam()));
  for (const DataType type : {DataType::Float16, DataType::BFloat16}) {
    const onnx::Model model = optimized("O1", {.type = type});
    EXPECT_LE(weight_count(model), before);
    std::set<std::string> names;
    onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
      for (const onnx::Initializer& weight : graph.initializers) {
        if (weight.source.shape.size() < 2 || !is_floating_point(weight.source.data_type)) continue;
        EXPECT_EQ(weight.source.data_type, type) << weight.name;
        EXPECT_EQ(&graph, &model.graph) << weight.name << " is in a branch";
        EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
      }
    });
    EXPECT_FALSE(names.empty());
  }
}

/// A product that stays in float32 in one branch: its weight does, the other branch's weights do not.
TEST_P(MergedFloat16, BlockListsCountInBranches) {
  const onnx::Model model = optimized("O1", {.op_block_list = {"MatMul", "Max", "Min", "Range"}});
  int products = 0;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes) products += node.op_type == "MatMul";
  });
  ASSERT_GT(products, 0);
  expect_near(model);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, MergedFloat16, ::testing::ValuesIn(onnxport::testing::decoder_pairs()),
                         onnxport::testing::test_name);

// ---- Small models ---------------------------------------------------------------------------------------------------

/// y = condition ? x * weight : (x * weight) + x, the products in the branches, x and weight around them.
onnx::Model branching_model() {
  onnx::Model model;
  model.opset_imports[""] = 17;
  onnx::Graph once;
  once.name = "once";
  once.outputs = {{"product", DataType::Float32, {}, false}};
  once.nodes = {{"MatMul", "", "first", {"x", "weight"}, {"product"}, {}}};
  onnx::Graph more;
  more.name = "more";
  more.outputs = {{"sum", DataType::Float32, {}, false}};
  more.nodes = {{"MatMul", "", "second", {"x", "weight"}, {"product"}, {}},
                {"Add", "", "add", {"product", "x"}, {"sum"}, {}}};
  Array weight(DataType::Float32, {2, 2});
  std::fill_n(weight.mutable_data<float>(), 4, 1.0F / 3);
  model.graph.inputs = {{"condition", DataType::Bool, {}},
                        {"x", DataType::Float32, {std::int64_t{1}, std::int64_t{2}}}};
  model.graph.outputs = {{"y", DataType::Float32, {}, false}};
  model.graph.initializers = {{"weight", from_array(weight)}};
  model.graph.nodes = {{"If",
                        "",
                        "choice",
                        {"condition"},
                        {"y"},
                        {{"then_branch", onnx::Subgraph(once)}, {"else_branch", onnx::Subgraph(more)}}}};
  return model;
}

float result(const onnx::Model& model, bool condition) {
  const Written written(model);
  Array flag(DataType::Bool, {});
  *flag.mutable_data<std::uint8_t>() = condition;
  const std::vector<float> x{1, 3};
  const NamedArrays inputs{{"condition", flag}, {"x", Array::float32({1, 2}, x)}};
  const std::vector<Array> outputs = written.session().run(inputs);
  EXPECT_EQ(outputs[0].data_type(), DataType::Float32);
  return *outputs[0].data<float>();
}

const onnx::Graph& branch(const onnx::Model& model, std::size_t index) {
  const auto choice = std::find_if(model.graph.nodes.begin(), model.graph.nodes.end(),
                                   [](const onnx::Node& node) { return node.op_type == "If"; });
  return *std::get<onnx::Subgraph>(choice->attributes.at(index).value);
}

std::vector<std::string> operators(const onnx::Graph& graph) {
  std::vector<std::string> names;
  for (const onnx::Node& node : graph.nodes) names.push_back(node.op_type);
  return names;
}

using Strings = std::vector<std::string>;

TEST(Float16, BranchesReadWhatIsAroundThem) {
  onnx::Model model = branching_model();
  EXPECT_EQ(convert_to_float16(model), 1);
  EXPECT_EQ(model.graph.initializers[0].source.data_type, DataType::Float16);
  EXPECT_EQ(operators(model.graph), (Strings{"If", "Cast"}));
  EXPECT_EQ(operators(branch(model, 0)), (Strings{"Cast", "MatMul"}));
  EXPECT_EQ(operators(branch(model, 1)), (Strings{"Cast", "MatMul", "Add"}));
  EXPECT_NEAR(result(model, true), 4.0F / 3, 1e-3);
  EXPECT_NEAR(result(model, false), 7.0F / 3, 2e-3);
}

TEST(Float16, AWeightIsNarrowIfOneBranchReadsItSo) {
  onnx::Model model = branching_model();
  EXPECT_EQ(convert_to_float16(model, {.node_block_list = {"second"}}), 1);
  EXPECT_EQ(model.graph.initializers.size(), 1U);
  EXPECT_EQ(model.graph.initializers[0].source.data_type, DataType::Float16);
  EXPECT_EQ(operators(branch(model, 0)), (Strings{"Cast", "MatMul"}));
  // The weight is widened, the product and x become float16 for the sum.
  EXPECT_EQ(operators(branch(model, 1)), (Strings{"Cast", "MatMul", "Cast", "Cast", "Add"}));
  EXPECT_NEAR(result(model, true), 4.0F / 3, 1e-3);
  EXPECT_NEAR(result(model, false), 7.0F / 3, 2e-3);
}

TEST(Float16, AWeightOfBlockedNodesAloneStaysInFloat32) {
  onnx::Model model = branching_model();
  EXPECT_EQ(convert_to_float16(model, {.node_block_list = {"first", "second"}}), 0);
  EXPECT_EQ(model.graph.initializers[0].source.data_type, DataType::Float32);
  EXPECT_EQ(operators(branch(model, 0)), (Strings{"MatMul", "Cast"}));
  EXPECT_NEAR(result(model, true), 4.0F / 3, 1e-3);
  EXPECT_NEAR(result(model, false), 7.0F / 3, 2e-3);
}

TEST(Float16, BranchesOfABlockedIfStayInFloat32) {
  onnx::Model model = branching_model();
  EXPECT_EQ(convert_to_float16(model, {.op_block_list = {"If"}}), 0);
  EXPECT_EQ(operators(model.graph), Strings{"If"});
  EXPECT_EQ(operators(branch(model, 1)), (Strings{"MatMul", "Add"}));
  EXPECT_EQ(result(model, true), 4.0F / 3);
}

/// What a branch hands on from outside is the same value in both types.
TEST(Float16, ABranchHandsOnAValueFromOutside) {
  onnx::Model model = branching_model();
  onnx::Graph none;
  none.name = "none";
  none.outputs = {{"same", DataType::Float32, {}, false}};
  none.nodes = {{"Identity", "", "identity", {"x"}, {"same"}, {}}};
  model.graph.nodes[0].attributes[1].value = onnx::Subgraph(none);
  convert_to_float16(model);
  EXPECT_NEAR(result(model, false), 1, 1e-3);
}

/// Constants of the old attributes have a type, too.
TEST(Float16, ConstantsOfEveryKind) {
  onnx::Model model = branching_model();
  onnx::Graph constants;
  constants.name = "constants";
  constants.outputs = {{"scaled", DataType::Float32, {}, false}};
  constants.nodes = {{"Constant", "", "one", {}, {"two"}, {{"value_float", 2.0F}}},
                     {"Constant", "", "list", {}, {"rows"}, {{"value_floats", std::vector<float>{1, 0.5F}}}},
                     {"Mul", "", "mul", {"x", "two"}, {"twice"}, {}},
                     {"Mul", "", "scale", {"twice", "rows"}, {"scaled"}, {}}};
  model.graph.nodes[0].attributes[1].value = onnx::Subgraph(constants);
  convert_to_float16(model);
  EXPECT_EQ(result(model, false), 2);
}

}  // namespace
}  // namespace onnxport::optimization
