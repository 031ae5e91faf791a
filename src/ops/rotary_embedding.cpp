#include <algorithm>
#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct RotaryAngles {
  static constexpr std::string_view name = "rotary_angles";
  std::vector<float> frequencies;
  float scale;
};

struct RotaryEmbedding {
  static constexpr std::string_view name = "rotary_embedding";
  RotaryPairs pairs;
};

std::vector<TensorType> infer(const RotaryAngles& op, std::span<const TensorType> inputs) {
  if (inputs[0].data_type != DataType::Int64) mismatch("positions must be int64");
  TensorType type{DataType::Float32, inputs[0].shape};
  type.shape.push_back(static_cast<std::int64_t>(op.frequencies.size()));
  return {type, type};
}

/// In float32 whatever the model's type: a narrow one cannot hold the angles of distant positions.
void lower(const RotaryAngles& op, LowerContext& c) {
  const std::int64_t count = static_cast<std::int64_t>(op.frequencies.size());
  const std::int64_t float32 = onnx_data_type(DataType::Float32);
  const std::string positions = c.emit("Cast", {c.input(0)}, {{"to", float32}});
  const std::string angles = c.emit("Mul", {c.emit("Unsqueeze", {positions, c.int64s({-1})}),
                                            c.constant(Array::float32({count}, op.frequencies), /*exact=*/true)});
  for (std::size_t i = 0; i < 2; ++i) {
    std::string table = c.emit(i == 0 ? "Cos" : "Sin", {angles});
    if (op.scale != 1.0F) table = c.emit("Mul", {table, c.constant(Array::float32({}, {&op.scale, 1}), true)});
    c.output(i, c.target().data_type == DataType::Float32 ? table : c.cast(table, DataType::Float32));
  }
}

void evaluate(const RotaryAngles& op, EvaluateContext& context) {
  const Array positions = context.input(0);
  Array cosines = context.new_output(0);
  Array sines = context.new_output(1);
  std::int64_t i = 0;
  for (std::int64_t row = 0; row < positions.element_count(); ++row)
    for (const float frequency : op.frequencies) {
      const float angle = static_cast<float>(positions.data<std::int64_t>()[row]) * frequency;
      cosines.mutable_data<float>()[i] = std::cos(angle) * op.scale;
      sines.mutable_data<float>()[i++] = std::sin(angle) * op.scale;
    }
  context.output(0, std::move(cosines));
  context.output(1, std::move(sines));
}

std::vector<TensorType> infer(const RotaryEmbedding&, std::span<const TensorType> inputs) {
  const Shape& x = inputs[0].shape;
  const Shape& table = inputs[1].shape;
  if (x.size() != 4 || table.size() != 3 || !(table == inputs[2].shape))
    mismatch("x must be (batch, heads, length, size), cos and sin (batch or 1, length, pairs)");
  if (!(table[0] == x[0] || table[0] == Dim(1)) || !(table[1] == x[2]) || 2 * table[2].constant() > x[3].constant())
    mismatch("angles " + to_string(table) + " do not fit " + to_string(x));
  return {inputs[0]};
}

/// cos or sin for every element of a head: first for one element of each pair, second for the other; elements beyond
/// the pairs are left as they are, by the cosine 1 and the sine 0. Equal for all layers, so emitted once.
std::string head_table(LowerContext& c, const std::string& first, const std::string& second, std::int64_t rest,
                       float padding) {
  std::string table = c.emit("Concat", {first, second}, {{"axis", std::int64_t{-1}}});
  if (rest > 0) table = c.emit("Pad", {table, c.int64s({0, 0, 0, 0, 0, rest}), c.scalar(padding)});
  return c.emit("Unsqueeze", {table, c.int64s({1})});
}

/// (a, b) times (cos, cos) plus (b, a) times (-sin, sin).
std::string turn_halves(LowerContext& c, std::int64_t half, std::int64_t rest) {
  const std::string x = c.input(0);
  const std::int64_t parts = rest > 0 ? 3 : 2;
  const std::string sizes = rest > 0 ? c.int64s({half, half, rest}) : c.int64s({half, half});
  const std::vector<std::string> inputs{x, sizes};
  std::vector<std::string> swapped = c.emit_outputs("Split", inputs, {{"axis", std::int64_t{3}}}, parts);
  std::swap(swapped[0], swapped[1]);
  const std::string partner = c.emit("Concat", swapped, {{"axis", std::int64_t{3}}});
  const std::string cosine = head_table(c, c.input(1), c.input(1), rest, 1.0F);
  const std::string sine = head_table(c, c.emit("Neg", {c.input(2)}), c.input(2), rest, 0.0F);
  return c.emit("Add", {c.emit("Mul", {x, cosine}), c.emit("Mul", {partner, sine})});
}

