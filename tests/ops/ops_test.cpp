// Every operator, lowered and evaluated: ONNX Runtime and our own kernels must agree, at every opset, for shapes that
// broadcast, have size 1 or are empty.
#include "ops/ops.h"

#include <cmath>
#include <filesystem>
#include <functional>

#include <gtest/gtest.h>
#include <unistd.h>

#include "graph/evaluate.h"
#include "nn/layers.h"
#include "onnx/lowering.h"
#include "onnx/writer.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "runtime/session.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// Values that differ from each other, of both signs, some of them integers.
Array floats(std::vector<std::int64_t> shape, float scale = 1.0F) {
  Array array(DataType::Float32, std::move(shape));
  for (std::int64_t i = 0; i < array.element_count(); ++i)
    array.mutable_data<float>()[i] = scale * static_cast<float>(std::sin(1.7 * static_cast<double>(i) + 0.3) * 2.0);
  return array;
}

Array integers(std::vector<std::int64_t> shape, std::int64_t limit) {
  Array array(DataType::Int64, std::move(shape));
  for (std::int64_t i = 0; i < array.element_count(); ++i) array.mutable_data<std::int64_t>()[i] = (i * 7 + 3) % limit;
  return array;
}

/// A graph whose inputs have a symbol for each axis: i0_0, i0_1, ... of input 0, unless equal symbols are given.
class OperatorCheck {
 public:
  OperatorCheck& input(Array array, const std::vector<std::string>& symbols) {
    const std::string name = "input" + std::to_string(inputs_.size());
    TensorType type{array.data_type(), {}};
    for (std::size_t i = 0; i < symbols.size(); ++i)
      type.shape.push_back(symbols[i].empty() ? Dim(array.shape()[i]) : Dim::symbol(symbols[i]));
    tensors_.push_back(graph_.add_input(name, type));
    inputs_.emplace_back(name, std::move(array));
    return *this;
  }

  Graph& graph() { return graph_; }

  void run(const std::function<Tensor(const std::vector<Tensor>&)>& build, double tolerance = 1e-5) {
    graph_.add_output("output", build(tensors_));
    const Array evaluated = evaluate_graph(graph_, inputs_).front().second;
    const fs::path path = fs::temp_directory_path() / ("onnxport-ops-" + std::to_string(getpid()) + ".onnx");
    for (int opset : {onnx::minimum_opset, 15, 17, 18, 20, 23, onnx::maximum_opset}) {
      onnx::write_model(onnx::lower_graph(graph_, {.opset = opset}), path, {});
      const Session session(path, {.intra_op_num_threads = 1});
      NamedArrays used;
      for (const auto& value : session.inputs())
        for (const auto& item : inputs_)
          if (item.first == value.name) used.push_back(item);
      const Array actual = session.run(used).front();
      ASSERT_EQ(actual.shape(), evaluated.shape()) << "opset " << opset;
      ASSERT_EQ(actual.data_type(), evaluated.data_type()) << "opset " << opset;
      for (std::int64_t i = 0; i < actual.element_count(); ++i)
        ASSERT_NEAR(element(actual, i), element(evaluated, i), tolerance) << "element " << i << ", opset " << opset;
    }
    fs::remove(path);
  }

 private:
  static double element(const Array& array, std::int64_t index) {
    switch (array.data_type()) {
      case DataType::Float32:
        return static_cast<double>(array.data<float>()[index]);
      case DataType::Int64:
        return static_cast<double>(array.data<std::int64_t>()[index]);
      default:
        return array.data<std::uint8_t>()[index];
    }
  }

  Graph graph_;
  std::vector<Tensor> tensors_;
  NamedArrays inputs_;
};

using Inputs = const std::vector<Tensor>&;
using Binary = Tensor (*)(Tensor, Tensor);
using Unary = Tensor (*)(Tensor);

