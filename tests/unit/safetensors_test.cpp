#include "checkpoint/safetensors.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <tuple>

#include <gtest/gtest.h>
#include <unistd.h>

#include "checkpoint/checkpoint.h"
#include "core/temporary_directory.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// A file with this header, whatever it is, and `data_size` bytes of data: 0, 1, 2, ...
std::string file_with(std::string_view header, std::size_t data_size) {
  const std::uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  file += header;
  for (std::size_t index = 0; index < data_size; ++index) file += static_cast<char>(index);
  return file;
}

std::string file_with_length(std::uint64_t length, std::string_view rest) {
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file + std::string(rest);
}

SafetensorsHeader parse(std::string_view file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), "weights.safetensors");
}

void expect_error(std::string_view file, std::string_view part) {
  try {
    parse(file);
    ADD_FAILURE() << "accepted, expected: " << part;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nexpected: " << part;
    EXPECT_TRUE(message.starts_with("weights.safetensors")) << message;
  }
}

void expect_header_error(std::string_view header, std::size_t data_size, std::string_view part) {
  expect_error(file_with(header, data_size), part);
}

constexpr std::string_view kTwoTensors =
    R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"I16","shape":[1,2],"data_offsets":[8,12]}})";

// ---- Headers ------------------------------------------------------------------------------------------------------

TEST(SafetensorsHeaderTest, Valid) {
  const SafetensorsHeader header = parse(file_with(kTwoTensors, 12));
  ASSERT_EQ(header.entries.size(), 2U);
  EXPECT_EQ(header.entries[0].name, "b");
  EXPECT_EQ(header.entries[0].data_type, DataType::Float32);
  EXPECT_EQ(header.entries[0].shape, std::vector<std::int64_t>{2});
  EXPECT_EQ(header.entries[0].offset, 8 + kTwoTensors.size());
  EXPECT_EQ(header.entries[0].size, 8U);
  EXPECT_EQ(header.entries[1].name, "a");
  EXPECT_EQ(header.entries[1].offset, 8 + kTwoTensors.size() + 8);
}

TEST(SafetensorsHeaderTest, WithoutTensors) {
  EXPECT_TRUE(parse(file_with("{}", 0)).entries.empty());
  EXPECT_TRUE(parse(file_with("{}      ", 0)).entries.empty());
}

TEST(SafetensorsHeaderTest, ScalarsAndEmptyTensors) {
  const SafetensorsHeader header = parse(file_with(
      R"({"scalar":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"x":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},)"
      R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[8,8]}})",
      9));
  ASSERT_EQ(header.entries.size(), 3U);
  EXPECT_EQ(header.entries[0].shape.size(), 0U);
  EXPECT_EQ(header.entries[1].name, "empty");
  EXPECT_EQ(header.entries[1].size, 0U);
}

TEST(SafetensorsHeaderTest, EveryDataType) {
  for (const auto& [name, type, size] :
       {std::tuple{"F64", DataType::Float64, 8}, std::tuple{"F32", DataType::Float32, 4},
        std::tuple{"F16", DataType::Float16, 2}, std::tuple{"BF16", DataType::BFloat16, 2},
        std::tuple{"F8_E4M3", DataType::Float8E4M3FN, 1}, std::tuple{"F8_E5M2", DataType::Float8E5M2, 1},
        std::tuple{"I64", DataType::Int64, 8}, std::tuple{"I32", DataType::Int32, 4},
        std::tuple{"I16", DataType::Int16, 2}, std::tuple{"I8", DataType::Int8, 1},
        std::tuple{"U64", DataType::UInt64, 8}, std::tuple{"U32", DataType::UInt32, 4},
        std::tuple{"U16", DataType::UInt16, 2}, std::tuple{"U8", DataType::UInt8, 1},
        std::tuple{"BOOL", DataType::Bool, 1}}) {
    const std::string bytes = std::to_string(size * 3);
    const std::string header =
        std::string(R"({"x":{"dtype":")") + name + R"(","shape":[3],"data_offsets":[0,)" + bytes + "]}}";
    EXPECT_EQ(parse(file_with(header, static_cast<std::size_t>(size) * 3)).entries[0].data_type, type);
  }
}

TEST(SafetensorsHeaderTest, Metadata) {
  const SafetensorsHeader header = parse(file_with(R"({"__metadata__":{"format":"pt","k":"v"}})", 0));
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"k", "v"}}));
  EXPECT_TRUE(parse(file_with(R"({"__metadata__":null})", 0)).metadata.empty());
  expect_header_error(R"({"__metadata__":"x"})", 0, "__metadata__ is not an object");
  expect_header_error(R"({"__metadata__":{"k":1}})", 0, "__metadata__ has a value that is not a string: \"k\"");
}

TEST(SafetensorsHeaderTest, TooShort) {
  expect_error("", "fewer than 8 bytes");
  expect_error("1234567", "fewer than 8 bytes");
  expect_error(std::string(8, '\0'), "does not begin with '{'");
}

