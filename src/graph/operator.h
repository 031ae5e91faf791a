#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "graph/dim.h"
#include "onnxport/data_type.h"

namespace onnxport {

class LowerContext;
class EvaluateContext;

/// Element type and symbolic shape of a tensor. Float32 stands for "the model's floating-point type": lowering writes
/// it as float32, float16 or bfloat16.
struct TensorType {
  DataType data_type = DataType::Float32;
  Shape shape;
};

namespace detail {

struct AnyOperator {
  virtual ~AnyOperator() = default;
  virtual std::string_view name() const = 0;
  virtual std::vector<TensorType> infer_types(std::span<const TensorType> inputs) const = 0;
  virtual void lower_to(LowerContext& context) const = 0;
  virtual void evaluate_in(EvaluateContext& context) const = 0;
};

template <typename Op>
struct ErasedOperator final : AnyOperator {
  explicit ErasedOperator(Op value) : op(std::move(value)) {}
  std::string_view name() const override { return Op::name; }
  std::vector<TensorType> infer_types(std::span<const TensorType> inputs) const override { return infer(op, inputs); }
  void lower_to(LowerContext& context) const override { lower(op, context); }
  void evaluate_in(EvaluateContext& context) const override { evaluate(op, context); }
  Op op;
};

}  // namespace detail

/// Anything that is an operator: a plain struct of attributes with a static `name` and three functions beside it,
///     std::vector<TensorType> infer(const Op&, std::span<const TensorType> inputs);   // or throws
///     Error(ShapeMismatch) void lower(const Op&, LowerContext&);                                           // emits
///     ONNX nodes void evaluate(const Op&, EvaluateContext&);                                     // computes in
///     float32
/// found by argument-dependent lookup. An operator's struct and functions stand in one file of src/ops.
class Operator {
 public:
  template <typename Op>
  Operator(Op op) : self_(std::make_shared<const detail::ErasedOperator<Op>>(std::move(op))) {}  // NOLINT: implicit

  std::string_view name() const { return self_->name(); }
  std::vector<TensorType> infer(std::span<const TensorType> inputs) const { return self_->infer_types(inputs); }
  void lower(LowerContext& context) const { self_->lower_to(context); }
  void evaluate(EvaluateContext& context) const { self_->evaluate_in(context); }

 private:
  std::shared_ptr<const detail::AnyOperator> self_;
};

}  // namespace onnxport
