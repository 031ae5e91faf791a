#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/architecture_options.h"
#include "onnxport/error.h"
#include "onnxport/hub.h"
#include "onnxport/onnx_config.h"

namespace onnxport {

/// Sizes of the validation inputs, and of the axes with `dynamic_axes = false`. Defaults are Optimum's.
struct InputShapes {
  std::int64_t batch_size = 2;
  std::int64_t sequence_length = 16;
  std::int64_t num_choices = 4;
  std::int64_t width = 64;
  std::int64_t height = 64;
  std::int64_t num_channels = 3;
  std::int64_t feature_size = 80;
  std::int64_t nb_max_frames = 3000;
  std::int64_t audio_sequence_length = 16000;
  std::int64_t point_batch_size = 3;
  std::int64_t nb_points_per_image = 2;
  std::int64_t visual_seq_length = 16;
};

enum class WeightsMode {
  Copy,       ///< weights are written with the model
  Reference,  ///< weights stay in the checkpoint's file, which is hard-linked (or cloned) beside the model
};

enum class ExternalData {
  Auto,    ///< in model.onnx below 2 GB, else in model.onnx_data
  Always,  ///< always in model.onnx_data
};

/// Where an export is, for a progress bar. `done` and `total` count bytes written, or input sets validated.
struct ExportProgress {
  std::string_view stage;  ///< "Writing model.onnx", "Validating model.onnx"
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

/// What `onnxport export onnx` takes; names and meanings are those of Optimum's options.
struct ExportOptions {
  std::filesystem::path model;   ///< checkpoint directory, or the id of a model on the Hub
  std::filesystem::path output;  ///< directory, created
  std::string task = "auto";     ///< synonyms are accepted
  std::optional<int> opset{};    ///< 13 to 24, default 18
  std::string dtype = "fp32";    ///< fp32, fp16, bf16
  std::optional<double> atol{};  ///< default 1e-4 for fp32, 1e-2 for fp16 and O3, 1e-1 for bf16
  InputShapes shapes{};
  std::string optimize{};      ///< O1, O2, O3, O4: operators of ONNX Runtime's own; empty: plain ONNX
  std::string device = "cpu";  ///< cpu, cuda: what O4 is for; the export runs on the processor
  bool keep_io_types = false;  ///< fp16, bf16: inputs and outputs stay float32
  bool dynamic_axes = true;
  bool monolith = false;     ///< one file even where encoder and decoder are usual
  bool post_process = true;  ///< also write decoder_model_merged.onnx, where decoders with and without past are
  /// Optimum's export variant, or any other name for that of the weights: "fp16" takes model.fp16.safetensors.
  std::string variant = "default";
  std::string framework{};     ///< pt, tf: whose weights, where both are there; default: from_pretrained's order
  std::string library_name{};  ///< transformers, sentence_transformers; default: from the directory's files
  std::optional<std::int64_t> pad_token_id{};
  std::string model_kwargs{};  ///< JSON object merged into the config
  /// Names as in the ModelOutput of transformers: "last_hidden_state", "pooler_output", "hidden_states" (all of
  /// hidden_states.{i}), "attentions.0". Empty: the outputs of the task.
  std::vector<std::string> outputs{};
  /// Says what is not said here: the task, opset, atol, outputs, names of axes, and values of config.json.
  std::shared_ptr<const OnnxConfig> config{};
  bool companion_files = true;  ///< config.json and the files of tokenizers and processors beside the model
  ArchitectureOptions architecture{};

  HubOptions hub{};  ///< for a model that is no directory
  /// Convert weights of the Hub while they arrive, so that the disk holds the output alone: nothing of them is left in
  /// the cache, and the reference takes them from the model that was written. Safetensors files only; others are
  /// downloaded as usual, with a warning.
  bool stream = false;
  WeightsMode weights = WeightsMode::Copy;
  ExternalData external_data = ExternalData::Auto;
  bool validate = true;
  bool allow_mismatch = false;        ///< keep the model and succeed although values differ
  std::filesystem::path reference{};  ///< safetensors file of inputs and outputs to validate against

  std::function<void(std::string_view line)> log{};  ///< Optimum's log, line by line
  std::function<void(std::string_view line)> warn{};
  std::function<void(const ExportProgress&)> progress{};
};

/// One output of one file on one set of inputs.
struct OutputValidation {
  std::string file;    ///< "model.onnx"
  std::string inputs;  ///< "batch_size 2, sequence_length 16"
  std::string output;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> reference_shape;
  double max_difference = 0;
  bool matches = false;
};

struct ExportResult {
  std::string model_type;
  std::string task;
  std::vector<std::filesystem::path> files;  ///< all that was written, in the output directory
  std::vector<OutputValidation> validations;
  bool validated = false;  ///< validation ran and everything matched
  double atol = 0;
  int opset = 0;
  std::vector<std::string> unused_tensors;
  std::vector<std::string> warnings;
  std::map<std::string, double> seconds;  ///< "read", "build", "write", "validate", "total"
  std::uint64_t weight_bytes = 0;
  std::uint64_t peak_memory_bytes = 0;  ///< of the process, resident
};

/// ErrorKind::ValidationFailed: the exported model does not reproduce the reference. Nothing was written.
class ValidationError : public Error {
 public:
  ValidationError(const std::string& message, ExportResult result)
      : Error(ErrorKind::ValidationFailed, message), result_(std::make_shared<const ExportResult>(std::move(result))) {}
  /// What was measured until then, with the differences of all outputs; `files` is empty.
  const ExportResult& result() const noexcept { return *result_; }

 private:
  std::shared_ptr<const ExportResult> result_;  ///< shared, so that a copy of the exception throws nothing
};

/// Turns a Hugging Face checkpoint into ONNX: builds the graph, writes it with its weights, validates it against the
/// reference evaluation under ONNX Runtime, and puts the files into `output` when all is complete. What a failed or
/// killed export leaves of the output is what was there before.
/// Throws Error; see ErrorKind. ValidationError is thrown unless `allow_mismatch`.
ExportResult export_onnx(const ExportOptions& options);

}  // namespace onnxport
