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
  Int64,
  Int32,
  Int16,
  Int8,
  UInt64,
  UInt32,
  UInt16,
  UInt8,
  Bool,
};

/// Bytes of one element.
std::size_t size_of(DataType type);

/// Lower-case name as torch and numpy write it: "float32", "bfloat16", "int64", "bool".
std::string_view to_string(DataType type);

/// Name in a safetensors header ("F32", "BF16", "BOOL"), and back; nullopt for a name that onnxport lacks.
std::string_view safetensors_name(DataType type);
std::optional<DataType> data_type_from_safetensors(std::string_view name);

/// onnx.TensorProto.DataType, and back; nullopt for a code that onnxport lacks.
int onnx_data_type(DataType type);
std::optional<DataType> data_type_from_onnx(int code);

bool is_floating_point(DataType type);

}  // namespace onnxport
