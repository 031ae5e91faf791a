#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx/model.h"
#include "onnxport/json.h"

namespace onnxport {

struct RewrittenModel {
  std::filesystem::path source;
  std::filesystem::path path;      ///< the ONNX file, in the output directory
  std::uint64_t source_bytes = 0;  ///< with external data
  std::uint64_t bytes = 0;         ///< likewise
};

/// ONNX models that become others: what optimization and quantization do with a directory, whatever they do with a
/// model.
struct RewriteOptions {
  std::filesystem::path model;            ///< directory of ONNX models with the files beside them, or one ONNX file
  std::filesystem::path output;           ///< directory, created; not the one that the models lie in
  std::string suffix{};                   ///< "quantized": model.onnx becomes model_quantized.onnx; "" keeps the names
  std::vector<std::string> file_names{};  ///< the ONNX files to take, all of the directory if empty
  bool external_data = false;             ///< weights in model_quantized.onnx_data also below 2 GB
  /// Documents to write beside the models, such as ort_config.json. They are made when all models are done.
  std::function<std::vector<std::pair<std::string, Json>>()> documents{};
  /// Called when everything is written, with the paths where the models lie until they are published. If it returns
  /// false, or throws, nothing is published.
  std::function<bool(const std::vector<RewrittenModel>& staged)> accept{};

  /// Called with a stage such as "Writing model_quantized.onnx", bytes done and in total.
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};
};

struct RewriteResult {
  std::vector<RewrittenModel> models;
  std::vector<std::filesystem::path> files;  ///< all that was published, in the output directory
};

/// The ONNX files of a directory, by name, or the one that `model` is. Throws Error(InvalidModel) if there are none.
std::vector<std::filesystem::path> find_onnx_files(const std::filesystem::path& model,
                                                   const std::vector<std::string>& file_names = {});

/// Reads each model, lets `edit` change it, and writes it, with config.json, tokenizer and processor files copied, into
/// the output directory when all are complete. Weights are neither read nor copied into memory: sources that `edit`
/// sets are computed while they are written. Throws Error(InvalidArgument) if the output is the models' directory;
/// Error(InvalidModel) for models that are damaged or whose external data is missing; Error(OutputFailed); what `edit`
/// throws. Nothing is left in the output then.
RewriteResult rewrite_models(const RewriteOptions& options,
                             const std::function<void(onnx::Model& model, const std::filesystem::path& file)>& edit);

}  // namespace onnxport
