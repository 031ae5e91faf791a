#include "onnxport/data_type.h"

#include <array>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "onnxport/array.h"

namespace onnxport {
namespace {

constexpr std::array kAllTypes{DataType::Float64,      DataType::Float32,    DataType::Float16, DataType::BFloat16,
                               DataType::Float8E4M3FN, DataType::Float8E5M2, DataType::Int64,   DataType::Int32,
                               DataType::Int16,        DataType::Int8,       DataType::UInt64,  DataType::UInt32,
                               DataType::UInt16,       DataType::UInt8,      DataType::Bool};

TEST(DataTypeTest, NamesAndCodesLeadBackToTheType) {
  for (const DataType type : kAllTypes) {
    EXPECT_EQ(data_type_from_safetensors(safetensors_name(type)), type);
    EXPECT_EQ(data_type_from_onnx(onnx_data_type(type)), type);
  }
}

TEST(DataTypeTest, NamesAndCodesAreDistinct) {
  std::set<std::string_view> names;
  std::set<std::string_view> safetensors_names;
  std::set<int> codes;
  for (const DataType type : kAllTypes) {
    names.insert(to_string(type));
    safetensors_names.insert(safetensors_name(type));
    codes.insert(onnx_data_type(type));
  }
  EXPECT_EQ(names.size(), kAllTypes.size());
  EXPECT_EQ(safetensors_names.size(), kAllTypes.size());
  EXPECT_EQ(codes.size(), kAllTypes.size());
}

TEST(DataTypeTest, NamesAreThoseOfTorch) {
  EXPECT_EQ(to_string(DataType::Float32), "float32");
  EXPECT_EQ(to_string(DataType::BFloat16), "bfloat16");
  EXPECT_EQ(to_string(DataType::Float8E4M3FN), "float8_e4m3fn");
  EXPECT_EQ(to_string(DataType::Bool), "bool");
}

TEST(DataTypeTest, CodesAreThoseOfOnnx) {
  EXPECT_EQ(onnx_data_type(DataType::Float32), 1);
  EXPECT_EQ(onnx_data_type(DataType::UInt8), 2);
  EXPECT_EQ(onnx_data_type(DataType::Int8), 3);
  EXPECT_EQ(onnx_data_type(DataType::UInt16), 4);
  EXPECT_EQ(onnx_data_type(DataType::Int16), 5);
  EXPECT_EQ(onnx_data_type(DataType::Int32), 6);
  EXPECT_EQ(onnx_data_type(DataType::Int64), 7);
  EXPECT_EQ(onnx_data_type(DataType::Bool), 9);
  EXPECT_EQ(onnx_data_type(DataType::Float16), 10);
  EXPECT_EQ(onnx_data_type(DataType::Float64), 11);
  EXPECT_EQ(onnx_data_type(DataType::UInt32), 12);
  EXPECT_EQ(onnx_data_type(DataType::UInt64), 13);
  EXPECT_EQ(onnx_data_type(DataType::BFloat16), 16);
  EXPECT_EQ(onnx_data_type(DataType::Float8E4M3FN), 17);
  EXPECT_EQ(onnx_data_type(DataType::Float8E5M2), 19);
}

TEST(DataTypeTest, SafetensorsNames) {
  EXPECT_EQ(safetensors_name(DataType::Float8E4M3FN), "F8_E4M3");
  EXPECT_EQ(safetensors_name(DataType::Float8E5M2), "F8_E5M2");
  EXPECT_EQ(safetensors_name(DataType::BFloat16), "BF16");
  EXPECT_EQ(safetensors_name(DataType::Bool), "BOOL");
}

TEST(DataTypeTest, UnknownNamesAndCodes) {
  EXPECT_EQ(data_type_from_safetensors("F4"), std::nullopt);
  EXPECT_EQ(data_type_from_safetensors("f32"), std::nullopt);
  EXPECT_EQ(data_type_from_safetensors(""), std::nullopt);
  EXPECT_EQ(data_type_from_onnx(0), std::nullopt);
  EXPECT_EQ(data_type_from_onnx(8), std::nullopt);  // strings
  EXPECT_EQ(data_type_from_onnx(-1), std::nullopt);
}

TEST(DataTypeTest, Sizes) {
  EXPECT_EQ(size_of(DataType::Float64), 8U);
  EXPECT_EQ(size_of(DataType::Float32), 4U);
  EXPECT_EQ(size_of(DataType::BFloat16), 2U);
  EXPECT_EQ(size_of(DataType::Float8E5M2), 1U);
  EXPECT_EQ(size_of(DataType::UInt64), 8U);
  EXPECT_EQ(size_of(DataType::Int16), 2U);
  EXPECT_EQ(size_of(DataType::Bool), 1U);
}

TEST(DataTypeTest, FloatingPointTypes) {
  for (const DataType type : kAllTypes) {
    EXPECT_EQ(is_floating_point(type), to_string(type).find("float") != std::string_view::npos) << to_string(type);
  }
}

TEST(DataTypeTest, TypesOfFourBitsArePackedInPairs) {
  for (const DataType type : {DataType::Int4, DataType::UInt4, DataType::Float4E2M1}) {
    EXPECT_EQ(elements_per_unit(type), 2);
    EXPECT_EQ(byte_size(type, 5), 3U);
    EXPECT_EQ(data_type_from_onnx(onnx_data_type(type)), type);
    EXPECT_EQ(safetensors_name(type), "");
    EXPECT_EQ(Array(type, {3, 3}).bytes().size(), 5U);
  }
  EXPECT_EQ(byte_size(DataType::Float32, 5), 20U);
}

}  // namespace
}  // namespace onnxport
