#include "checkpoint/hdf5.h"

#include <cstring>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensorflow_file.h"
#include "compare.h"

namespace onnxport {
namespace {

using testing::as_bytes;
using testing::expect_refused;
using testing::read_bytes;

std::filesystem::path directory() { return testing::format_fixtures() / "hdf5"; }

class Hdf5 : public ::testing::TestWithParam<const char*> {};

TEST_P(Hdf5, DatasetsAreWhatH5pyWrote) {
  const std::string bytes = read_bytes(directory() / GetParam());
  Hdf5File file(as_bytes(bytes), GetParam());
  for (const auto& [path, source] : read_safetensors((directory() / GetParam()).string() + ".safetensors")) {
    const Hdf5Dataset dataset = file.dataset(path);
    EXPECT_EQ(to_string(dataset.data_type), to_string(source.data_type)) << path;
    EXPECT_EQ(dataset.shape, source.shape) << path;
    EXPECT_EQ(bytes.substr(dataset.offset, dataset.size), testing::bytes_of(source)) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Hdf5, ::testing::Values("earliest.h5", "v108.h5", "compact.h5"));

TEST(Hdf5Attributes, Strings) {
  for (const char* name : {"earliest.h5", "v108.h5"}) {
    const std::string bytes = read_bytes(directory() / name);
    Hdf5File file(as_bytes(bytes), name);
    using Strings = std::vector<std::string>;
    EXPECT_EQ(file.strings("", "fixed"), (Strings{"a", "bcd", "größe"}));
    EXPECT_EQ(file.strings("", "variable"), (Strings{"a", "bcd", "größe", ""}));
    EXPECT_EQ(file.strings("/", "none"), Strings{});
    EXPECT_EQ(file.strings("", "one"), Strings{"single"});
    EXPECT_EQ(file.strings("", "parts"), (Strings{"x", "y", "z"}));
    expect_refused([&] { file.strings("", "numbers"); }, "has names that are not strings");
    expect_refused([&] { file.strings("", "absent"); }, "has no attribute \"absent\"");
    expect_refused([&] { file.strings("types", "fixed"); }, "has no attribute \"fixed\" of \"types\"");
    expect_refused([&] { file.dataset("types/absent"); }, "lacks \"types/absent\"");
    expect_refused([&] { file.dataset("types/i/int8/further"); }, name);
  }
}

struct Refusal {
  const char* file;
  const char* message;
};
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.file; }

class RefusedHdf5 : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedHdf5, IsRefusedByName) {
  const std::string bytes = read_bytes(directory() / "refused" / GetParam().file);
  expect_refused([&] { Hdf5File(as_bytes(bytes), "file.h5").dataset("x"); }, GetParam().message);
  expect_refused([&] { Hdf5File(as_bytes(bytes), "file.h5").dataset("x"); }, "file.h5: ");
}

INSTANTIATE_TEST_SUITE_P(Files, RefusedHdf5,
                         ::testing::Values(Refusal{"chunks.h5", "\"x\" lies in chunks"},
                                           Refusal{"gzip.h5", "\"x\" is compressed or filtered"},
                                           Refusal{"big_endian.h5", "\"x\" has big-endian numbers"},
                                           Refusal{"text.h5", "\"x\" has elements that are not numbers"},
                                           Refusal{"boolean.h5", "\"x\" has elements that are not numbers"},
                                           Refusal{"unwritten.h5", "no elements were ever written"},
                                           Refusal{"soft_link.h5", "\"x\" is reached by a soft link"},
                                           Refusal{"soft_link_v108.h5", "\"x\" is reached by a soft link"},
                                           Refusal{"external_link.h5", "\"x\" is reached by a link into another file"},
                                           Refusal{"external_storage.h5", "\"x\" lies in another file"},
                                           Refusal{"virtual.h5", "\"x\" is a virtual dataset"},
                                           Refusal{"committed_type.h5", "\"x\" is of a committed type"},
                                           Refusal{"group.h5", "\"x\" is not an array"},
                                           Refusal{"indexed.h5", "links are indexed (libver=\"latest\")"},
                                           Refusal{"user_block.h5", "is not an HDF5 file"}));

TEST(Hdf5Errors, NotHdf5) {
  const auto open = [](const std::string& bytes) { Hdf5File(as_bytes(bytes), "file.h5"); };
  expect_refused([&] { open(""); }, "is not an HDF5 file");
  expect_refused([&] { open("nonsense"); }, "is not an HDF5 file");
  expect_refused([&] { open("version https://git-lfs.github.com/spec/v1\n"); }, "git lfs pull");
}

/// Everything that a file of Keras is asked for.
void walk(const std::string& bytes) {
  Hdf5File file(as_bytes(bytes), "damaged.h5");
  for (const std::string& layer : file.strings("", "layer_names")) {
    for (const std::string& variable : file.strings(layer, "weight_names")) {
      const Hdf5Dataset dataset = file.dataset(layer + "/" + variable);
      EXPECT_LE(dataset.offset + dataset.size, bytes.size());
    }
  }
}

TEST(Hdf5Errors, TruncatedFiles) {
  const std::string whole = read_bytes(testing::format_fixtures() / "tensorflow/gpt2-base/tf_model.h5");
  walk(whole);
  for (std::size_t length = 0; length < whole.size(); length += length < 4096 ? 1 : 97) {
    EXPECT_FALSE(testing::error_of([&] { walk(whole.substr(0, length)); }).empty()) << length;
  }
}

/// With any one byte changed, a file is refused, or still describes arrays within itself.
TEST(Hdf5Errors, DamagedFiles) {
  const std::string whole = read_bytes(testing::format_fixtures() / "tensorflow/gpt2-base/tf_model.h5");
  std::size_t refused = 0;
  for (std::size_t position = 0; position < whole.size(); position += position < 4096 ? 1 : 7) {
    std::string damaged = whole;
    damaged[position] = static_cast<char>(damaged[position] ^ 0x55);
    try {
      walk(damaged);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 100U);
}

/// A tree whose node is its own child, and groups that contain themselves: neither is followed for ever.
TEST(Hdf5Errors, Circles) {
  std::string bytes = read_bytes(directory() / "earliest.h5");
  std::size_t circles = 0;
  for (std::size_t tree = bytes.find("TREE"); tree != std::string::npos; tree = bytes.find("TREE", tree + 1)) {
    std::string changed = bytes;
    changed[tree + 5] = 1;  // the level: children are nodes then
    const std::uint64_t address = tree;
    std::memcpy(changed.data() + tree + 32, &address, sizeof(address));
    for (const char* path : {"types/i/int8", "shapes/scalar", "many/member_._7:0"}) {
      try {
        Hdf5File(as_bytes(changed), "circle.h5").dataset(path);
      } catch (const Error& error) {
        if (std::string(error.what()).find("tree is not one") != std::string::npos) ++circles;
      }
    }
  }
  EXPECT_GT(circles, 2U);
}

}  // namespace
}  // namespace onnxport
