#include <csignal>
#include <cstring>
#include <map>
#include <optional>

#include <sys/resource.h>
#include <sys/stat.h>

#include "checkpoint/checkpoint.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnx_test_support.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

class OnnxWriterTest : public TemporaryDirectoryTest {
 protected:
  using Tensors = std::map<std::string, TensorSource, std::less<>>;

  /// A checkpoint with these tensors; all of them lie in the returned sources' file.
  Tensors checkpoint(const fs::path& path, const Tensors& tensors) {
    fs::create_directories(path.parent_path());
    write_safetensors(path, tensors);
    return read_safetensors(path);
  }

  Tensors default_checkpoint() {
    return checkpoint(directory_ / "checkpoint/model.safetensors", {{"large", from_array(counting({600, 500}))},
                                                                    {"medium", from_array(counting({32, 16}, 7))},
                                                                    {"small", from_array(counting({4}, 3))}});
  }

  static Model model_with(const Tensors& tensors) {
    Model model = small_model(tensors.begin()->second);
    model.graph.initializers.clear();
    for (const auto& [name, source] : tensors) model.graph.initializers.push_back({name, source});
    return model;
  }

  static WriteOptions storing(WeightStorage weights) {
    WriteOptions options;
    options.weights = weights;
    return options;
  }

  static const Initializer& find(const Model& model, std::string_view name) {
    for (const Initializer& initializer : model.graph.initializers) {
      if (initializer.name == name) return initializer;
    }
    throw std::out_of_range(std::string(name));
  }

  static void expect_same_initializers(const Model& expected, const Model& actual) {
    ASSERT_EQ(expected.graph.initializers.size(), actual.graph.initializers.size());
    for (std::size_t i = 0; i < expected.graph.initializers.size(); ++i) {
      const std::string& name = expected.graph.initializers[i].name;
      const TensorSource& source = expected.graph.initializers[i].source;
      EXPECT_EQ(actual.graph.initializers[i].name, name);
      EXPECT_EQ(actual.graph.initializers[i].source.shape, source.shape) << name;
      EXPECT_EQ(actual.graph.initializers[i].source.data_type, source.data_type) << name;
      EXPECT_EQ(content(actual.graph.initializers[i].source), content(source)) << name;
    }
  }
};