TEST(SafetensorsHeaderTest, LengthOutOfRange) {
  expect_error(file_with_length(3, "{}"), "truncated");
  expect_error(file_with_length(100'000'000, "{}"), "truncated");
  expect_error(file_with_length(100'000'001, "{}"), "100 MB are allowed");
  expect_error(file_with_length(~std::uint64_t{0}, "{}"), "100 MB are allowed");
  expect_error(file_with_length(std::uint64_t{1} << 63, "{}"), "100 MB are allowed");
  // The pointer file that git leaves where Git LFS is not installed.
  expect_error("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "not a safetensors file");
}

TEST(SafetensorsHeaderTest, NotJson) {
  expect_header_error("[]", 0, "does not begin with '{'");
  expect_header_error(" {}", 0, "does not begin with '{'");
  expect_header_error("{", 0, "invalid JSON");
  expect_header_error("{}x", 0, "invalid JSON");
  expect_header_error("{\"\xff\":1}", 0, "invalid JSON");
  expect_header_error(R"({"a":)" + std::string(1'000'000, '['), 0, "nested deeper");
}

TEST(SafetensorsHeaderTest, DuplicateNames) {
  expect_header_error(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2,
      "two members \"a\"");
}

TEST(SafetensorsHeaderTest, MalformedEntries) {
  expect_header_error(R"({"a":1})", 0, "tensor \"a\" is not described by an object");
  expect_header_error(R"({"a":{}})", 0, "tensor \"a\" has no dtype");
  expect_header_error(R"({"a":{"dtype":5,"shape":[],"data_offsets":[0,1]}})", 1, "has no dtype");
  expect_header_error(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "has no shape");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1]}})", 1, "has no data_offsets");
  expect_header_error(R"({"a":{"dtype":"U8","shape":3,"data_offsets":[0,1]}})", 1, "shape that is not an array");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "a shape with -1 in it");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "a shape with 1.0 in it");
  expect_header_error(R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1, "a shape with \"1\" in it");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}})", 1, "a shape with NaN in it");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "invalid data_offsets");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "invalid data_offsets");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "invalid data_offsets: (1, 0)");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1, "data_offsets with -1 in it");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}})", 1,
                      "does not fit into 64 bits");
}

TEST(SafetensorsHeaderTest, UnknownDataType) {
  expect_header_error(R"({"layer.weight":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1,
                      "tensor \"layer.weight\" has the dtype \"F4\", which onnxport does not know");
}

TEST(SafetensorsHeaderTest, ByteCountContradictsShape) {
  expect_header_error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
                      "tensor \"a\" of shape (2,) and dtype F32 needs 8 bytes, but its data_offsets give it 4");
  expect_header_error(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}})", 0, "needs 4 bytes");
  expect_header_error(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}})", 4, "needs 0 bytes");
}

TEST(SafetensorsHeaderTest, ShapeOverflow) {
  expect_header_error(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                      "more than can be addressed");
  expect_header_error(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0,
                      "more than can be addressed");
  expect_header_error(R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                      "more than can be addressed");
}

TEST(SafetensorsHeaderTest, OverlapsGapsAndRests) {
  constexpr std::string_view kOverlap =
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})";
  expect_header_error(kOverlap, 3, "tensor \"b\" begins at byte 1 of the data, but the tensor before it ends at 2");
  constexpr std::string_view kSame =
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  expect_header_error(kSame, 2, "tensor \"b\" begins at byte 0");
  constexpr std::string_view kGap =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
  expect_header_error(kGap, 3, "tensor \"b\" begins at byte 2 of the data, but the tensor before it ends at 1");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "begins at byte 1");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 3, "has 2 bytes behind its last");
  expect_header_error("{}", 1, "has 1 bytes behind its last tensor");
}

TEST(SafetensorsHeaderTest, DataOutsideOfTheFile) {
  expect_header_error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3,
                      "tensor \"a\" ends at byte 4 of the data, but the file has only 3");
  expect_header_error(R"({"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}})", 3,
                      "the file has only 3");
}

TEST(SafetensorsHeaderTest, EveryTruncationIsAnError) {
  const std::string file = file_with(kTwoTensors, 12);
  for (std::size_t length = 0; length < file.size(); ++length) {
    EXPECT_THROW(parse(std::string_view(file).substr(0, length)), Error) << length;
  }
}

// ---- Files --------------------------------------------------------------------------------------------------------

