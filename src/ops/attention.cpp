#include <algorithm>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/gemm.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Attention {
  static constexpr std::string_view name = "attention";
  float scale;
};

std::vector<TensorType> infer(const Attention&, std::span<const TensorType> inputs) {
  const Shape& q = inputs[0].shape;
  const Shape& k = inputs[1].shape;
  const Shape& v = inputs[2].shape;
  if (q.size() != 4 || k.size() != 4 || v.size() != 4)
    mismatch("query, key and value must be (batch, heads, length, size)");
  if (!(q[0] == k[0]) || !(q[3] == k[3]) || !(k[0] == v[0]) || !(k[1] == v[1]) || !(k[2] == v[2]))
    mismatch("query, key and value do not fit");
  if (!(q[1] == k[1]) && (k[1].constant() == 0 || q[1].constant() % k[1].constant() != 0))
    mismatch("the number of query heads must be a multiple of the number of key heads");
  if (inputs.size() > 3) {
    const Shape scores{q[0], q[1], q[2], k[2]};
    if (!(broadcast(inputs[3].shape, scores) == scores))
      mismatch("the bias does not broadcast to " + to_string(scores));
  }
  return {{inputs[0].data_type, {q[0], q[1], q[2], v[3]}}, {inputs[0].data_type, {q[0], q[1], q[2], k[2]}}};
}

/// Repeats each key or value head for its group of query heads.
std::string repeat_heads(LowerContext& c, const std::string& name, const Shape& shape, std::int64_t groups) {
  if (groups == 1) return name;
  const Shape grouped{shape[0], shape[1], Dim(groups), shape[2], shape[3]};
  const std::string wide = c.emit("Unsqueeze", {name, c.int64s({2})});
  return c.reshape(c.emit("Expand", {wide, c.shape(grouped)}), grouped,
                   {shape[0], shape[1] * Dim(groups), shape[2], shape[3]});
}

/// ONNX's Attention broadcasts its mask over batch and heads only: a row for all queries is repeated for each.
std::string full_rows(LowerContext& c, const std::string& bias, const Shape& shape, const Dim& queries,
                      const Dim& keys) {
  Shape full = shape;
  full[shape.size() - 2] = queries;
  full[shape.size() - 1] = keys;
  return full == shape ? bias : c.emit("Expand", {bias, c.shape(full)});
}

/// ONNX Runtime's MultiHeadAttention. It takes and gives rows of all heads side by side, which is what a model splits
/// before and merges after: those transpositions are gone. Scores never leave the processor's cache for a head.
void lower_to_multi_head_attention(const Attention& op, LowerContext& c) {
  const auto swapped = [](const Shape& shape) { return Shape{shape[0], shape[2], shape[1], shape[3]}; };
  const auto rows = [](const Shape& shape) { return Shape{shape[0], shape[2], shape[1] * shape[3]}; };
  const std::vector<std::int64_t> swap{0, 2, 1, 3};
  const auto rows_of = [&](std::size_t index) {
    const Shape& shape = c.input_type(index).shape;
    return c.reshape(c.transpose(c.input(index), swap), swapped(shape), rows(shape));
  };
  std::vector<std::string> inputs{rows_of(0)};
  // Keys and values of a cache have the heads apart, and are taken as they are.
  const bool in_rows = c.is_undone_by(c.input(1), swap) && c.is_undone_by(c.input(2), swap);
  for (std::size_t index : {1, 2}) inputs.push_back(in_rows ? rows_of(index) : c.input(index));
  const Shape& q = c.input_type(0).shape;
  if (c.input_count() > 3) {
    inputs.resize(5);  // no bias of the projections, no mask of keys
    inputs.push_back(full_rows(c, c.input(3), c.input_type(3).shape, q[2], c.input_type(1).shape[2]));
  }
  const std::string context = c.emit("MultiHeadAttention", std::move(inputs),
                                     {{"num_heads", q[1].constant()}, {"scale", op.scale}}, contrib_domain);
  const Shape& out = c.output_type().shape;
  c.output(0, c.transpose(c.reshape(context, rows(out), swapped(out)), swap));
}

