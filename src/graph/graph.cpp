#include "graph/graph.h"

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport {

const TensorType& Tensor::type() const { return graph_->value(id_).type; }

const Dim& Tensor::dim(int axis) const {
  const int index = axis < 0 ? axis + rank() : axis;
  if (index < 0 || index >= rank())
    throw Error(ErrorKind::ShapeMismatch, "axis " + std::to_string(axis) + " of a tensor of shape " +
                                              to_string(shape()) + " at " + graph_->scope());
  return shape()[static_cast<std::size_t>(index)];
}

ValueId Graph::add_value(Value value) {
  values_.push_back(std::move(value));
  return static_cast<ValueId>(values_.size() - 1);
}

Tensor Graph::add_input(std::string_view name, TensorType type) {
  const ValueId id = add_value({ValueKind::Input, std::move(type), std::string(name), {}});
  inputs_.push_back(id);
  return {*this, id};
}

Tensor Graph::add_parameter(std::string_view name, TensorSource source) {
  if (auto found = parameters_.find(name); found != parameters_.end()) return {*this, found->second};
  TensorType type{is_floating_point(source.data_type) ? DataType::Float32 : source.data_type, {}};
  for (std::int64_t size : source.shape) type.shape.emplace_back(size);
  const ValueId id = add_value({ValueKind::Parameter, std::move(type), std::string(name), std::move(source)});
  parameters_.emplace(name, id);
  return {*this, id};
}

Tensor Graph::add_constant(const Array& value) {
  TensorType type{value.data_type(), {}};
  for (std::int64_t size : value.shape()) type.shape.emplace_back(size);
  return {*this, add_value({ValueKind::Constant, std::move(type), {}, from_array(value)})};
}

Tensor Graph::add_scalar(DataType type, double value) {
  auto [position, inserted] = scalars_.try_emplace({type, value}, 0);
  if (inserted) {
    Array scalar(type, {});
    switch (type) {
      case DataType::Float32:
        *scalar.mutable_data<float>() = static_cast<float>(value);
        break;
      case DataType::Int64:
        *scalar.mutable_data<std::int64_t>() = static_cast<std::int64_t>(value);
        break;
      case DataType::Bool:
        *scalar.mutable_data<std::uint8_t>() = value != 0;
        break;
      default:
        throw Error(ErrorKind::InvalidArgument, "scalars are float, int64 or bool");
    }
    position->second = add_constant(scalar).id();
  }
  return {*this, position->second};
}

std::vector<Tensor> Graph::add_node(Operator op, std::span<const Tensor> inputs) {
  std::vector<TensorType> types;
  std::vector<ValueId> ids;
  for (const Tensor& input : inputs) {
    types.push_back(input.type());
    ids.push_back(input.id());
  }
  std::vector<TensorType> results;
  try {
    results = op.infer(types);
  } catch (const Error& error) {
    std::string operands;
    for (std::size_t i = 0; i < types.size(); ++i) {
      operands += (i ? ", " : "") + onnxport::to_string(types[i].shape);
      if (!values_[ids[i]].name.empty()) operands += " " + values_[ids[i]].name;
    }
    throw Error(error.kind(),
                std::string(op.name()) + " at \"" + scope_ + "\": " + error.what() + " (operands: " + operands + ")");
  }
  Node node{std::move(op), std::move(ids), {}, scope_};
  std::vector<Tensor> outputs;
  for (TensorType& type : results) {
    node.outputs.push_back(add_value({ValueKind::Computed, std::move(type), {}, {}}));
    outputs.emplace_back(*this, node.outputs.back());
  }
  nodes_.push_back(std::move(node));
  return outputs;
}

Tensor Graph::add(Operator op, std::span<const Tensor> inputs) { return add_node(std::move(op), inputs).front(); }

Tensor Graph::add(Operator op, std::initializer_list<Tensor> inputs) {
  return add(std::move(op), std::span<const Tensor>(inputs.begin(), inputs.size()));
}

void Graph::add_output(std::string_view name, Tensor tensor) { add_output(name, tensor, tensor.shape()); }

void Graph::add_output(std::string_view name, Tensor tensor, Shape declared_shape) {
  outputs_.push_back({std::string(name), tensor.id(), std::move(declared_shape)});
}

void Graph::record(std::string_view series, Tensor tensor) { series_[std::string(series)].push_back(tensor.id()); }

void Graph::rename_series(std::string_view from, std::string_view to) {
  if (auto series = series_.extract(std::string(from))) {
    series.key() = to;
    series_.insert(std::move(series));
  }
}

std::vector<bool> Graph::used_values() const {
  std::vector<bool> used(values_.size(), false);
  for (const GraphOutput& output : outputs_) used[output.value] = true;
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node)
    if (std::any_of(node->outputs.begin(), node->outputs.end(), [&](ValueId id) { return used[id]; }))
      for (ValueId id : node->inputs) used[id] = true;
  return used;
}

std::string Graph::to_string() const {
  std::string text;
  const auto reference = [&](ValueId id) {
    const Value& value = values_[id];
    return value.name.empty() ? "%" + std::to_string(id) : value.name;
  };
  for (const Node& node : nodes_) {
    text += node.scope + "  ";
    for (ValueId id : node.outputs) text += reference(id) + " " + onnxport::to_string(values_[id].type.shape) + " ";
    text += "= " + std::string(node.op.name()) + "(";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) text += (i ? ", " : "") + reference(node.inputs[i]);
    text += ")\n";
  }
  return text;
}

}  // namespace onnxport