TEST_F(OnnxWriterTest, StructureSurvivesARoundTrip) {
  Model model = small_model(from_array(counting({4})));
  model.doc_string = "a model";
  model.graph.name = "g";
  model.graph.doc_string = "a graph";
  model.metadata = {{"task", "text-classification"}, {"", ""}};
  model.graph.inputs.push_back({"mask", DataType::Int64, {std::string(), std::int64_t{0}}});
  model.graph.outputs.push_back({"scalar", DataType::Bool, {}});
  model.graph.value_infos.push_back({"inner", DataType::Float16, {}, false});
  model.graph.nodes.push_back({.op_type = "Everything",
                               .domain = "com.microsoft",
                               .name = "",
                               .inputs = {"x", "", "weight"},
                               .outputs = {"inner", ""},
                               .attributes = {{"i", std::int64_t{-3}},
                                              {"f", 0.5F},
                                              {"s", std::string("a\0b", 3)},
                                              {"ints", std::vector<std::int64_t>{1, -2, 3}},
                                              {"floats", std::vector<float>{0, -1.5F}},
                                              {"no_ints", std::vector<std::int64_t>{}},
                                              {"tensor", counting({2, 3})}}});
  write_model(model, directory_ / "model.onnx", {});
  const Model read = read_model(directory_ / "model.onnx");

  EXPECT_EQ(read.ir_version, 8);
  EXPECT_EQ(read.producer_name, "onnxport");
  EXPECT_EQ(read.producer_version, "1.2");
  EXPECT_EQ(read.doc_string, "a model");
  EXPECT_EQ(read.opset_imports, model.opset_imports);
  EXPECT_EQ(read.metadata, model.metadata);
  EXPECT_EQ(read.graph.name, "g");
  EXPECT_EQ(read.graph.doc_string, "a graph");

  const auto expect_same_values = [](const std::vector<ValueInfo>& actual, const std::vector<ValueInfo>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(actual[i].name, expected[i].name);
      EXPECT_EQ(actual[i].data_type, expected[i].data_type);
      EXPECT_EQ(actual[i].shape, expected[i].shape);
      EXPECT_EQ(actual[i].has_shape, expected[i].has_shape);
    }
  };
  expect_same_values(read.graph.inputs, model.graph.inputs);
  expect_same_values(read.graph.outputs, model.graph.outputs);
  expect_same_values(read.graph.value_infos, model.graph.value_infos);

  ASSERT_EQ(read.graph.nodes.size(), 2U);
  const Node& node = read.graph.nodes[1];
  EXPECT_EQ(node.op_type, "Everything");
  EXPECT_EQ(node.domain, "com.microsoft");
  EXPECT_EQ(node.inputs, model.graph.nodes[1].inputs);
  EXPECT_EQ(node.outputs, model.graph.nodes[1].outputs);
  ASSERT_EQ(node.attributes.size(), 7U);
  for (std::size_t i = 0; i < 6; ++i) {
    const Attribute& expected = model.graph.nodes[1].attributes[i];
    EXPECT_EQ(node.attributes[i].name, expected.name);
    EXPECT_EQ(node.attributes[i].value.index(), expected.value.index()) << expected.name;
  }
  EXPECT_EQ(std::get<std::int64_t>(node.attributes[0].value), -3);
  EXPECT_EQ(std::get<float>(node.attributes[1].value), 0.5F);
  EXPECT_EQ(std::get<std::string>(node.attributes[2].value), std::string("a\0b", 3));
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(node.attributes[3].value), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(std::get<std::vector<float>>(node.attributes[4].value), (std::vector<float>{0, -1.5F}));
  EXPECT_EQ(content(from_array(std::get<Array>(node.attributes[6].value))), content(from_array(counting({2, 3}))));
}

TEST_F(OnnxWriterTest, AutomaticKeepsSmallModelsInOneFile) {
  const Model model = model_with(default_checkpoint());
  const auto files = write_model(model, directory_ / "model.onnx", {});
  EXPECT_EQ(files, std::vector{directory_ / "model.onnx"});
  const Model read = read_model(directory_ / "model.onnx");
  expect_same_initializers(model, read);
  EXPECT_EQ(read.graph.initializers[0].source.file->path(), directory_ / "model.onnx");
}

TEST_F(OnnxWriterTest, AutomaticUsesExternalDataAboveTwoGigabytes) {
  // Many times the same region of a sparse file: counted for each inside the file, stored once outside.
  const fs::path zeros = directory_ / "zeros";
  write_file(zeros, "");
  fs::resize_file(zeros, std::uintmax_t{1} << 26);
  TensorSource source;
  source.data_type = DataType::UInt8;
  source.shape = {std::int64_t{1} << 26};
  source.file = MappedFile::open(zeros);
  source.bytes = source.file->bytes();
  Model model = small_model(source);
  for (int i = 1; i < 32; ++i) model.graph.initializers.push_back({"w" + std::to_string(i), source});

  const auto files = write_model(model, directory_ / "model.onnx", {});
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[1], directory_ / "model.onnx_data");
  EXPECT_LT(fs::file_size(files[0]), 10'000U);
  EXPECT_EQ(fs::file_size(files[1]), source.byte_size());
}

TEST_F(OnnxWriterTest, ExternalDataIsAlignedAndSmallTensorsStay) {
  const Model model = model_with(default_checkpoint());
  const auto files = write_model(model, directory_ / "model.onnx", storing(WeightStorage::External));
  EXPECT_EQ(files, (std::vector{directory_ / "model.onnx", directory_ / "model.onnx_data"}));
  const Model read = read_model(directory_ / "model.onnx");
  expect_same_initializers(model, read);
  for (const Initializer& initializer : read.graph.initializers) {
    const bool is_outside = initializer.source.file->path() == directory_ / "model.onnx_data";
    EXPECT_EQ(is_outside, initializer.source.byte_size() >= 1024) << initializer.name;
    if (!is_outside) continue;
    const bool is_large = initializer.source.byte_size() >= (1U << 20);
    EXPECT_EQ(initializer.source.file_offset % (is_large ? 4096 : 64), 0U) << initializer.name;
  }
}

