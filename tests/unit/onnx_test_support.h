#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/temporary_directory.h"
#include "onnx/model.h"
#include "onnxport/error.h"

namespace onnxport::onnx {

/// Gives each test an empty directory.
class TemporaryDirectoryTest : public ::testing::Test {
 protected:
  const TemporaryDirectory temporary_;
  const std::filesystem::path directory_ = temporary_.path();
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

inline std::span<const std::byte> as_byte_span(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Elements first, first + 1, ...
inline Array counting(std::vector<std::int64_t> shape, float first = 0) {
  Array array(DataType::Float32, std::move(shape));
  float* values = array.mutable_data<float>();
  std::iota(values, values + array.element_count(), first);
  return array;
}

/// The elements of a source as bytes.
inline std::string content(const TensorSource& source) {
  const Array array = materialize(source);
  return {reinterpret_cast<const char*>(array.bytes().data()), array.bytes().size()};
}

/// The message of the Error of this kind that `function` throws.
template <typename Function>
std::string message_of(ErrorKind kind, Function function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// y = x + weight, with as much of a model's other parts as makes sense.
inline Model small_model(TensorSource weight) {
  Model model;
  model.ir_version = 8;
  model.producer_name = "onnxport";
  model.producer_version = "1.2";
  model.opset_imports = {{"", 17}, {"com.microsoft", 1}};
  model.graph.inputs = {{"x", DataType::Float32, {std::string("batch_size"), std::int64_t{4}}}};
  model.graph.outputs = {{"y", DataType::Float32, {std::string("batch_size"), std::int64_t{4}}}};
  model.graph.initializers = {{"weight", std::move(weight)}};
  model.graph.nodes = {
      {.op_type = "Add", .domain = "", .name = "add", .inputs = {"x", "weight"}, .outputs = {"y"}, .attributes = {}}};
  return model;
}

}  // namespace onnxport::onnx