void check_binary(Binary op) {
  OperatorCheck()
      .input(floats({2, 3, 4}), {"a", "b", "c"})
      .input(floats({2, 3, 4}, 1.5F), {"a", "b", "c"})
      .run([&](Inputs x) { return op(x[0], x[1]); });
  OperatorCheck().input(floats({2, 3, 4}), {"a", "b", "c"}).input(floats({3, 1}, 1.5F), {"b", ""}).run([&](Inputs x) {
    return op(x[0], x[1]);
  });
  OperatorCheck().input(floats({2, 1, 4}), {"a", "", "c"}).input(floats({1, 3, 1}), {"", "b", ""}).run([&](Inputs x) {
    return op(x[0], x[1]);
  });
  OperatorCheck().input(floats({}), {}).input(floats({3}, 1.5F), {"b"}).run([&](Inputs x) { return op(x[0], x[1]); });
  OperatorCheck().input(floats({0, 4}), {"a", "c"}).input(floats({4}), {"c"}).run([&](Inputs x) {
    return op(x[0], x[1]);
  });
}

TEST(Operators, Binary) {
  for (Binary op :
       {static_cast<Binary>(operator+), static_cast<Binary>(operator-), static_cast<Binary>(operator*),
        static_cast<Binary>(operator/), static_cast<Binary>(ops::minimum), static_cast<Binary>(ops::maximum),
        static_cast<Binary>(ops::less), static_cast<Binary>(ops::greater), static_cast<Binary>(ops::less_equal),
        static_cast<Binary>(ops::greater_equal), static_cast<Binary>(ops::equal)})
    check_binary(op);
}

TEST(Operators, IntegersAndLogic) {
  OperatorCheck().input(integers({2, 5}, 11), {"a", "b"}).input(integers({5}, 4), {"b"}).run([](Inputs x) {
    return ops::remainder(x[0] - 5.0, x[1] + 2.0);
  });
  OperatorCheck().input(integers({2, 5}, 11), {"a", "b"}).run([](Inputs x) {
    return ops::logical_or(ops::logical_and(ops::less(x[0], 8.0), ops::greater(x[0], 2.0)),
                           ops::logical_not(ops::less(x[0], 10.0)));
  });
  OperatorCheck().input(integers({2, 5}, 11), {"a", "b"}).run([](Inputs x) { return -(x[0] / 3.0) * 2.0; });
}

TEST(Operators, Unary) {
  for (Unary op : {static_cast<Unary>(ops::exp), static_cast<Unary>(ops::abs), static_cast<Unary>(ops::sign),
                   static_cast<Unary>(ops::floor), static_cast<Unary>(ops::ceil), static_cast<Unary>(ops::round),
                   static_cast<Unary>(ops::sin), static_cast<Unary>(ops::cos), static_cast<Unary>(ops::tanh),
                   static_cast<Unary>(ops::erf), static_cast<Unary>(ops::sigmoid), static_cast<Unary>(ops::relu),
                   static_cast<Unary>(ops::softplus)})
    OperatorCheck().input(floats({3, 7}, 3.0F), {"a", "b"}).run([&](Inputs x) { return op(x[0]); }, 1e-4);
  OperatorCheck().input(floats({3, 7}), {"a", "b"}).run([](Inputs x) {
    return ops::sqrt(ops::abs(x[0])) + ops::log(ops::abs(x[0]) + 1.0);
  });
  OperatorCheck()
      .input(floats({3, 7}, 2.0F), {"a", "b"})
      .run([](Inputs x) { return ops::pow(x[0], 2.0) + ops::pow(ops::abs(x[0]), 1.5); }, 1e-4);
  OperatorCheck().input(floats({3, 7}, 3.0F), {"a", "b"}).run([](Inputs x) { return ops::gelu(x[0]); });
  OperatorCheck().input(floats({3, 7}, 3.0F), {"a", "b"}).run([](Inputs x) {
    return ops::gelu(x[0], ops::GeluApproximation::Tanh);
  });
}