TEST_F(OnnxWriterTest, TiedTensorsAreStoredOnceInExternalData) {
  const TensorSource in_file = default_checkpoint().at("medium");
  const TensorSource in_memory = from_array(counting({1000}));
  Model model = small_model(in_file);
  model.graph.initializers = {{"a", in_file},
                              {"b", in_memory},
                              {"c", in_file},
                              {"d", reshape(in_memory, {10, 100})},
                              {"e", slice(in_memory, 0, 0, 900)}};
  write_model(model, directory_ / "model.onnx", storing(WeightStorage::External));
  const Model read = read_model(directory_ / "model.onnx");
  expect_same_initializers(model, read);
  EXPECT_EQ(read.graph.initializers[0].source.file_offset, read.graph.initializers[2].source.file_offset);
  EXPECT_EQ(read.graph.initializers[1].source.file_offset, read.graph.initializers[3].source.file_offset);
  EXPECT_NE(read.graph.initializers[1].source.file_offset, read.graph.initializers[4].source.file_offset);
}

TEST_F(OnnxWriterTest, ComputedTensorsOfManyBlocksAreWritten) {
  const Array values = counting({3001, 3500});  // more than the writer's buffers, and no round number
  Tensors tensors = checkpoint(directory_ / "model.safetensors", {{"values", from_array(values)}});
  Model model = small_model(transpose(tensors.at("values"), {1, 0}));
  model.graph.initializers.push_back({"half", cast(tensors.at("values"), DataType::Float16)});
  for (const WeightStorage weights : {WeightStorage::Automatic, WeightStorage::External}) {
    WriteOptions options = storing(weights);
    options.mapped_files = {tensors.at("values").file};
    write_model(model, directory_ / "model.onnx", options);
    expect_same_initializers(model, read_model(directory_ / "model.onnx"));
  }
}

TEST_F(OnnxWriterTest, TensorsWithoutElementsAndScalarsAreWritten) {
  Model model = small_model(from_array(counting({0, 4})));
  model.graph.initializers.push_back({"scalar", from_array(counting({}, 5))});
  write_model(model, directory_ / "model.onnx", {});
  expect_same_initializers(model, read_model(directory_ / "model.onnx"));
}

TEST_F(OnnxWriterTest, ReferenceLinksTheCheckpointAndAddressesItsTensors) {
  const Tensors tensors = default_checkpoint();
  Model model = model_with(tensors);
  model.graph.initializers.push_back({"computed", transpose(tensors.at("medium"), {1, 0})});
  fs::create_directory(directory_ / "out");
  const auto files = write_model(model, directory_ / "out/model.onnx", storing(WeightStorage::Reference));
  EXPECT_EQ(files, (std::vector{directory_ / "out/model.onnx", directory_ / "out/model.safetensors",
                                directory_ / "out/model.onnx_data"}));
  EXPECT_TRUE(fs::equivalent(files[1], directory_ / "checkpoint/model.safetensors"));

  const Model read = read_model(files[0]);
  expect_same_initializers(model, read);
  EXPECT_EQ(find(read, "large").source.file->path(), files[1]);
  EXPECT_EQ(find(read, "large").source.file_offset, tensors.at("large").file_offset);
  EXPECT_EQ(find(read, "small").source.file->path(), files[0]);
  EXPECT_EQ(find(read, "computed").source.file->path(), files[2]);
}

TEST_F(OnnxWriterTest, ReferenceInTheCheckpointsDirectoryLinksNothing) {
  const Model model = model_with(default_checkpoint());
  const fs::path path = directory_ / "checkpoint/model.onnx";
  EXPECT_EQ(write_model(model, path, storing(WeightStorage::Reference)), std::vector{path});
  EXPECT_EQ(fs::hard_link_count(directory_ / "checkpoint/model.safetensors"), 1U);
  expect_same_initializers(model, read_model(path));
}

