#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "onnx/model.h"
#include "support/fixture.h"

namespace onnxport::testing {

/// Exports a fixture's model to `directory`/model, from its checkpoint in `directory`/checkpoint.
FixtureFile export_fixture(const std::string& fixture, const std::string& task, const std::filesystem::path& directory);

/// Dequantization, independent of the code under test.
class Dequantizer {
 public:
  explicit Dequantizer(const onnx::Model& model);

  /// Weights of a MatMulNBits or GatherBlockQuantized as [rows, columns] of floats.
  std::vector<float> rows(const onnx::Node& node, std::int64_t count, std::int64_t size) const;
  /// What a DequantizeLinear of a constant matrix in blocks makes.
  Array blocks(const onnx::Node& node) const;
  const Array& tensor(const std::string& name) const { return tensors_.at(name); }

 private:
  std::map<std::string, Array> tensors_;
};

/// The quantized model with plain MatMul and Gather of dequantized weights in the place of quantized ones, and without
/// DequantizeLinear of weights.
onnx::Model dequantize(onnx::Model model);

}  // namespace onnxport::testing
