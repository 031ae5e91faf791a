#include "checkpoint/torch_file.h"

#include <cstring>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "compare.h"

namespace onnxport {
namespace {

using testing::as_bytes;
using testing::expect_equal;
using testing::expect_refused;
using testing::read_bytes;

std::filesystem::path directory() { return testing::format_fixtures() / "torch"; }

class TorchFile : public ::testing::TestWithParam<const char*> {};

/// Every file holds, to the bit, what torch.load finds in it.
TEST_P(TorchFile, IsReadAsTorchReadsIt) {
  const std::filesystem::path path = directory() / GetParam();
  const auto expected = read_safetensors(path.string() + ".safetensors");
  const auto tensors = read_torch_file(path);
  expect_equal(tensors, expected);
  for (const auto& [name, source] : tensors) {
    const std::string bytes = testing::bytes_of(source);
    const Array whole = materialize(source);
    EXPECT_TRUE(bytes.size() == whole.bytes().size() &&
                (bytes.empty() || std::memcmp(bytes.data(), whole.bytes().data(), bytes.size()) == 0))
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TorchFile,
                         ::testing::Values("dtypes.bin", "dtypes.legacy.bin", "views.bin", "views.legacy.bin",
                                           "odd.bin", "odd.legacy.bin", "protocol4.bin", "protocol5.legacy.bin",
                                           "empty.bin"));

TEST(TorchFile, TensorsStayInTheMappedFile) {
  const auto tensors = read_torch_file(directory() / "odd.bin");
  const TensorSource& base = tensors.at("base");
  ASSERT_NE(base.file, nullptr);
  EXPECT_EQ(base.bytes.data(), base.file->bytes().data() + base.file_offset);
  EXPECT_EQ(base.file_offset % 64, 0U) << "torch aligns storages of the zip format";
  // Tied tensors are one region of the file, by which the writer knows them.
  EXPECT_EQ(tensors.at("tied").bytes.data(), tensors.at("also_tied").bytes.data());
  EXPECT_EQ(tensors.at("tied").bytes.size(), tensors.at("same_storage").bytes.size());
  // A part of a storage in one piece, and those that are not.
  EXPECT_FALSE(tensors.at("sized").bytes.empty());
  EXPECT_TRUE(tensors.at("view").bytes.empty());
  EXPECT_TRUE(tensors.at("transposed").bytes.empty());
}

struct Refusal {
  const char* file;
  const char* message;
};
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.file; }

class RefusedTorchFile : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedTorchFile, IsRefusedByName) {
  const std::filesystem::path path = directory() / "refused" / GetParam().file;
  expect_refused([&] { read_torch_file(path); }, GetParam().message);
  expect_refused([&] { read_torch_file(path); }, path.string());
}

INSTANTIATE_TEST_SUITE_P(
    Files, RefusedTorchFile,
    ::testing::Values(Refusal{"complex.bin", "tensor \"c\" has the dtype complex64"},
                      Refusal{"quantized.bin", "tensor \"q\" is made by torch._utils._rebuild_qtensor"},
                      Refusal{"sparse.bin", "tensor \"s\" is made by torch._utils._rebuild_sparse_tensor"},
                      Refusal{"meta.bin", "tensor \"m\" is made by torch._utils._rebuild_meta_tensor_no_storage"},
                      Refusal{"float8_fnuz.bin", "tensor \"f\" has the dtype float8_e4m3fnuz"},
                      Refusal{"conjugated.bin", "tensor \"conjugated\" is a lazily conjugated"},
                      Refusal{"nested.bin", "its keys are \"state_dict\", \"epoch\""},
                      Refusal{"module.bin", "refers to \"torch.nn.modules.linear.Linear\""},
                      Refusal{"module.legacy.bin", "refers to \"torch.nn.modules.linear.Linear\""},
                      Refusal{"list.bin", "holds no dictionary of tensors"},
                      Refusal{"call.bin", "refers to \"__builtin__.eval\""},
                      Refusal{"call.legacy.bin", "refers to \"__builtin__.eval\""},
                      Refusal{"object.bin", "refers to \"pathlib.PurePosixPath\""},
                      Refusal{"expanded.bin", "is refused: its tensors would have more than 64 times"},
                      Refusal{"torchscript.bin", "that is compressed (method 8)"}));

void parse(const std::string& bytes) { parse_torch_file(as_bytes(bytes), nullptr, "changed.bin"); }

void replace(std::string& text, std::string_view from, std::string_view to) {
  ASSERT_EQ(from.size(), to.size());
  const std::size_t position = text.find(from);
  ASSERT_NE(position, std::string::npos);
  text.replace(position, from.size(), to);
}

TEST(TorchFileErrors, NotOfTorch) {
  expect_refused([] { parse(""); }, "is not a checkpoint of PyTorch");
  expect_refused([] { parse("nonsense"); }, "is not a checkpoint of PyTorch");
  expect_refused([] { parse("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"); }, "git lfs pull");
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  expect_refused([&] { parse(tar); }, "tar format of torch 0.1");
}

TEST(TorchFileErrors, ByteOrder) {
  std::string zip = read_bytes(directory() / "odd.bin");
  replace(zip, "little", "biggie");
  expect_refused([&] { parse(zip); }, "has the byte order \"biggie\"");
  std::string stream = read_bytes(directory() / "odd.legacy.bin");
  // {"little_endian": True}: the key, its place in the memo, and the value
  const std::size_t key = stream.find("little_endian");
  ASSERT_NE(key, std::string::npos);
  const std::size_t value = stream.find('\x88', key);
  ASSERT_LT(value, key + 20);
  stream[value] = '\x89';
  expect_refused([&] { parse(stream); }, "is big-endian");
}

/// Cut anywhere, or with any one byte changed, a file is refused, or still describes tensors within itself.
TEST(TorchFileErrors, DamagedFiles) {
  for (const char* name : {"odd.bin", "odd.legacy.bin"}) {
    const std::string whole = read_bytes(directory() / name);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(testing::error_of([&] { parse(whole.substr(0, length)); }).empty()) << name << " " << length;
    }
    std::size_t refused = 0;
    for (std::size_t position = 0; position < whole.size(); ++position) {
      std::string damaged = whole;
      damaged[position] = static_cast<char>(damaged[position] ^ 0x41);
      try {
        for (const auto& [key, source] : parse_torch_file(as_bytes(damaged), nullptr, "damaged.bin")) {
          if (source.byte_size() < 1000) testing::bytes_of(source);
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint) << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, whole.size() / 4) << name;
  }
}

}  // namespace
}  // namespace onnxport