std::map<std::string, TensorSource, std::less<>> example_tensors() {
  const std::vector<float> values{1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
  const std::vector<std::int64_t> integers{7};
  const std::vector<std::uint8_t> booleans{1, 0, 1};
  return {{"weight", from_array(Array::float32({2, 3}, values))},
          {"half", cast(from_array(Array::float32({6}, values)), DataType::Float16)},
          {"bias", from_array(Array::float32({6}, values))},
          {"mask", from_array(Array::of<std::uint8_t>(DataType::Bool, {3}, booleans))},
          {"count", from_array(Array::int64({}, integers))},
          {"empty", from_array(Array(DataType::Float32, {0, 2}))}};
}

TEST(SafetensorsFileTest, WhatIsWrittenIsRead) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "model.safetensors";
  const auto written = example_tensors();
  write_safetensors(path, written, {{"format", "pt"}});

  std::map<std::string, std::string> metadata;
  const auto tensors = read_safetensors(path, &metadata);
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  ASSERT_EQ(tensors.size(), written.size());
  for (const auto& [name, source] : written) {
    const TensorSource& read = tensors.at(name);
    EXPECT_EQ(read.data_type, source.data_type);
    EXPECT_EQ(read.shape, source.shape);
    const Array expected = materialize(source);
    ASSERT_EQ(read.bytes.size(), expected.bytes().size()) << name;
    EXPECT_TRUE(std::equal(read.bytes.begin(), read.bytes.end(), expected.bytes().begin())) << name;
    EXPECT_EQ(read.file->bytes().data() + read.file_offset, read.bytes.data()) << name;
    EXPECT_EQ(read.file_offset % size_of(read.data_type), 0U) << name;
  }
}

TEST(SafetensorsFileTest, LayoutIsThatOfTheSafetensorsLibrary) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "model.safetensors";
  write_safetensors(path, example_tensors(), {{"format", "pt"}});
  const std::string text = read_text_file(path);
  const std::string expected =
      R"({"__metadata__":{"format":"pt"},"count":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("bias":{"dtype":"F32","shape":[6],"data_offsets":[8,32]},)"
      R"("empty":{"dtype":"F32","shape":[0,2],"data_offsets":[32,32]},)"
      R"("weight":{"dtype":"F32","shape":[2,3],"data_offsets":[32,56]},)"
      R"("half":{"dtype":"F16","shape":[6],"data_offsets":[56,68]},)"
      R"("mask":{"dtype":"BOOL","shape":[3],"data_offsets":[68,71]}})";
  EXPECT_EQ(text.substr(8, expected.size()), expected);
  EXPECT_EQ((text.size() - 71) % 8, 0U);  // where the data begins
}

TEST(SafetensorsFileTest, ComputedTensorsLargerThanABlock) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "model.safetensors";
  std::vector<std::int64_t> values(5'000'000);
  std::iota(values.begin(), values.end(), 0);
  const TensorSource source = cast(from_array(Array::int64({5'000'000}, values)), DataType::Int32);
  write_safetensors(path, {{"x", source}});
  const auto tensors = read_safetensors(path);
  const Array read = materialize(tensors.at("x"));
  const auto elements = read.values<std::int32_t>();
  for (std::size_t index = 0; index < elements.size(); ++index) {
    ASSERT_EQ(elements[index], static_cast<std::int32_t>(index));
  }
}

TEST(SafetensorsFileTest, NamesAndMetadataAreEscaped) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "model.safetensors";
  const std::string name = "a\"b\\c\nd\xc3\xa9";
  write_safetensors(path, {{name, from_array(Array(DataType::UInt8, {0}))}}, {{"\"", "\t"}});
  std::map<std::string, std::string> metadata;
  EXPECT_TRUE(read_safetensors(path, &metadata).contains(name));
  EXPECT_EQ(metadata.at("\""), "\t");
}

TEST(SafetensorsFileTest, AnErrorLeavesNoFileBehind) {
  const TemporaryDirectory directory;
  const TensorSource broken = computed({2}, []() -> Array { throw Error(ErrorKind::MissingTensor, "x"); });
  EXPECT_THROW(write_safetensors(directory.path() / "model.safetensors", {{"x", broken}}), Error);
  EXPECT_TRUE(fs::is_empty(directory.path() / ""));
}

TEST(SafetensorsFileTest, OutputThatCannotBeWritten) {
  const TemporaryDirectory directory;
  try {
    write_safetensors(directory.path() / "missing/model.safetensors", {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutputFailed);
    EXPECT_NE(std::string(error.what()).find("No such file or directory"), std::string::npos) << error.what();
  }
}

TEST(SafetensorsFileTest, FilesThatCannotBeRead) {
  const TemporaryDirectory directory;
  EXPECT_THROW(read_safetensors(directory.path() / "missing.safetensors"), Error);
  EXPECT_THROW(read_safetensors(directory.path() / ""), Error);
  std::ofstream(directory.path() / "empty.safetensors").close();
  EXPECT_THROW(read_safetensors(directory.path() / "empty.safetensors"), Error);
}

TEST(SafetensorsFileTest, TensorsOutliveTheirFilesName) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "model.safetensors";
  write_safetensors(path, example_tensors());
  const auto tensors = read_safetensors(path);
  fs::remove(path);
  EXPECT_EQ(materialize(tensors.at("bias")).data<float>()[5], 6.0F);
}

}  // namespace
}  // namespace onnxport
