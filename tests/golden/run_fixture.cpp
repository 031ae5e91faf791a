#include "run_fixture.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <stdexcept>

#include <gtest/gtest.h>
#include <unistd.h>

#include "onnx/writer.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

fs::path scratch_directory() {
  const fs::path directory = fs::temp_directory_path() / ("onnxport-golden-" + std::to_string(getpid()));
  fs::create_directories(directory);
  return directory;
}

}  // namespace

BuiltModel build_fixture(const FixtureFile& file, const OutputRequest& outputs) {
  const Checkpoint checkpoint = materialize_checkpoint(file);
  BuiltTask task = build_task(checkpoint, architecture_of(Config(checkpoint.config)), file.task, {}, outputs);
  for (BuiltModel& model : task.models)
    if (model.name == file.submodel) return std::move(model);
  throw std::runtime_error("the task has no file " + file.submodel);
}

Session load_fixture(const FixtureFile& file, const onnx::Model& model) {
  const fs::path path = scratch_directory() / (file.fixture + "." + file.path.stem().string() + ".onnx");
  onnx::write_model(model, path, {});
  Session session(path, {.intra_op_num_threads = 1});
  fs::remove(path);
  return session;
}

const Array* find(const NamedArrays& arrays, const std::string& name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& a) { return a.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

void expect_close(const Array& actual, const Array& expected, double atol, const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  ASSERT_EQ(actual.data_type(), expected.data_type()) << what;
  double largest = 0;
  double difference = 0;
  const auto compare = [&](auto type) {
    using T = decltype(type);
    for (std::int64_t i = 0; i < expected.element_count(); ++i) {
      const double a = static_cast<double>(actual.data<T>()[i]);
      const double e = static_cast<double>(expected.data<T>()[i]);
      largest = std::max(largest, std::fabs(e));
      difference = std::isnan(a) ? INFINITY : std::max(difference, std::fabs(a - e));
    }
  };
  if (expected.data_type() == DataType::Float32) {
    compare(float{});
  } else {
    ASSERT_EQ(expected.data_type(), DataType::Int64) << what;
    compare(std::int64_t{});
  }
  EXPECT_LE(difference, std::max(atol, 1e-4 * std::max(1.0, largest))) << what;
}

}  // namespace onnxport::testing
