#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

/// The operators that models are made of. Each is defined in a file of its own: what it gives (infer), how it becomes
/// ONNX (lower) and what it computes (evaluate). Shapes broadcast as in numpy; negative axes count from the end.
/// All throw Error(ShapeMismatch) when operands do not fit.
namespace onnxport {

// Arithmetic on tensors of one element type, and with numbers.
Tensor operator+(Tensor a, Tensor b);
Tensor operator-(Tensor a, Tensor b);
Tensor operator*(Tensor a, Tensor b);
Tensor operator/(Tensor a, Tensor b);
Tensor operator-(Tensor a);
Tensor operator+(Tensor a, double b);
Tensor operator-(Tensor a, double b);
Tensor operator*(Tensor a, double b);
Tensor operator/(Tensor a, double b);
Tensor operator+(double a, Tensor b);
Tensor operator-(double a, Tensor b);
Tensor operator*(double a, Tensor b);
Tensor operator/(double a, Tensor b);

}  // namespace onnxport

namespace onnxport::ops {

// --- element by element: binary.cpp, unary.cpp, where.cpp, cast.cpp, gelu.cpp ---
Tensor pow(Tensor a, double exponent);
Tensor minimum(Tensor a, Tensor b);
Tensor maximum(Tensor a, Tensor b);
Tensor minimum(Tensor a, double b);
Tensor maximum(Tensor a, double b);
Tensor remainder(Tensor a, Tensor b);  ///< int64, sign of the divisor as in Python
Tensor equal(Tensor a, Tensor b);      ///< comparisons give Bool
Tensor equal(Tensor a, double b);
Tensor less(Tensor a, Tensor b);
Tensor less(Tensor a, double b);
Tensor less_equal(Tensor a, Tensor b);
Tensor greater(Tensor a, Tensor b);
Tensor greater(Tensor a, double b);
Tensor greater_equal(Tensor a, Tensor b);
Tensor logical_and(Tensor a, Tensor b);
Tensor logical_or(Tensor a, Tensor b);
Tensor logical_not(Tensor a);

Tensor exp(Tensor a);
Tensor log(Tensor a);
Tensor sqrt(Tensor a);
Tensor abs(Tensor a);
Tensor sign(Tensor a);
Tensor floor(Tensor a);
Tensor ceil(Tensor a);
Tensor round(Tensor a);  ///< halves to even
Tensor sin(Tensor a);
Tensor cos(Tensor a);
Tensor tanh(Tensor a);
Tensor erf(Tensor a);
Tensor sigmoid(Tensor a);
Tensor relu(Tensor a);
Tensor softplus(Tensor a);
/// Gaussian error linear unit (Hendrycks & Gimpel, 2016): x Φ(x), or its tanh approximation.
enum class GeluApproximation { None, Tanh };
Tensor gelu(Tensor a, GeluApproximation approximation = GeluApproximation::None);

Tensor where(Tensor condition, Tensor a, Tensor b);
Tensor where(Tensor condition, Tensor a, double b);
Tensor where(Tensor condition, double a, Tensor b);
Tensor cast(Tensor a, DataType type);  ///< Float32, Int64 or Bool; floats are truncated towards zero

// --- shapes: reshape.cpp, transpose.cpp, expand.cpp, concat.cpp, slice.cpp, split.cpp, pad.cpp, assume_shape.cpp ---
Tensor reshape(Tensor a, Shape shape);
Tensor unsqueeze(Tensor a, int axis);  ///< a new axis of size 1 that gets this index
Tensor squeeze(Tensor a, int axis);
Tensor transpose(Tensor a, std::vector<int> permutation);
Tensor swap_axes(Tensor a, int axis1, int axis2);
Tensor expand(Tensor a, Shape shape);
Tensor concat(std::vector<Tensor> parts, int axis);
/// Elements begin, begin + step, ... before end; begin and end may be symbolic and must be in range.
Tensor slice(Tensor a, int axis, Dim begin, Dim end, int step = 1);
/// One index of an axis, which disappears.
Tensor select(Tensor a, int axis, Dim index);
std::vector<Tensor> split(Tensor a, int axis, int parts);
std::vector<Tensor> split(Tensor a, int axis, std::vector<std::int64_t> sizes);
/// Adds `before` and `after` elements of `value` at one axis.
Tensor pad(Tensor a, int axis, Dim before, Dim after, double value);
/// The same tensor with sizes that only the model knows: of an input whose axes are declared dynamic although it takes
/// one size only. No node of ONNX comes of it.
Tensor assume_shape(Tensor a, Shape shape);

// --- indices: gather.cpp, range.cpp, cumulative_sum.cpp, arg_max.cpp ---
/// a[..., indices, ...]: the axis is replaced by the axes of `indices` (int64, in range).
Tensor gather(Tensor a, Tensor indices, int axis = 0);
/// out[i][j] = a[i][indices[i][j]] for axis 1, and so on; torch.gather.
Tensor gather_elements(Tensor a, Tensor indices, int axis);
/// int64 begin, begin + 1, ... of the given count.
Tensor range(Graph& graph, Dim begin, Dim count);
/// The value of a dimension as an int64 scalar.
Tensor size(Graph& graph, Dim dim);
Tensor cumulative_sum(Tensor a, int axis);
Tensor arg_max(Tensor a, int axis);  ///< index of the first maximum; the axis disappears

// --- reductions: reduce.cpp, softmax.cpp ---
Tensor reduce_sum(Tensor a, std::vector<int> axes, bool keep_dims = true);
Tensor reduce_mean(Tensor a, std::vector<int> axes, bool keep_dims = true);
Tensor reduce_max(Tensor a, std::vector<int> axes, bool keep_dims = true);
Tensor reduce_min(Tensor a, std::vector<int> axes, bool keep_dims = true);
Tensor softmax(Tensor a, int axis);

// --- products: matmul.cpp, linear.cpp, conv.cpp, attention.cpp ---
/// Matrix product of the last two axes; leading axes broadcast.
Tensor matmul(Tensor a, Tensor b);
/// x Wᵀ + bias with the weight as torch.nn.Linear stores it, (out, in); or x W + bias for (in, out), as GPT-2's Conv1D.
enum class WeightLayout { OutIn, InOut };
Tensor linear(Tensor x, Tensor weight, std::optional<Tensor> bias, WeightLayout layout = WeightLayout::OutIn);
struct ConvOptions {
  std::vector<std::int64_t> strides{};    ///< empty: 1
  std::vector<std::int64_t> pads{};       ///< before of each axis, then after of each; empty: 0
  std::vector<std::int64_t> dilations{};  ///< empty: 1
  std::int64_t groups = 1;
};
/// Cross-correlation: x (N, C, spatial...), weight (M, C / groups, kernel...), bias (M).
Tensor conv(Tensor x, Tensor weight, std::optional<Tensor> bias, ConvOptions options = {});
struct AttentionOptions {
  float scale = 1.0F;            ///< of the products of queries and keys
  std::optional<Tensor> bias{};  ///< added to the scaled products; broadcasts to (batch, heads, queries, keys)
};
/// softmax(scale · query keyᵀ + bias) value over (batch, heads, length, size); keys and values may have fewer heads,
/// each shared by a group of query heads (Ainslie et al., 2023).
Tensor attention(Tensor query, Tensor key, Tensor value, AttentionOptions options);
struct AttentionResult {
  Tensor context;        ///< (batch, heads, queries, size)
  Tensor probabilities;  ///< the softmax: (batch, heads, queries, keys)
};
/// The same, with the probabilities, which are not kept unless something depends on them.
AttentionResult attention_with_probabilities(Tensor query, Tensor key, Tensor value, AttentionOptions options);

// --- positions: rotary_embedding.cpp ---
/// Cosines and sines of angles by which pairs of elements are turned: (batch or 1, length, pairs) each.
struct Rotation {
  Tensor cos;
  Tensor sin;
};
/// The angles position · frequency of int64 positions (batch or 1, length), times `scale` after cos and sin.
Rotation rotary_angles(Tensor positions, std::vector<float> frequencies, float scale = 1.0F);
/// Which elements are a pair: i and i + half (GPT-NeoX, Llama), or 2i and 2i + 1 (RoFormer, GPT-J).
enum class RotaryPairs { Halves, Neighbours };
/// Turns the pairs of x (batch, heads, length, size) by their position (Su et al., 2021). Elements beyond twice the
/// number of angles stay as they are.
Tensor rotary_embedding(Tensor x, const Rotation& rotation, RotaryPairs pairs = RotaryPairs::Halves);
/// scores[..., i, j] = x[..., i, :] · table[head, span + p, :]: products of x (batch, heads, length, size) with
/// embeddings of relative positions (Shaw et al., 2018), the table (1, heads or 1, 2 * span + 1, size). p is i - j, at
/// most span, or with buckets[|i - j|] in place of |i - j|; the last bucket is that of all larger distances.
Tensor relative_scores(Tensor x, Tensor table, std::vector<std::int64_t> buckets = {});

// --- normalization: layer_norm.cpp, rms_norm.cpp ---
/// Over the last axis (Ba et al., 2016).
Tensor layer_norm(Tensor x, Tensor weight, std::optional<Tensor> bias, float epsilon);
/// x / sqrt(mean(x²) + epsilon) · weight over the last axis (Zhang & Sennrich, 2019), computed in float32.
Tensor rms_norm(Tensor x, Tensor weight, float epsilon);

}  // namespace onnxport::ops
