#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "onnxport/array.h"
#include "onnxport/session_types.h"

/// The inputs that a model is calibrated with, one batch at a time.
namespace onnxport {

struct CalibrationDataOptions {
  /// JSON lines, a safetensors file, or empty for random inputs of plausible kinds.
  ///
  /// Each JSON line is an object. With "text" (and "text_pair"), or a bare string, the tokenizer of `model_directory`
  /// makes the inputs; else each member is an input of the model by name, nested arrays of numbers without the batch
  /// axis. A safetensors file has the model's inputs by name; its first axis counts the samples.
  std::filesystem::path file{};
  std::filesystem::path model_directory{};  ///< config.json and the tokenizer; the current one if empty
  std::int64_t num_samples = 100;           ///< at most; of random inputs exactly
  std::int64_t max_length = 128;            ///< tokens of a text, the rest is cut off; tokens of random inputs
};

/// Reads samples one by one, with a batch axis of 1; what a model takes beside them (masks, positions, token types,
/// empty caches) is made as ORTModel does it. Nothing is kept: memory does not grow with the file.
class CalibrationData {
 public:
  /// `inputs`: those of the model. Throws Error(InvalidArgument): the file cannot be read, is empty or of another kind;
  /// `num_samples` below 1.
  CalibrationData(CalibrationDataOptions options, std::vector<ModelInput> inputs);
  ~CalibrationData();
  CalibrationData(CalibrationData&&) noexcept;

  /// The inputs of the next sample; nullopt after the last. Throws Error(InvalidArgument) with the line or the tensor:
  /// not JSON, no input of the model in it, a wrong shape or type, token ids beyond the vocabulary; also if there is no
  /// sample at all.
  std::optional<NamedArrays> next();
  /// Back to the first sample: entropy and percentile need two readings.
  void rewind();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace onnxport
