#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace onnxport {

/// Element types of checkpoints and ONNX models.
enum class DataType : std::uint8_t {
  Float64,
  Float32,
  Float16,
  BFloat16,
  Float8E4M3FN,
  Float8E5M2,
  Float4E2M1,
  Int64,
  Int32,
  Int16,
  Int8,
  UInt64,
  UInt32,
  UInt16,
  UInt8,
  Int4,
  UInt4,
  Bool,
};

/// Bytes of one element. Types of 4 bits are packed, the first element of a pair in the low bits: for them it is the
/// one byte of a pair, and wherever elements are counted to address bytes, pairs are.
std::size_t size_of(DataType type);
/// 2 for types of 4 bits, 1 for all others.
int elements_per_unit(DataType type);
/// Bytes of a tensor of so many elements. Throws Error(InvalidArgument) if they do not fit into 63 bits.
std::uint64_t byte_size(DataType type, std::int64_t element_count);

/// Lower-case name as torch and numpy write it: "float32", "bfloat16", "int64", "bool".
std::string_view to_string(DataType type);

/// Name in a safetensors header ("F32", "BF16", "BOOL"; "" for types of 4 bits, which are no weights of checkpoints),
/// and back; nullopt for a name that onnxport lacks.
std::string_view safetensors_name(DataType type);
std::optional<DataType> data_type_from_safetensors(std::string_view name);

/// onnx.TensorProto.DataType, and back; nullopt for a code that onnxport lacks.
int onnx_data_type(DataType type);
std::optional<DataType> data_type_from_onnx(int code);

bool is_floating_point(DataType type);

}  // namespace onnxport
