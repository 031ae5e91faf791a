#include "onnxport/data_type.h"

#include <array>
#include <string>

#include "onnxport/error.h"

namespace onnxport {
namespace {

struct DataTypeInfo {
  DataType type;
  std::uint8_t size;
  std::uint8_t onnx_code;
  std::string_view name;
  std::string_view safetensors;
  int elements_per_unit = 1;
};

/// One row for each type, in the order of the enumeration.
constexpr std::array kDataTypes{
    DataTypeInfo{DataType::Float64, 8, 11, "float64", "F64"},
    DataTypeInfo{DataType::Float32, 4, 1, "float32", "F32"},
    DataTypeInfo{DataType::Float16, 2, 10, "float16", "F16"},
    DataTypeInfo{DataType::BFloat16, 2, 16, "bfloat16", "BF16"},
    DataTypeInfo{DataType::Float8E4M3FN, 1, 17, "float8_e4m3fn", "F8_E4M3"},
    DataTypeInfo{DataType::Float8E5M2, 1, 19, "float8_e5m2", "F8_E5M2"},
    DataTypeInfo{DataType::Float4E2M1, 1, 23, "float4_e2m1", "", 2},
    DataTypeInfo{DataType::Int64, 8, 7, "int64", "I64"},
    DataTypeInfo{DataType::Int32, 4, 6, "int32", "I32"},
    DataTypeInfo{DataType::Int16, 2, 5, "int16", "I16"},
    DataTypeInfo{DataType::Int8, 1, 3, "int8", "I8"},
    DataTypeInfo{DataType::UInt64, 8, 13, "uint64", "U64"},
    DataTypeInfo{DataType::UInt32, 4, 12, "uint32", "U32"},
    DataTypeInfo{DataType::UInt16, 2, 4, "uint16", "U16"},
    DataTypeInfo{DataType::UInt8, 1, 2, "uint8", "U8"},
    DataTypeInfo{DataType::Int4, 1, 22, "int4", "", 2},
    DataTypeInfo{DataType::UInt4, 1, 21, "uint4", "", 2},
    DataTypeInfo{DataType::Bool, 1, 9, "bool", "BOOL"},
};

constexpr bool rows_follow_the_enumeration() {
  for (std::size_t index = 0; index < kDataTypes.size(); ++index) {
    if (static_cast<std::size_t>(kDataTypes[index].type) != index) return false;
  }
  return kDataTypes.back().type == DataType::Bool;
}
static_assert(rows_follow_the_enumeration());

const DataTypeInfo& info(DataType type) { return kDataTypes[static_cast<std::size_t>(type)]; }

}  // namespace

std::size_t size_of(DataType type) { return info(type).size; }

int elements_per_unit(DataType type) { return info(type).elements_per_unit; }

std::uint64_t byte_size(DataType type, std::int64_t element_count) {
  const int packed = elements_per_unit(type);
  std::int64_t size = 0;
  const std::int64_t units = element_count / packed + (element_count % packed != 0 ? 1 : 0);
  if (element_count < 0 || __builtin_mul_overflow(units, static_cast<std::int64_t>(size_of(type)), &size)) {
    throw Error(ErrorKind::InvalidArgument,
                "A tensor of " + std::to_string(element_count) + " elements has too many bytes");
  }
  return static_cast<std::uint64_t>(size);
}

std::string_view to_string(DataType type) { return info(type).name; }

std::string_view safetensors_name(DataType type) { return info(type).safetensors; }

std::optional<DataType> data_type_from_safetensors(std::string_view name) {
  for (const DataTypeInfo& row : kDataTypes) {
    if (!name.empty() && row.safetensors == name) return row.type;
  }
  return std::nullopt;
}

int onnx_data_type(DataType type) { return info(type).onnx_code; }

std::optional<DataType> data_type_from_onnx(int code) {
  for (const DataTypeInfo& row : kDataTypes) {
    if (row.onnx_code == code) return row.type;
  }
  return std::nullopt;
}

bool is_floating_point(DataType type) { return type <= DataType::Float4E2M1; }

}  // namespace onnxport
