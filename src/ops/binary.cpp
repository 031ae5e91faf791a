// Element-wise operators of two operands: arithmetic, comparison, logic.
#include <algorithm>
#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "onnxport/error.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport {
namespace {

enum class BinaryKind {
  Add,
  Sub,
  Mul,
  Div,
  Pow,
  Min,
  Max,
  Mod,
  Equal,
  Less,
  LessOrEqual,
  Greater,
  GreaterOrEqual,
  And,
  Or
};

struct Binary {
  static constexpr std::string_view name = "binary";
  BinaryKind kind;
};

std::string_view onnx_name(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::Add:
      return "Add";
    case BinaryKind::Sub:
      return "Sub";
    case BinaryKind::Mul:
      return "Mul";
    case BinaryKind::Div:
      return "Div";
    case BinaryKind::Pow:
      return "Pow";
    case BinaryKind::Min:
      return "Min";
    case BinaryKind::Max:
      return "Max";
    case BinaryKind::Mod:
      return "Mod";
    case BinaryKind::Equal:
      return "Equal";
    case BinaryKind::Less:
      return "Less";
    case BinaryKind::LessOrEqual:
      return "LessOrEqual";
    case BinaryKind::Greater:
      return "Greater";
    case BinaryKind::GreaterOrEqual:
      return "GreaterOrEqual";
    case BinaryKind::And:
      return "And";
    case BinaryKind::Or:
      return "Or";
  }
  return {};
}

bool compares(BinaryKind kind) { return kind >= BinaryKind::Equal && kind <= BinaryKind::GreaterOrEqual; }

std::vector<TensorType> infer(const Binary& op, std::span<const TensorType> inputs) {
  if (inputs[0].data_type != inputs[1].data_type)
    ops::mismatch(std::string(onnx_name(op.kind)) + " of " + std::string(to_string(inputs[0].data_type)) + " and " +
                  std::string(to_string(inputs[1].data_type)));
  return {{compares(op.kind) ? DataType::Bool : inputs[0].data_type, ops::broadcast(inputs[0].shape, inputs[1].shape)}};
}

void lower(const Binary& op, LowerContext& context) {
  context.output(context.emit(onnx_name(op.kind), {context.input(0), context.input(1)}));
}

template <typename T, typename R, typename F>
void apply(const Array& a, const Array& b, Array& out, F f) {
  const T* x = a.data<T>();
  const T* y = b.data<T>();
  R* z = out.mutable_data<R>();
  const auto strides = {ops::broadcast_strides(a.shape(), out.shape()), ops::broadcast_strides(b.shape(), out.shape())};
  ops::for_each_row(out.shape(), strides,
                    [&](std::int64_t first, std::int64_t count, const auto& offset, const auto& step) {
                      const T* p = x + offset[0];
                      const T* q = y + offset[1];
                      // The two common cases stand apart so that the compiler vectorises them.
                      if (step[0] == 1 && step[1] == 1) {
                        for (std::int64_t i = 0; i < count; ++i) z[first + i] = f(p[i], q[i]);
                      } else if (step[0] == 1 && step[1] == 0) {
                        const T value = *q;
                        for (std::int64_t i = 0; i < count; ++i) z[first + i] = f(p[i], value);
                      } else {
                        for (std::int64_t i = 0; i < count; ++i) z[first + i] = f(p[i * step[0]], q[i * step[1]]);
                      }
                    });
}

template <typename T>
T floor_remainder(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y == 0) throw Error(ErrorKind::InvalidModel, "integer division by zero");
    const T rest = static_cast<T>(x % y);
    return rest != 0 && (rest < 0) != (y < 0) ? static_cast<T>(rest + y) : rest;
  } else {
    return x - y * std::floor(x / y);
  }
}

template <typename T>
void evaluate_numbers(BinaryKind kind, const Array& a, const Array& b, Array& out) {
  switch (kind) {
    case BinaryKind::Add:
      return apply<T, T>(a, b, out, [](T x, T y) { return static_cast<T>(x + y); });
    case BinaryKind::Sub:
      return apply<T, T>(a, b, out, [](T x, T y) { return static_cast<T>(x - y); });
    case BinaryKind::Mul:
      return apply<T, T>(a, b, out, [](T x, T y) { return static_cast<T>(x * y); });
    case BinaryKind::Div:
      return apply<T, T>(a, b, out, [](T x, T y) {
        if constexpr (std::is_integral_v<T>) {
          if (y == 0) throw Error(ErrorKind::InvalidModel, "integer division by zero");
        }
        return static_cast<T>(x / y);
      });
    case BinaryKind::Pow:
      return apply<T, T>(a, b, out, [](T x, T y) {
        return y == T{2} ? static_cast<T>(x * x)
                         : static_cast<T>(std::pow(static_cast<double>(x), static_cast<double>(y)));
      });
    case BinaryKind::Min:
      return apply<T, T>(a, b, out, [](T x, T y) { return std::min(x, y); });
    case BinaryKind::Max:
      return apply<T, T>(a, b, out, [](T x, T y) { return std::max(x, y); });
    case BinaryKind::Mod:
      return apply<T, T>(a, b, out, [](T x, T y) { return floor_remainder(x, y); });
    case BinaryKind::Equal:
      return apply<T, std::uint8_t>(a, b, out, [](T x, T y) { return x == y; });
    case BinaryKind::Less:
      return apply<T, std::uint8_t>(a, b, out, [](T x, T y) { return x < y; });
    case BinaryKind::LessOrEqual:
      return apply<T, std::uint8_t>(a, b, out, [](T x, T y) { return x <= y; });
    case BinaryKind::Greater:
      return apply<T, std::uint8_t>(a, b, out, [](T x, T y) { return x > y; });
    case BinaryKind::GreaterOrEqual:
      return apply<T, std::uint8_t>(a, b, out, [](T x, T y) { return x >= y; });
    case BinaryKind::And:
      return apply<T, T>(a, b, out, [](T x, T y) { return static_cast<T>(x != T{} && y != T{}); });
    case BinaryKind::Or:
      return apply<T, T>(a, b, out, [](T x, T y) { return static_cast<T>(x != T{} || y != T{}); });
  }
}

