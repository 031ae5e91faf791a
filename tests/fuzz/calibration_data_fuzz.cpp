#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "core/temporary_directory.h"
#include "onnxport/error.h"
#include "quantization/calibration_data.h"

/// Any lines either are refused with Error or give inputs of the shapes and types that the model takes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using onnxport::DataType;
  static const onnxport::TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "samples.jsonl";
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  const std::vector<onnxport::ModelInput> inputs{
      {.name = "input_ids", .data_type = DataType::Int64, .shape = {-1, -1}, .axis_names = {"batch", "sequence"}},
      {.name = "attention_mask", .data_type = DataType::Bool, .shape = {-1, -1}, .axis_names = {"batch", "sequence"}},
      {.name = "x", .data_type = DataType::Float32, .shape = {-1, 2}, .axis_names = {"batch", ""}}};
  onnxport::CalibrationDataOptions options;
  options.file = file;
  options.model_directory = directory.path();
  try {
    onnxport::CalibrationData samples(options, inputs);
    while (const auto sample = samples.next()) {
      if (sample->size() != inputs.size()) std::abort();
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const auto& [name, array] = sample->at(i);
        if (name != inputs[i].name || array.data_type() != inputs[i].data_type || array.rank() != 2) std::abort();
      }
    }
  } catch (const onnxport::Error&) {
  }
  return 0;
}
