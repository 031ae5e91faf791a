#include "onnx/model.h"

#include <algorithm>
#include <utility>

namespace onnxport::onnx {
namespace {

template <typename Value>
const Value* find_value(const Node& node, std::string_view name) {
  const Attribute* attribute = find_attribute(node, name);
  return attribute == nullptr ? nullptr : std::get_if<Value>(&attribute->value);
}

}  // namespace

Subgraph::Subgraph(Graph graph) : graph_(std::make_unique<Graph>(std::move(graph))) {}
Subgraph::Subgraph(const Subgraph& other) : Subgraph(*other) {}
Subgraph::Subgraph(Subgraph&&) noexcept = default;
Subgraph& Subgraph::operator=(Subgraph other) noexcept {
  graph_.swap(other.graph_);
  return *this;
}
Subgraph::~Subgraph() = default;

const Attribute* find_attribute(const Node& node, std::string_view name) {
  const auto found = std::find_if(node.attributes.begin(), node.attributes.end(),
                                  [&](const Attribute& attribute) { return attribute.name == name; });
  return found == node.attributes.end() ? nullptr : &*found;
}

Attribute* find_attribute(Node& node, std::string_view name) {
  return const_cast<Attribute*>(find_attribute(std::as_const(node), name));
}

std::int64_t integer_attribute(const Node& node, std::string_view name, std::int64_t otherwise) {
  const auto* value = find_value<std::int64_t>(node, name);
  return value == nullptr ? otherwise : *value;
}

float float_attribute(const Node& node, std::string_view name, float otherwise) {
  const auto* value = find_value<float>(node, name);
  return value == nullptr ? otherwise : *value;
}

std::string string_attribute(const Node& node, std::string_view name, std::string_view otherwise) {
  const auto* value = find_value<std::string>(node, name);
  return value == nullptr ? std::string(otherwise) : *value;
}

std::vector<std::int64_t> integers_attribute(const Node& node, std::string_view name) {
  const auto* value = find_value<std::vector<std::int64_t>>(node, name);
  return value == nullptr ? std::vector<std::int64_t>{} : *value;
}

void set_attribute(Node& node, std::string_view name, AttributeValue value) {
  if (Attribute* attribute = find_attribute(node, name)) {
    attribute->value = std::move(value);
  } else {
    node.attributes.push_back({std::string(name), std::move(value)});
  }
}

}  // namespace onnxport::onnx
