#pragma once

#include <cstdint>

/// Field numbers of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), named as there: an enum for
/// each message, an enumerator for each field that onnxport reads or writes.
namespace onnxport::onnx {

enum class ModelProto : std::uint32_t {
  ir_version = 1,
  producer_name = 2,
  producer_version = 3,
  doc_string = 6,
  graph = 7,
  opset_import = 8,
  metadata_props = 14,
  functions = 25,
};

enum class OperatorSetIdProto : std::uint32_t {
  domain = 1,
  version = 2,
};

enum class StringStringEntryProto : std::uint32_t {
  key = 1,
  value = 2,
};

enum class GraphProto : std::uint32_t {
  node = 1,
  name = 2,
  initializer = 5,
  doc_string = 10,
  input = 11,
  output = 12,
  value_info = 13,
  sparse_initializer = 15,
};

enum class NodeProto : std::uint32_t {
  input = 1,
  output = 2,
  name = 3,
  op_type = 4,
  attribute = 5,
  domain = 7,
};

enum class AttributeProto : std::uint32_t {
  name = 1,
  f = 2,
  i = 3,
  s = 4,
  t = 5,
  g = 6,
  floats = 7,
  ints = 8,
  graphs = 11,
  type = 20,
};

/// AttributeProto.AttributeType, as far as Attribute represents it.
enum class AttributeType : std::int32_t {
  Float = 1,
  Int = 2,
  String = 3,
  Tensor = 4,
  Graph = 5,
  Floats = 6,
  Ints = 7,
};

enum class TensorProto : std::uint32_t {
  dims = 1,
  data_type = 2,
  float_data = 4,
  int32_data = 5,
  int64_data = 7,
  name = 8,
  raw_data = 9,
  double_data = 10,
  uint64_data = 11,
  external_data = 13,
  data_location = 14,
};

/// TensorProto.DataLocation
enum class DataLocation : std::int32_t {
  Default = 0,
  External = 1,
};

enum class ValueInfoProto : std::uint32_t {
  name = 1,
  type = 2,
};

enum class TypeProto : std::uint32_t {
  tensor_type = 1,
};

/// TypeProto.Tensor
enum class TensorTypeProto : std::uint32_t {
  elem_type = 1,
  shape = 2,
};

enum class TensorShapeProto : std::uint32_t {
  dim = 1,
};

/// TensorShapeProto.Dimension
enum class DimensionProto : std::uint32_t {
  dim_value = 1,
  dim_param = 2,
};

}  // namespace onnxport::onnx
