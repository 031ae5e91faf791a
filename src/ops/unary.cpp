// Element-wise operators of one operand.
#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport {
namespace {

enum class UnaryKind {
  Neg,
  Exp,
  Log,
  Sqrt,
  Abs,
  Sign,
  Floor,
  Ceil,
  Round,
  Sin,
  Cos,
  Tanh,
  Erf,
  Sigmoid,
  Relu,
  Softplus,
  Not
};

struct Unary {
  static constexpr std::string_view name = "unary";
  UnaryKind kind;
};

std::string_view onnx_name(UnaryKind kind) {
  constexpr std::string_view names[] = {"Neg", "Exp", "Log",  "Sqrt", "Abs",     "Sign", "Floor",    "Ceil", "Round",
                                        "Sin", "Cos", "Tanh", "Erf",  "Sigmoid", "Relu", "Softplus", "Not"};
  return names[static_cast<std::size_t>(kind)];
}

std::vector<TensorType> infer(const Unary&, std::span<const TensorType> inputs) { return {inputs[0]}; }

void lower(const Unary& op, LowerContext& context) {
  context.output(context.emit(onnx_name(op.kind), {context.input(0)}));
}

float evaluate_float(UnaryKind kind, float x) {
  switch (kind) {
    case UnaryKind::Neg:
      return -x;
    case UnaryKind::Exp:
      return std::exp(x);
    case UnaryKind::Log:
      return std::log(x);
    case UnaryKind::Sqrt:
      return std::sqrt(x);
    case UnaryKind::Abs:
      return std::fabs(x);
    case UnaryKind::Sign:
      return static_cast<float>((x > 0) - (x < 0));
    case UnaryKind::Floor:
      return std::floor(x);
    case UnaryKind::Ceil:
      return std::ceil(x);
    case UnaryKind::Round:
      return std::nearbyint(x);
    case UnaryKind::Sin:
      return std::sin(x);
    case UnaryKind::Cos:
      return std::cos(x);
    case UnaryKind::Tanh:
      return std::tanh(x);
    case UnaryKind::Erf:
      return std::erf(x);
    case UnaryKind::Sigmoid:
      return 1.0F / (1.0F + std::exp(-x));
    case UnaryKind::Relu:
      return x > 0 ? x : 0.0F;
    case UnaryKind::Softplus:
      return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    case UnaryKind::Not:
      break;
  }
  ops::mismatch("not of a floating-point tensor");
}

void evaluate(const Unary& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  if (x.data_type() == DataType::Float32) {
    ops::map_elements(x.values<float>(), out.mutable_data<float>(),
                      [&](float v) { return evaluate_float(op.kind, v); });
  } else if (x.data_type() == DataType::Int64) {
    ops::map_elements(x.values<std::int64_t>(), out.mutable_data<std::int64_t>(), [&](std::int64_t v) {
      switch (op.kind) {
        case UnaryKind::Neg:
          return -v;
        case UnaryKind::Abs:
          return v < 0 ? -v : v;
        case UnaryKind::Sign:
          return static_cast<std::int64_t>((v > 0) - (v < 0));
        case UnaryKind::Relu:
          return v > 0 ? v : 0;
        default:
          ops::mismatch(std::string(onnx_name(op.kind)) + " of integers");
      }
    });
  } else if (op.kind == UnaryKind::Not) {
    ops::map_elements(x.values<std::uint8_t>(), out.mutable_data<std::uint8_t>(),
                      [](std::uint8_t v) { return static_cast<std::uint8_t>(v == 0); });
  } else {
    ops::mismatch(std::string(onnx_name(op.kind)) + " of " + std::string(to_string(x.data_type())));
  }
  context.output(std::move(out));
}

Tensor unary(UnaryKind kind, Tensor a) { return a.graph().add(Unary{kind}, {a}); }

}  // namespace

Tensor operator-(Tensor a) { return unary(UnaryKind::Neg, a); }

namespace ops {

Tensor exp(Tensor a) { return unary(UnaryKind::Exp, a); }
Tensor log(Tensor a) { return unary(UnaryKind::Log, a); }
Tensor sqrt(Tensor a) { return unary(UnaryKind::Sqrt, a); }
Tensor abs(Tensor a) { return unary(UnaryKind::Abs, a); }
Tensor sign(Tensor a) { return unary(UnaryKind::Sign, a); }
Tensor floor(Tensor a) { return unary(UnaryKind::Floor, a); }
Tensor ceil(Tensor a) { return unary(UnaryKind::Ceil, a); }
Tensor round(Tensor a) { return unary(UnaryKind::Round, a); }
Tensor sin(Tensor a) { return unary(UnaryKind::Sin, a); }
Tensor cos(Tensor a) { return unary(UnaryKind::Cos, a); }
Tensor tanh(Tensor a) { return unary(UnaryKind::Tanh, a); }
Tensor erf(Tensor a) { return unary(UnaryKind::Erf, a); }
Tensor sigmoid(Tensor a) { return unary(UnaryKind::Sigmoid, a); }
Tensor relu(Tensor a) { return unary(UnaryKind::Relu, a); }
Tensor softplus(Tensor a) { return unary(UnaryKind::Softplus, a); }
Tensor logical_not(Tensor a) { return unary(UnaryKind::Not, a); }

}  // namespace ops
}  // namespace onnxport
