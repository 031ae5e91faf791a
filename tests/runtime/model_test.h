#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "core/temporary_directory.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "onnxport/model.h"
#include "support/fixture.h"

namespace onnxport::testing {

namespace fs = std::filesystem;

/// A directory of the test's own, and models in it that are made from golden fixtures.
class ModelTest : public ::testing::Test {
 protected:
  fs::path path(std::string_view name = {}) const { return directory_ / name; }

  static FixtureFile fixture(const std::string& name, const std::string& task) {
    return FixtureFile{fixtures_directory() / name / (task + ".safetensors"), name, task, "model",
                       metadata(fixtures_directory() / name / (task + ".safetensors"))};
  }

  /// The checkpoint of a fixture, as a directory.
  fs::path checkpoint(const FixtureFile& file) const {
    write_checkpoint(file, path("checkpoint"));
    return path("checkpoint");
  }

  /// The fixture's task as an ONNX model, in a directory of this name.
  fs::path exported(const FixtureFile& file, std::string_view name = "model",
                    const std::function<void(ExportOptions&)>& change = {}) const {
    write_checkpoint(file, path("checkpoint"));
    ExportOptions options;
    options.model = path("checkpoint");
    options.output = path(name);
    options.task = file.task;
    options.library_name = "transformers";
    options.validate = false;
    if (change) change(options);
    export_onnx(options);
    fs::remove_all(path("checkpoint"));
    return path(name);
  }
  fs::path exported(const std::string& name, const std::string& task) const { return exported(fixture(name, task)); }

 private:
  static std::map<std::string, std::string> metadata(const fs::path& file) {
    std::map<std::string, std::string> result;
    read_safetensors(file, &result);
    return result;
  }

  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

inline const Array* find(const NamedArrays& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& item) { return item.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

/// Within an absolute tolerance, or that share of the largest value expected.
inline void expect_close(const Array& actual, const Array& expected, double atol, const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  ASSERT_EQ(actual.data_type(), DataType::Float32) << what;
  ASSERT_EQ(expected.data_type(), DataType::Float32) << what;
  double largest = 1;
  double difference = 0;
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    const double a = static_cast<double>(actual.data<float>()[i]);
    const double e = static_cast<double>(expected.data<float>()[i]);
    largest = std::max(largest, std::fabs(e));
    difference = std::isnan(a) ? INFINITY : std::max(difference, std::fabs(a - e));
  }
  EXPECT_LE(difference, atol * largest) << what;
}

/// The message of the Error that `function` throws; its kind is checked.
inline std::string message_of(ErrorKind kind, const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline void expect_message(const std::string& message, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" in: " << message;
}

/// int64 rows of one length.
inline Array rows(const std::vector<std::vector<std::int64_t>>& values) {
  std::vector<std::int64_t> all;
  for (const auto& row : values) all.insert(all.end(), row.begin(), row.end());
  return Array::int64({static_cast<std::int64_t>(values.size()), static_cast<std::int64_t>(values.front().size())},
                      all);
}

}  // namespace onnxport::testing