TEST(Operators, Activations) {
  for (const char* name :
       {"gelu", "gelu_python", "gelu_10", "gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "quick_gelu",
        "laplace", "leaky_relu", "linear", "mish", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh"})
    OperatorCheck()
        .input(floats({3, 7}, 4.0F), {"a", "b"})
        .run([&](Inputs x) { return nn::activation(name, x[0]); }, 1e-4);
  Graph graph;
  const Tensor x = graph.add_input("x", {DataType::Float32, {2}});
  EXPECT_THROW(nn::activation("gelu2", x), Error);
}

TEST(Operators, WhereAndCast) {
  OperatorCheck().input(integers({2, 1, 3}, 5), {"a", "", "c"}).input(floats({4, 3}), {"b", "c"}).run([](Inputs x) {
    return ops::where(ops::equal(x[0], 3.0), -7.5, x[1]);
  });
  OperatorCheck().input(floats({4, 3}, 3.0F), {"b", "c"}).run([](Inputs x) {
    return ops::cast(x[0], DataType::Int64);
  });
  OperatorCheck().input(integers({4, 3}, 3), {"b", "c"}).run([](Inputs x) {
    return ops::cast(ops::cast(x[0], DataType::Bool), DataType::Float32);
  });
}

TEST(Operators, Shapes) {
  OperatorCheck().input(floats({2, 3, 8}), {"a", "b", ""}).run([](Inputs x) {
    return ops::reshape(x[0], {x[0].dim(0), x[0].dim(1), 2, 4});
  });
  OperatorCheck().input(floats({2, 3, 8}), {"a", "b", ""}).run([](Inputs x) {
    return ops::reshape(x[0], {x[0].dim(0) * x[0].dim(1), 8});
  });
  OperatorCheck().input(floats({6, 8}), {"n", ""}).input(floats({2, 3}), {"a", "b"}).run([](Inputs x) {
    const Tensor rows = ops::reshape(x[1], {x[1].dim(0) * x[1].dim(1), 1});
    return ops::reshape(rows * 2.0, {x[1].dim(0), 1, x[1].dim(1)});
  });
  OperatorCheck().input(floats({2, 3, 4, 5}), {"a", "b", "c", "d"}).run([](Inputs x) {
    return ops::transpose(x[0], {0, 2, 3, 1});
  });
  OperatorCheck().input(floats({2, 3, 4, 5}), {"a", "b", "c", "d"}).run([](Inputs x) {
    return ops::swap_axes(ops::transpose(x[0], {0, 2, 1, 3}), 2, 3);  // merged into one
  });
  OperatorCheck().input(floats({2, 3}), {"a", "b"}).run([](Inputs x) {
    return ops::transpose(ops::transpose(x[0], {1, 0}), {1, 0});
  });
  OperatorCheck().input(floats({2, 1}), {"a", ""}).run([](Inputs x) { return ops::expand(x[0], {3, x[0].dim(0), 4}); });
  OperatorCheck().input(floats({2, 3}), {"a", "b"}).input(floats({2, 2}), {"a", "c"}).run([](Inputs x) {
    return ops::concat({x[0], x[1], x[0]}, 1);
  });
  OperatorCheck().input(floats({2, 0, 3}), {"a", "p", ""}).input(floats({2, 4, 3}), {"a", "s", ""}).run([](Inputs x) {
    return ops::concat({x[0], x[1]}, 1);
  });
  OperatorCheck().input(floats({2, 3}), {"a", "b"}).run([](Inputs x) {
    return ops::squeeze(ops::unsqueeze(ops::unsqueeze(x[0], 1), -1), 1);
  });
}

TEST(Operators, SlicesAndPads) {
  OperatorCheck().input(floats({2, 9, 3}), {"a", "b", "c"}).run([](Inputs x) {
    return ops::slice(x[0], 1, 2, x[0].dim(1) - 1);
  });
  OperatorCheck().input(floats({2, 9, 3}), {"a", "b", "c"}).run([](Inputs x) {
    return ops::slice(x[0], 1, 1, x[0].dim(1), 2);
  });
  OperatorCheck().input(floats({2, 9, 3}), {"a", "b", "c"}).run([](Inputs x) {
    return ops::select(x[0], 1, x[0].dim(1) - 1);
  });
  OperatorCheck().input(floats({2, 6}), {"a", ""}).run([](Inputs x) {
    return ops::split(x[0], 1, 3)[1] - ops::split(x[0], 1, {4, 2})[1];
  });
  OperatorCheck().input(floats({2, 3}), {"a", "b"}).run([](Inputs x) {
    return ops::pad(x[0], 1, 2, x[0].dim(0), -1.5);
  });
  OperatorCheck().input(integers({2, 3}, 9), {"a", "b"}).run([](Inputs x) { return ops::pad(x[0], 0, 1, 0, 7); });
}

TEST(Operators, Indices) {
  OperatorCheck().input(floats({5, 3}), {"a", "b"}).input(integers({2, 4}, 5), {"c", "d"}).run([](Inputs x) {
    return ops::gather(x[0], x[1]);
  });
  OperatorCheck().input(floats({2, 5, 3}), {"a", "b", "c"}).input(integers({4}, 5), {"d"}).run([](Inputs x) {
    return ops::gather(x[0], x[1], 1);
  });
  OperatorCheck().input(floats({2, 5}), {"a", "b"}).input(integers({2, 7}, 5), {"a", "c"}).run([](Inputs x) {
    return ops::gather_elements(x[0], x[1], 1);
  });
  OperatorCheck().input(integers({2, 5}, 4), {"a", "b"}).run([](Inputs x) { return ops::cumulative_sum(x[0], 1); });
  OperatorCheck().input(floats({2, 5, 3}), {"a", "b", "c"}).run([](Inputs x) { return ops::cumulative_sum(x[0], 1); });
  OperatorCheck().input(floats({2, 5, 3}), {"a", "b", "c"}).run([](Inputs x) { return ops::arg_max(x[0], 1); });
  OperatorCheck().input(floats({2, 5}), {"a", "b"}).run([](Inputs x) {
    return ops::range(x[0].graph(), x[0].dim(0), x[0].dim(1));
  });
  OperatorCheck().input(floats({2, 5}), {"a", "b"}).run([](Inputs x) {
    return ops::size(x[0].graph(), x[0].dim(1) * 2 + 1);
  });
  OperatorCheck().input(floats({2, 5}), {"a", "b"}).run([](Inputs x) {
    return ops::size(x[0].graph(), floor_div(x[0].dim(1) + 1, 4) - 3);
  });
}

TEST(Operators, Reductions) {
  using Reduce = Tensor (*)(Tensor, std::vector<int>, bool);
  for (Reduce op : {ops::reduce_sum, ops::reduce_mean, ops::reduce_max, ops::reduce_min})
    for (const std::vector<int>& axes : {std::vector<int>{0}, {-1}, {1}, {0, 2}, {0, 1, 2}})
      for (bool keep : {false, true})
        OperatorCheck().input(floats({2, 5, 3}), {"a", "b", "c"}).run([&](Inputs x) { return op(x[0], axes, keep); });
  OperatorCheck().input(floats({2, 5, 3}, 4.0F), {"a", "b", "c"}).run([](Inputs x) { return ops::softmax(x[0], -1); });
  OperatorCheck().input(floats({2, 5, 3}, 4.0F), {"a", "b", "c"}).run([](Inputs x) { return ops::softmax(x[0], 1); });
}

TEST(Operators, Products) {
  OperatorCheck().input(floats({3, 4}), {"a", "b"}).input(floats({4, 5}), {"b", "c"}).run([](Inputs x) {
    return ops::matmul(x[0], x[1]);
  });
  OperatorCheck()
      .input(floats({2, 1, 3, 4}), {"n", "", "a", "b"})
      .input(floats({6, 4, 5}), {"m", "b", "c"})
      .run([](Inputs x) { return ops::matmul(x[0], x[1]); });
  OperatorCheck check;
  check.input(floats({2, 3, 8}), {"a", "b", ""}).run([&](Inputs x) {
    const Tensor weight = check.graph().add_parameter("weight", from_array(floats({6, 8})));
    const Tensor bias = check.graph().add_parameter("bias", from_array(floats({6})));
    const Tensor square = check.graph().add_parameter("square", from_array(floats({6, 4})));
    return ops::linear(ops::linear(x[0], weight, bias), square, std::nullopt, ops::WeightLayout::InOut);
  });
}

TEST(Operators, Convolutions) {
  const auto convolve = [](Array input, Array weight, bool biased, const ops::ConvOptions& options) {
    OperatorCheck check;
    const std::int64_t maps = weight.shape()[0];
    std::vector<std::string> symbols(input.shape().size());
    symbols[0] = "batch_size";
    symbols.back() = "width";
    check.input(std::move(input), symbols).run([&](Inputs x) {
      const Tensor w = check.graph().add_parameter("weight", from_array(weight));
      std::optional<Tensor> bias;
      if (biased) bias = check.graph().add_parameter("bias", from_array(floats({maps})));
      return ops::conv(x[0], w, bias, options);
    });
  };
  convolve(floats({2, 3, 11}), floats({4, 3, 3}), true, {});
  convolve(floats({2, 4, 11}), floats({4, 2, 3}), true, {.strides = {2}, .pads = {1, 1}, .groups = 2});
  convolve(floats({2, 3, 9, 8}), floats({5, 3, 2, 3}), false,
           {.strides = {2, 1}, .pads = {1, 0, 0, 2}, .dilations = {1, 2}});
  convolve(floats({2, 4, 6, 6}), floats({4, 1, 3, 3}), true, {.pads = {1, 1, 1, 1}, .groups = 4});
}

TEST(Operators, Attention) {
  const auto attend = [](std::int64_t key_heads, const std::vector<std::int64_t>& bias) {
    OperatorCheck check;
    check.input(floats({2, 4, 3, 8}), {"b", "", "q", ""})
        .input(floats({2, key_heads, 5, 8}, 1.3F), {"b", "", "k", ""})
        .input(floats({2, key_heads, 5, 6}), {"b", "", "k", ""});
    if (!bias.empty()) check.input(floats(bias), {bias[0] == 1 ? "" : "b", "", bias[2] == 1 ? "" : "q", "k"});
    check.run([&](Inputs x) {
      return ops::attention(x[0], x[1], x[2],
                            {.scale = 0.4F, .bias = bias.empty() ? std::nullopt : std::optional<Tensor>(x[3])});
    });
  };
  attend(4, {});
  attend(2, {});
  attend(4, {2, 1, 1, 5});
  attend(4, {1, 4, 3, 5});
  attend(2, {2, 1, 3, 5});
}

TEST(Operators, RotaryEmbedding) {
  const auto turn = [](std::int64_t rows, std::int64_t pairs, ops::RotaryPairs kind) {
    OperatorCheck()
        .input(floats({2, 3, 5, 8}), {"b", "", "s", ""})
        .input(integers({rows, 5}, 9), {rows == 1 ? "" : "b", "s"})
        .run([&](Inputs x) {
          std::vector<float> frequencies{1.0F, 0.3F, 0.09F, 0.027F};
          frequencies.resize(static_cast<std::size_t>(pairs));
          return ops::rotary_embedding(x[0], ops::rotary_angles(x[1], frequencies, 1.1F), kind);
        });
  };
  for (const ops::RotaryPairs kind : {ops::RotaryPairs::Halves, ops::RotaryPairs::Neighbours}) {
    turn(1, 4, kind);
    turn(2, 4, kind);
    turn(2, 3, kind);  // the last two elements of each head stay
  }
}

TEST(Operators, Splits) {
  const auto sum = [](const std::vector<Tensor>& parts) { return parts[0] * 2.0 - parts[1]; };
  OperatorCheck().input(floats({2, 6, 3}), {"a", "", "c"}).run([&](Inputs x) { return sum(ops::split(x[0], 1, 2)); });
  OperatorCheck().input(floats({2, 3, 6}), {"a", "b", ""}).run([&](Inputs x) {
    return sum(ops::split(x[0], -1, std::vector<std::int64_t>{2, 2, 2}));
  });
  OperatorCheck().input(floats({0, 4}), {"a", ""}).run([&](Inputs x) { return sum(ops::split(x[0], 1, 2)); });
}

TEST(Operators, AssumeShape) {
  OperatorCheck().input(floats({2, 3}), {"a", "b"}).run([](Inputs x) {
    return ops::assume_shape(x[0], {x[0].dim(0), 3}) * 2.0;
  });
  OperatorCheck check;
  check.input(floats({2, 3}), {"a", "b"});
  EXPECT_THROW(check.run([](Inputs x) { return ops::assume_shape(x[0], {x[0].dim(0), 4}) * 2.0; }), Error);
}

TEST(Operators, RelativeScores) {
  for (std::int64_t length : {1, 3, 9}) {  // shorter and longer than the table's span of 4
    const auto check = [&](std::int64_t table_heads, std::vector<std::int64_t> buckets) {
      OperatorCheck()
          .input(floats({2, 3, length, 5}), {"batch", "", "length", ""})
          .input(floats({1, table_heads, 9, 5}, 0.5F), {"", "", "", ""})
          .run([&](Inputs x) { return ops::relative_scores(x[0], x[1], buckets); });
    };
    check(3, {});
    check(1, {});
    check(3, {0, 1, 2, 2, 3, 3, 4});
    check(3, {0, 1});
  }
  OperatorCheck()
      .input(floats({1, 2, 3, 5}), {"", "", "", ""})
      .input(floats({1, 2, 3, 5}), {"", "", "", ""})
      .run([](Inputs x) { return ops::relative_scores(x[0], x[1]); });
}

TEST(Operators, Normalizations) {
  OperatorCheck check;
  check.input(floats({2, 3, 8}), {"a", "b", ""})
      .run(
          [&](Inputs x) {
            const Tensor weight = check.graph().add_parameter("weight", from_array(floats({8})));
            const Tensor bias = check.graph().add_parameter("bias", from_array(floats({8}, 0.5F)));
            return ops::layer_norm(ops::layer_norm(x[0], weight, bias, 1e-5F), weight, std::nullopt, 1e-12F) +
                   ops::rms_norm(x[0], weight, 1e-6F);
          },
          1e-4);
}

TEST(Operators, RefuseWhatDoesNotFit) {
  Graph graph;
  const Tensor a = graph.add_input("a", {DataType::Float32, {2, Dim::symbol("n")}});
  const Tensor b = graph.add_input("b", {DataType::Float32, {3, Dim::symbol("n")}});
  const Tensor ids = graph.add_input("ids", {DataType::Int64, {Dim::symbol("n")}});
  EXPECT_THROW(a + b, Error);
  EXPECT_THROW(a + ids, Error);
  EXPECT_THROW(ops::matmul(a, b), Error);
  EXPECT_THROW(ops::reshape(a, {3, Dim::symbol("n")}), Error);
  EXPECT_THROW(ops::gather(a, b), Error);
  EXPECT_THROW(ops::transpose(a, {0, 0}), Error);
  EXPECT_THROW(ops::concat({a, b}, 1), Error);
  EXPECT_THROW(ops::expand(a, {5, Dim::symbol("n")}), Error);
  EXPECT_THROW(ops::slice(a, 0, 1, 3), Error);
  EXPECT_THROW(ops::softmax(a, 2), Error);
  try {
    const ScopeGuard scope(graph, "encoder.layer.0");
    a + b;
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("encoder.layer.0"), std::string::npos) << error.what();
    EXPECT_EQ(error.kind(), ErrorKind::ShapeMismatch);
  }
}

}  // namespace
}  // namespace onnxport
