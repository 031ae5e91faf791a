#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <unistd.h>

#include "onnx/writer.h"
#include "runtime/session.h"
#include "support/fixture.h"

/// What tests of whole models ask: what it computes, and how far that is from a fixture.
namespace onnxport::testing {

inline std::vector<Array> run(const onnx::Model& model, const FixtureCase& example) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("onnxport-optimized-" + std::to_string(getpid()) + ".onnx");
  onnx::write_model(model, path, {});
  const Session session(path, {.intra_op_num_threads = 1});
  std::filesystem::remove(path);
  std::vector<std::string> names;
  for (const auto& [name, array] : example.outputs) names.push_back(name);
  return session.run(example.inputs, names);
}

/// Largest difference, in units of the tolerance of an output: `atol`, or `relative` of its largest value.
inline double difference(const Array& actual, const Array& expected, double atol, double relative) {
  if (actual.shape() != expected.shape() || actual.data_type() != expected.data_type()) return INFINITY;
  if (expected.data_type() != DataType::Float32)
    return std::ranges::equal(actual.bytes(), expected.bytes()) ? 0 : INFINITY;
  double largest = 1;
  double worst = 0;
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    const double a = static_cast<double>(actual.data<float>()[i]);
    const double e = static_cast<double>(expected.data<float>()[i]);
    largest = std::max(largest, std::fabs(e));
    if (a != e) worst = std::isnan(a) ? INFINITY : std::max(worst, std::fabs(a - e));
  }
  return worst / std::max(atol, relative * largest);
}

}  // namespace onnxport::testing
