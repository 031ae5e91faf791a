#include <algorithm>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/gemm.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct RelativeScores {
  static constexpr std::string_view name = "relative_scores";
  std::vector<std::int64_t> buckets;
};

/// The largest relative position that the table has a row for: it has those of -span, ..., span.
std::int64_t span_of(const Shape& table) { return (table[2].constant() - 1) / 2; }

/// What buckets says of the distances -(n - 1), ..., n - 1.
std::vector<std::int64_t> signed_buckets(const std::vector<std::int64_t>& buckets) {
  std::vector<std::int64_t> both;
  for (auto bucket = buckets.rbegin(); bucket != buckets.rend(); ++bucket) both.push_back(-*bucket);
  both.insert(both.end(), buckets.begin() + 1, buckets.end());
  return both;
}

std::vector<TensorType> infer(const RelativeScores& op, std::span<const TensorType> inputs) {
  const Shape& x = inputs[0].shape;
  const Shape& table = inputs[1].shape;
  if (x.size() != 4 || table.size() != 4 || !(table[0] == Dim(1)) || !(x[3] == table[3]))
    mismatch("x must be (batch, heads, length, size) and the table (1, heads, positions, size)");
  if (!(table[1] == x[1]) && !(table[1] == Dim(1))) mismatch("the table must have the heads of x, or one");
  if (!table[2].is_constant() || table[2].constant() % 2 == 0) mismatch("the table must have 2 * span + 1 positions");
  for (std::size_t distance = 0; distance < op.buckets.size(); ++distance)
    if (op.buckets[distance] > std::min(span_of(table), static_cast<std::int64_t>(distance)))
      mismatch("the bucket of the distance " + std::to_string(distance) + " is too large");
  return {{inputs[0].data_type, {x[0], x[1], x[2], x[2]}}};
}

std::string clamp(LowerContext& c, const std::string& value, std::int64_t limit) {
  return c.emit("Max", {c.emit("Min", {value, c.int64_scalar(limit)}), c.int64_scalar(-limit)});
}

/// Relative positions of the rows to the columns, in buckets: (length, length).
std::string positions(LowerContext& c, const RelativeScores& op, const std::string& length, std::int64_t span) {
  const std::string end = c.emit("Squeeze", {length, c.int64s({0})});
  const std::string range = c.emit("Range", {c.int64_scalar(0), end, c.int64_scalar(1)});
  const std::string distance = c.emit("Sub", {c.emit("Unsqueeze", {range, c.int64s({1})}), range});
  if (op.buckets.empty()) return clamp(c, distance, span);
  const auto last = static_cast<std::int64_t>(op.buckets.size()) - 1;
  const std::string index = c.emit("Add", {clamp(c, distance, last), c.int64_scalar(last)});
  return c.emit("Gather", {c.int64s(signed_buckets(op.buckets)), index}, {{"axis", std::int64_t{0}}});
}

/// Products with the rows of the table that the length can reach, then one of them for each pair of positions. All but
/// the products depends on the length only, and is the same for every layer. The table has an axis for the batch, too:
/// ONNX Runtime 1.32 crashes when it fuses a float16 product with the transpose of a tensor of lower rank.
void lower(const RelativeScores& op, LowerContext& c) {
  const std::int64_t span = span_of(c.input_type(1).shape);
  const std::string length = c.shape({c.input_type(0).shape[2]});
  const std::string reach = c.emit("Min", {length, c.int64s({span})});
  const std::string begin = c.emit("Sub", {c.int64s({span}), reach});
  const std::string end = c.emit("Add", {c.int64s({span + 1}), reach});
  const std::string table = c.emit("Slice", {c.input(1), begin, end, c.int64s({2})});
  const std::string products = c.emit("MatMul", {c.input(0), c.transpose(table, {0, 1, 3, 2})});
  const std::string index = c.emit("Add", {positions(c, op, length, span), reach});
  const std::string indices = c.emit("Expand", {index, c.shape(c.output_type().shape)});
  c.output(c.emit("GatherElements", {products, indices}, {{"axis", std::int64_t{3}}}));
}

void evaluate(const RelativeScores& op, EvaluateContext& context) {
  const Array x = context.input(0);
  const Array table = context.input(1);
  Array out = context.new_output();
  const std::int64_t heads = x.shape()[1];
  const std::int64_t length = x.shape()[2];
  const std::int64_t size = x.shape()[3];
  const std::int64_t rows = table.shape()[2];
  const std::int64_t span = (rows - 1) / 2;
  const auto bucket = [&](std::int64_t distance) {
    if (op.buckets.empty()) return std::min(distance, span);
    return op.buckets[std::min(static_cast<std::size_t>(distance), op.buckets.size() - 1)];
  };
  parallel_for(x.shape()[0] * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> products(static_cast<std::size_t>(length * rows));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t head = table.shape()[1] == 1 ? 0 : i % heads;
      const MatrixView states{x.data<float>() + i * length * size, length, size, size, 1};
      const MatrixView embeddings{table.data<float>() + head * rows * size, rows, size, size, 1};
      gemm(1.0F, states, embeddings.transposed(), 0.0F, products.data(), rows);
      float* scores = out.mutable_data<float>() + i * length * length;
      for (std::int64_t row = 0; row < length; ++row)
        for (std::int64_t column = 0; column < length; ++column)
          scores[row * length + column] = products[static_cast<std::size_t>(
              row * rows + span + (row >= column ? bucket(row - column) : -bucket(column - row)))];
    }
  });
  context.output(std::move(out));
}

}  // namespace

Tensor relative_scores(Tensor x, Tensor table, std::vector<std::int64_t> buckets) {
  return x.graph().add(RelativeScores{std::move(buckets)}, {x, table});
}

}  // namespace onnxport::ops