/// The same with pairs on an axis of their own.
std::string turn_neighbours(LowerContext& c, std::int64_t half, std::int64_t rest) {
  const auto split = [&](const std::string& whole, std::int64_t axis, std::initializer_list<std::int64_t> sizes) {
    const std::vector<std::string> inputs{whole, c.int64s(sizes)};
    return c.emit_outputs("Split", inputs, {{"axis", axis}}, sizes.size());
  };
  const std::vector<std::string> parts = rest > 0 ? split(c.input(0), 3, {2 * half, rest}) : std::vector{c.input(0)};
  const std::string pairs = c.emit("Reshape", {parts[0], c.int64s({0, 0, 0, half, 2})});
  const std::vector<std::string> x = split(pairs, 4, {1, 1});
  const std::string cosine = c.emit("Unsqueeze", {c.input(1), c.int64s({1, 4})});
  const std::string sine = c.emit("Unsqueeze", {c.input(2), c.int64s({1, 4})});
  const std::string first = c.emit("Sub", {c.emit("Mul", {x[0], cosine}), c.emit("Mul", {x[1], sine})});
  const std::string second = c.emit("Add", {c.emit("Mul", {x[1], cosine}), c.emit("Mul", {x[0], sine})});
  const std::string turned = c.emit(
      "Reshape", {c.emit("Concat", {first, second}, {{"axis", std::int64_t{4}}}), c.int64s({0, 0, 0, 2 * half})});
  return rest > 0 ? c.emit("Concat", {turned, parts[1]}, {{"axis", std::int64_t{3}}}) : turned;
}

void lower(const RotaryEmbedding& op, LowerContext& c) {
  const std::int64_t half = c.input_type(1).shape[2].constant();
  const std::int64_t rest = c.input_type(0).shape[3].constant() - 2 * half;
  c.output(op.pairs == RotaryPairs::Halves ? turn_halves(c, half, rest) : turn_neighbours(c, half, rest));
}

void evaluate(const RotaryEmbedding& op, EvaluateContext& context) {
  const Array x = context.input(0);
  const Array cosines = context.input(1);
  const Array sines = context.input(2);
  Array out = context.new_output();
  const std::int64_t heads = x.shape()[1];
  const std::int64_t length = x.shape()[2];
  const std::int64_t size = x.shape()[3];
  const std::int64_t half = cosines.shape()[2];
  const std::int64_t batch_stride = cosines.shape()[0] == 1 ? 0 : length * half;
  const bool halves = op.pairs == RotaryPairs::Halves;
  parallel_for(x.shape()[0] * heads * length, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* p = x.data<float>() + row * size;
      float* z = out.mutable_data<float>() + row * size;
      const std::int64_t angle = row / (heads * length) * batch_stride + row % length * half;
      for (std::int64_t i = 0; i < half; ++i) {
        const std::int64_t a = halves ? i : 2 * i;
        const std::int64_t b = halves ? i + half : 2 * i + 1;
        const float cosine = cosines.data<float>()[angle + i];
        const float sine = sines.data<float>()[angle + i];
        z[a] = p[a] * cosine - p[b] * sine;
        z[b] = p[b] * cosine + p[a] * sine;
      }
      std::copy(p + 2 * half, p + size, z + 2 * half);
    }
  });
  context.output(std::move(out));
}

}  // namespace

Rotation rotary_angles(Tensor positions, std::vector<float> frequencies, float scale) {
  const std::vector<Tensor> tables =
      positions.graph().add_node(RotaryAngles{std::move(frequencies), scale}, std::vector{positions});
  return {tables[0], tables[1]};
}

Tensor rotary_embedding(Tensor x, const Rotation& rotation, RotaryPairs pairs) {
  return x.graph().add(RotaryEmbedding{pairs}, {x, rotation.cos, rotation.sin});
}

}  // namespace onnxport::ops