void evaluate(const Binary& op, EvaluateContext& context) {
  const Array a = context.input(0);
  const Array b = context.input(1);
  Array out = context.new_output();
  switch (a.data_type()) {
    case DataType::Float32:
      evaluate_numbers<float>(op.kind, a, b, out);
      break;
    case DataType::Int64:
      evaluate_numbers<std::int64_t>(op.kind, a, b, out);
      break;
    case DataType::Bool:
      evaluate_numbers<std::uint8_t>(op.kind, a, b, out);
      break;
    default:
      ops::mismatch("element-wise operators take float, int64 or bool");
  }
  context.output(std::move(out));
}

Tensor binary(BinaryKind kind, Tensor a, Tensor b) { return a.graph().add(Binary{kind}, {a, b}); }
Tensor binary(BinaryKind kind, Tensor a, double b) { return binary(kind, a, a.graph().add_scalar(a.data_type(), b)); }
Tensor binary(BinaryKind kind, double a, Tensor b) { return binary(kind, b.graph().add_scalar(b.data_type(), a), b); }

}  // namespace

Tensor operator+(Tensor a, Tensor b) { return binary(BinaryKind::Add, a, b); }
Tensor operator-(Tensor a, Tensor b) { return binary(BinaryKind::Sub, a, b); }
Tensor operator*(Tensor a, Tensor b) { return binary(BinaryKind::Mul, a, b); }
Tensor operator/(Tensor a, Tensor b) { return binary(BinaryKind::Div, a, b); }
Tensor operator+(Tensor a, double b) { return binary(BinaryKind::Add, a, b); }
Tensor operator-(Tensor a, double b) { return binary(BinaryKind::Sub, a, b); }
Tensor operator*(Tensor a, double b) { return binary(BinaryKind::Mul, a, b); }
Tensor operator/(Tensor a, double b) { return binary(BinaryKind::Div, a, b); }
Tensor operator+(double a, Tensor b) { return binary(BinaryKind::Add, a, b); }
Tensor operator-(double a, Tensor b) { return binary(BinaryKind::Sub, a, b); }
Tensor operator*(double a, Tensor b) { return binary(BinaryKind::Mul, a, b); }
Tensor operator/(double a, Tensor b) { return binary(BinaryKind::Div, a, b); }

namespace ops {

Tensor pow(Tensor a, double exponent) { return binary(BinaryKind::Pow, a, exponent); }
Tensor minimum(Tensor a, Tensor b) { return binary(BinaryKind::Min, a, b); }
Tensor maximum(Tensor a, Tensor b) { return binary(BinaryKind::Max, a, b); }
Tensor minimum(Tensor a, double b) { return binary(BinaryKind::Min, a, b); }
Tensor maximum(Tensor a, double b) { return binary(BinaryKind::Max, a, b); }
Tensor remainder(Tensor a, Tensor b) { return binary(BinaryKind::Mod, a, b); }
Tensor equal(Tensor a, Tensor b) { return binary(BinaryKind::Equal, a, b); }
Tensor equal(Tensor a, double b) { return binary(BinaryKind::Equal, a, b); }
Tensor less(Tensor a, Tensor b) { return binary(BinaryKind::Less, a, b); }
Tensor less(Tensor a, double b) { return binary(BinaryKind::Less, a, b); }
Tensor less_equal(Tensor a, Tensor b) { return binary(BinaryKind::LessOrEqual, a, b); }
Tensor greater(Tensor a, Tensor b) { return binary(BinaryKind::Greater, a, b); }
Tensor greater(Tensor a, double b) { return binary(BinaryKind::Greater, a, b); }
Tensor greater_equal(Tensor a, Tensor b) { return binary(BinaryKind::GreaterOrEqual, a, b); }
Tensor logical_and(Tensor a, Tensor b) { return binary(BinaryKind::And, a, b); }
Tensor logical_or(Tensor a, Tensor b) { return binary(BinaryKind::Or, a, b); }

}  // namespace ops
}  // namespace onnxport
