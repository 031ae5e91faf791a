#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
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

/// The last alternative stands for the other kinds (subgraphs, strings, sparse tensors): the whole AttributeProto.
using AttributeValue =
    std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>, Array, Opaque>;

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

struct Model {
  int ir_version = 8;
  std::string producer_name;
  std::string producer_version;
  std::string doc_string;
  std::map<std::string, int> opset_imports;  ///< domain ("" for ai.onnx) to version
  std::map<std::string, std::string> metadata;

  std::string graph_name = "main_graph";
  std::string graph_doc_string;
  std::vector<ValueInfo> inputs;
  std::vector<ValueInfo> outputs;
  std::vector<ValueInfo> value_infos;
  std::vector<Initializer> initializers;
  std::vector<Node> nodes;

  std::vector<Opaque> functions;  ///< FunctionProtos; onnxport writes none of its own
};

}  // namespace onnxport::onnx