void lower(const Attention& op, LowerContext& c) {
  const Shape& q = c.input_type(0).shape;
  const Shape& k = c.input_type(1).shape;
  // The operators that have all of attention in them keep the probabilities to themselves.
  const bool fuses = !c.is_used(1);
  const bool has_full_bias = c.input_count() <= 3 || c.input_type(3).shape.size() == 4;
  if (fuses && c.target().contrib_operators && q[1] == k[1] && has_full_bias)
    return lower_to_multi_head_attention(op, c);
  if (fuses && c.target().opset >= 23) {
    std::vector<std::string> inputs{c.input(0), c.input(1), c.input(2)};
    if (c.input_count() > 3) inputs.push_back(full_rows(c, c.input(3), c.input_type(3).shape, q[2], k[2]));
    return c.output(c.emit("Attention", std::move(inputs), {{"scale", op.scale}}));
  }
  const std::int64_t groups = q[1] == k[1] ? 1 : q[1].constant() / k[1].constant();
  const std::string key = repeat_heads(c, c.input(1), k, groups);
  const std::string value = repeat_heads(c, c.input(2), c.input_type(2).shape, groups);
  std::string scores = c.emit("MatMul", {c.input(0), c.transpose(key, {0, 1, 3, 2})});
  if (op.scale != 1.0F) scores = c.emit("Mul", {scores, c.scalar(op.scale)});
  if (c.input_count() > 3) scores = c.emit("Add", {scores, c.input(3)});
  const std::string probabilities = c.emit("Softmax", {scores}, {{"axis", std::int64_t{-1}}});
  c.output(0, c.emit("MatMul", {probabilities, value}));
  c.output(1, probabilities);
}

void evaluate(const Attention& op, EvaluateContext& context) {
  const Array q = context.input(0);
  const Array k = context.input(1);
  const Array v = context.input(2);
  Array out = context.new_output();
  Array probabilities;
  if (context.is_used(1)) probabilities = context.new_output(1);
  const std::int64_t heads = q.shape()[1];
  const std::int64_t groups = heads / k.shape()[1];
  const std::int64_t queries = q.shape()[2];
  const std::int64_t size = q.shape()[3];
  const std::int64_t keys = k.shape()[2];
  const std::int64_t value_size = v.shape()[3];
  const std::vector<std::int64_t> scores_shape{q.shape()[0], heads, queries, keys};
  Array bias;
  std::vector<std::int64_t> bias_strides(4, 0);
  const bool biased = context.input_count() > 3;
  if (biased) {
    bias = context.input(3);
    bias_strides = broadcast_strides(bias.shape(), scores_shape);
  }
  parallel_for(q.shape()[0] * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scores(static_cast<std::size_t>(queries * keys));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t batch = i / heads;
      const std::int64_t head = i % heads;
      const std::int64_t shared = batch * (heads / groups) + head / groups;
      const MatrixView query{q.data<float>() + i * queries * size, queries, size, size, 1};
      const MatrixView key{k.data<float>() + shared * keys * size, keys, size, size, 1};
      gemm(op.scale, query, key.transposed(), 0.0F, scores.data(), keys);
      for (std::int64_t row = 0; row < queries; ++row) {
        float* p = scores.data() + row * keys;
        if (biased) {
          const float* b =
              bias.data<float>() + batch * bias_strides[0] + head * bias_strides[1] + row * bias_strides[2];
          for (std::int64_t j = 0; j < keys; ++j) p[j] += b[j * bias_strides[3]];
        }
        softmax_row(p, p, keys, 1);
      }
      if (context.is_used(1))
        std::copy(scores.begin(), scores.end(), probabilities.mutable_data<float>() + i * queries * keys);
      const MatrixView value{v.data<float>() + shared * keys * value_size, keys, value_size, value_size, 1};
      gemm(1.0F, {scores.data(), queries, keys, keys, 1}, value, 0.0F,
           out.mutable_data<float>() + i * queries * value_size, value_size);
    }
  });
  context.output(0, std::move(out));
  if (context.is_used(1)) context.output(1, std::move(probabilities));
}

}  // namespace

Tensor attention(Tensor query, Tensor key, Tensor value, AttentionOptions options) {
  return attention_with_probabilities(query, key, value, options).context;
}

AttentionResult attention_with_probabilities(Tensor query, Tensor key, Tensor value, AttentionOptions options) {
  std::vector<Tensor> operands{query, key, value};
  if (options.bias) operands.push_back(*options.bias);
  const std::vector<Tensor> results = query.graph().add_node(Attention{options.scale}, operands);
  return {.context = results[0], .probabilities = results[1]};
}

}  // namespace onnxport::ops