TEST_F(OnnxWriterTest, ReferenceLinksTheTargetOfASymbolicLink) {
  // As in a hub cache: snapshots/main/model.safetensors -> ../../blobs/1234
  default_checkpoint();
  fs::rename(directory_ / "checkpoint", directory_ / "blobs");
  fs::create_directories(directory_ / "snapshots/main");
  fs::create_symlink("../../blobs/model.safetensors", directory_ / "snapshots/main/weights.safetensors");
  const Model model = model_with(read_safetensors(directory_ / "snapshots/main/weights.safetensors"));

  const auto files = write_model(model, directory_ / "model.onnx", storing(WeightStorage::Reference));
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[1], directory_ / "weights.safetensors");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(files[1])));
  EXPECT_TRUE(fs::equivalent(files[1], directory_ / "blobs/model.safetensors"));

  // ONNX Runtime refuses to follow the snapshot's own symbolic link, so it cannot serve there either.
  const auto beside = write_model(model, directory_ / "snapshots/main/model.onnx", storing(WeightStorage::Reference));
  ASSERT_EQ(beside.size(), 2U);
  EXPECT_EQ(beside[1].filename(), "weights-1.safetensors");
  EXPECT_TRUE(fs::is_symlink(directory_ / "snapshots/main/weights.safetensors"));
}

TEST_F(OnnxWriterTest, ReferenceChoosesAnotherNameOnCollision) {
  const Tensors first = default_checkpoint();
  const Tensors second = checkpoint(directory_ / "second/model.safetensors", {{"w", from_array(counting({1000}))}});
  Model model = model_with(first);
  model.graph.initializers.push_back({"w", second.at("w")});
  write_file(directory_ / "destination/model.safetensors", "the user's");
  fs::create_directory(directory_ / "staged");

  WriteOptions options = storing(WeightStorage::Reference);
  options.destination = directory_ / "destination";
  const auto files = write_model(model, directory_ / "staged/model.onnx", options);
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[1].filename(), "model-1.safetensors");
  EXPECT_EQ(files[2].filename(), "model-2.safetensors");
  expect_same_initializers(model, read_model(files[0]));

  // A second model of the same export shares the links.
  const auto more = write_model(model, directory_ / "staged/decoder.onnx", options);
  EXPECT_EQ(more, std::vector{directory_ / "staged/decoder.onnx"});
  expect_same_initializers(model, read_model(more[0]));
}

TEST_F(OnnxWriterTest, ReferenceLinksIntoAStagedDirectoryOfTheCheckpointsOwn) {
  const Model model = model_with(default_checkpoint());
  fs::create_directory(directory_ / "staged");
  WriteOptions options = storing(WeightStorage::Reference);
  options.destination = directory_ / "checkpoint";
  const auto files = write_model(model, directory_ / "staged/model.onnx", options);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[1].filename(), "model.safetensors");
  expect_same_initializers(model, read_model(files[0]));
}

TEST_F(OnnxWriterTest, ReferenceCopiesTensorsThatLieUnaligned) {
  const fs::path path = directory_ / "weights.bin";
  const Array values = counting({1000});
  const auto* bytes = reinterpret_cast<const char*>(values.bytes().data());
  write_file(path, "\1" + std::string(bytes, values.bytes().size()));
  TensorSource source;
  source.shape = {1000};
  source.file = MappedFile::open(path);
  source.bytes = source.file->bytes().subspan(1);
  source.file_offset = 1;
  const Model model = small_model(source);
  const auto files = write_model(model, directory_ / "model.onnx", storing(WeightStorage::Reference));
  EXPECT_EQ(files, (std::vector{directory_ / "model.onnx", directory_ / "model.onnx_data"}));
  expect_same_initializers(model, read_model(files[0]));
}

