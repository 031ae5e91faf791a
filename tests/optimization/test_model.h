#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "onnx/model.h"
#include "onnxport/optimizer.h"
#include "optimization/optimize_model.h"

namespace onnxport::optimization {

/// A graph of x (batch, length, 8) to y, built node by node.
class TestModel {
 public:
  TestModel() {
    model_.opset_imports[""] = 17;
    model_.graph.inputs = {{"x", DataType::Float32, {std::string("batch"), std::string("length"), std::int64_t{8}}}};
    output("y");
  }

  TestModel& node(std::string op_type, std::vector<std::string> inputs, std::string output,
                  std::vector<onnx::Attribute> attributes = {}) {
    model_.graph.nodes.push_back(
        {std::move(op_type), "", "make_" + output, std::move(inputs), {output}, std::move(attributes)});
    return *this;
  }
  TestModel& scalar(std::string name, float value) {
    return initializer(std::move(name), Array::float32({}, {&value, 1}));
  }
  TestModel& integers(std::string name, const std::vector<std::int64_t>& values) {
    // A single one is an index: a scalar.
    std::vector<std::int64_t> shape;
    if (values.size() != 1) shape.push_back(static_cast<std::int64_t>(values.size()));
    return initializer(std::move(name), Array::int64(std::move(shape), values));
  }
  TestModel& integer_list(std::string name, const std::vector<std::int64_t>& values) {
    return initializer(std::move(name), Array::int64({static_cast<std::int64_t>(values.size())}, values));
  }
  /// Of one row.
  TestModel& matrix(std::string name, const std::vector<std::int64_t>& values) {
    return initializer(std::move(name), Array::int64({1, static_cast<std::int64_t>(values.size())}, values));
  }
  /// Elements first, first + 1, ..., all zero for 0.
  TestModel& weight(std::string name, std::vector<std::int64_t> shape, float first) {
    Array array(DataType::Float32, std::move(shape));
    for (std::int64_t i = 0; i < array.element_count(); ++i)
      array.mutable_data<float>()[i] = first == 0 ? 0 : first + static_cast<float>(i);
    return initializer(std::move(name), array);
  }
  TestModel& input(std::string name, std::vector<onnx::Dimension> shape) {
    model_.graph.inputs.push_back({std::move(name), DataType::Float32, std::move(shape)});
    return *this;
  }
  TestModel& output(const std::string& name) {
    model_.graph.outputs.push_back({name, DataType::Float32, {}});
    model_.graph.outputs.back().has_shape = false;
    return *this;
  }

  void optimize(const OptimizationConfig& config) { optimize_model(model_, config, report_); }
  void optimize(std::string_view level) { optimize(AutoOptimizationConfig::with_optimization_level(level)); }

  const onnx::Model& model() const { return model_; }
  const OptimizedModel& report() const { return report_; }
  std::vector<std::string> operators() const {
    std::vector<std::string> names;
    for (const onnx::Node& node : model_.graph.nodes)
      names.push_back(node.domain.empty() ? node.op_type : node.domain + "." + node.op_type);
    return names;
  }
  /// The scalar that the last node has as its second input.
  float constant_of_last() const {
    for (const onnx::Initializer& initializer : model_.graph.initializers)
      if (initializer.name == model_.graph.nodes.back().inputs[1])
        return materialize(initializer.source).data<float>()[0];
    return NAN;
  }

 private:
  TestModel& initializer(std::string name, const Array& array) {
    model_.graph.initializers.push_back({std::move(name), from_array(array)});
    return *this;
  }

  onnx::Model model_;
  OptimizedModel report_;
};

}  // namespace onnxport::optimization
