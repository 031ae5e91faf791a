#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/tensor_source.h"
#include "onnxport/array.h"
#include "onnxport/data_type.h"

/// ONNX's own structures (onnx.proto), as plain values. Weights stay TensorSources: a Model is small at any size.
namespace onnxport::onnx {

/// A message that onnxport does not interpret, as it was read. Kept so that a model that is read and written again
/// loses nothing.
struct Opaque {
  std::span<const std::byte> serialized;
  std::shared_ptr<const void> owner;  ///< keeps `serialized` alive
};

struct Graph;

/// The graph that an attribute of If, Loop or Scan holds. A value like the others: copied with its attribute.
class Subgraph {
 public:
  explicit Subgraph(Graph graph);
  Subgraph(const Subgraph& other);
  Subgraph(Subgraph&&) noexcept;
  Subgraph& operator=(Subgraph other) noexcept;
  ~Subgraph();

  Graph& operator*() { return *graph_; }
  const Graph& operator*() const { return *graph_; }
  Graph* operator->() { return graph_.get(); }
  const Graph* operator->() const { return graph_.get(); }

 private:
  std::unique_ptr<Graph> graph_;
};

/// The last alternative stands for the other kinds (strings, sparse tensors, several graphs): the whole AttributeProto.
using AttributeValue = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                                    Array, Subgraph, Opaque>;

struct Attribute {
  std::string name;
  AttributeValue value;
};

struct Node {
  std::string op_type;
  std::string domain;               ///< empty for ai.onnx
  std::string name;                 ///< "/encoder/layer.0/attention/self/query/Gemm"
  std::vector<std::string> inputs;  ///< "" for an optional input that is left out
  std::vector<std::string> outputs;
  std::vector<Attribute> attributes;
};

/// A fixed size, or the name of a dynamic axis; "" is an unknown size.
using Dimension = std::variant<std::int64_t, std::string>;

struct ValueInfo {
  std::string name;
  DataType data_type = DataType::Float32;
  std::vector<Dimension> shape;
  bool has_shape = true;  ///< false: not even the rank is known, `shape` is empty
};

struct Initializer {
  std::string name;
  TensorSource source;
  /// Where a model that was read keeps the tensor: the external file, relative to its directory, or "" for itself. Set
  /// also where that file is missing. The writer decides anew.
  std::string location{};
};

/// Nodes in an order in which each comes after those that make its inputs. A subgraph's nodes also see the values of
/// the graphs around it.
struct Graph {
  std::string name = "main_graph";
  std::string doc_string;
  std::vector<ValueInfo> inputs;
  std::vector<ValueInfo> outputs;
  std::vector<ValueInfo> value_infos;
  std::vector<Initializer> initializers;
  std::vector<Node> nodes;
};

struct Model {
  int ir_version = 8;
  std::string producer_name;
  std::string producer_version;
  std::string doc_string;
  std::map<std::string, int> opset_imports;  ///< domain ("" for ai.onnx) to version
  std::map<std::string, std::string> metadata;

  Graph graph;

  std::vector<Opaque> functions;  ///< FunctionProtos; onnxport writes none of its own
};

/// The attribute of that name, or nullptr.
const Attribute* find_attribute(const Node& node, std::string_view name);
Attribute* find_attribute(Node& node, std::string_view name);
/// The attribute's value, or `otherwise` if the node has none of that name and kind.
std::int64_t integer_attribute(const Node& node, std::string_view name, std::int64_t otherwise);
float float_attribute(const Node& node, std::string_view name, float otherwise);
std::string string_attribute(const Node& node, std::string_view name, std::string_view otherwise = {});
/// Empty if there is none.
std::vector<std::int64_t> integers_attribute(const Node& node, std::string_view name);
void set_attribute(Node& node, std::string_view name, AttributeValue value);

/// Calls `visit` with a graph and with all graphs in its nodes' attributes, outer ones first.
template <typename AnyGraph, typename Visit>
void for_each_graph(AnyGraph& graph, const Visit& visit) {
  visit(graph);
  for (auto& node : graph.nodes)
    for (auto& attribute : node.attributes)
      if (auto* subgraph = std::get_if<Subgraph>(&attribute.value)) for_each_graph(**subgraph, visit);
}

}  // namespace onnxport::onnx