TEST_F(OnnxWriterTest, ReferenceAcrossFileSystemsSaysWhatToDo) {
  const fs::path elsewhere = "/dev/shm";
  struct stat here {};
  struct stat there {};
  if (::stat(directory_.c_str(), &here) != 0 || ::stat(elsewhere.c_str(), &there) != 0 || here.st_dev == there.st_dev ||
      ::access(elsewhere.c_str(), W_OK) != 0) {
    GTEST_SKIP() << "there is only one file system";
  }
  const Model model = model_with(default_checkpoint());
  const fs::path out = elsewhere / directory_.filename();
  fs::create_directory(out);
  const std::string message = message_of(
      ErrorKind::InvalidArgument, [&] { write_model(model, out / "model.onnx", storing(WeightStorage::Reference)); });
  EXPECT_NE(message.find("--weights copy"), std::string::npos) << message;
  // Copying works, by copy_file_range or without it.
  write_model(model, out / "model.onnx", {});
  expect_same_initializers(model, read_model(out / "model.onnx"));
  fs::remove_all(out);
}

TEST_F(OnnxWriterTest, AModelMayBeWrittenOverTheFileItWasReadFrom) {
  const fs::path path = directory_ / "model.onnx";
  const Model original = model_with(default_checkpoint());
  write_model(original, path, {});
  const Model read = read_model(path);
  write_model(read, path, {});
  expect_same_initializers(original, read_model(path));
}

TEST_F(OnnxWriterTest, WritingTwiceGivesTheSameBytes) {
  const Model model = model_with(default_checkpoint());
  write_model(model, directory_ / "a.onnx", {});
  write_model(read_model(directory_ / "a.onnx"), directory_ / "b.onnx", {});
  EXPECT_EQ(read_file(directory_ / "a.onnx"), read_file(directory_ / "b.onnx"));
}

TEST_F(OnnxWriterTest, ProgressGrowsToTheTotal) {
  const Model model = small_model(from_array(counting({3000, 1000})));
  for (const WeightStorage weights : {WeightStorage::Automatic, WeightStorage::External}) {
    WriteOptions options = storing(weights);
    std::uint64_t last = 0;
    std::uint64_t expected = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
      EXPECT_GT(done, last);
      EXPECT_LE(done, total);
      last = done;
      expected = total;
    };
    write_model(model, directory_ / "model.onnx", options);
    EXPECT_EQ(last, expected);
    EXPECT_GT(last, 12'000'000U);
  }
}

TEST_F(OnnxWriterTest, AnInitializerWithoutElementsToWriteIsRefused) {
  Model model = small_model(from_array(counting({4})));
  model.graph.initializers[0].source.bytes = {};
  const std::string message =
      message_of(ErrorKind::InvalidArgument, [&] { write_model(model, directory_ / "model.onnx", {}); });
  EXPECT_NE(message.find("weight"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(directory_ / "model.onnx"));
}

TEST_F(OnnxWriterTest, AShortenedSourceFileIsReported) {
  const Tensors tensors = default_checkpoint();
  const Model model = model_with(tensors);
  fs::resize_file(directory_ / "checkpoint/model.safetensors", 4096);
  message_of(ErrorKind::InvalidCheckpoint, [&] { write_model(model, directory_ / "model.onnx", {}); });
}

TEST_F(OnnxWriterTest, SystemErrorsNameTheFileAndTheReason) {
  const Model model = small_model(from_array(counting({4})));
  const std::string message =
      message_of(ErrorKind::OutputFailed, [&] { write_model(model, directory_ / "missing/model.onnx", {}); });
  EXPECT_NE(message.find("missing/model.onnx"), std::string::npos) << message;
  EXPECT_NE(message.find("No such file or directory"), std::string::npos) << message;
}

TEST_F(OnnxWriterTest, AFileBeyondTheLimitIsReported) {
  const Model model = model_with(default_checkpoint());
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit lower{100'000, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &lower), 0);
  std::string message;
  try {
    write_model(model, directory_ / "model.onnx", {});
  } catch (const Error& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("does not allow files of this size"), std::string::npos) << message;
}

}  // namespace
}  // namespace onnxport::onnx
