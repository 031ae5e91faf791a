#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/architecture_options.h"
#include "onnxport/hub.h"
#include "onnxport/json.h"

namespace onnxport {

/// Names of the axes whose size is free, by index: {0: "batch_size", 1: "sequence_length"}.
using DynamicAxes = std::map<int, std::string>;

/// An input or output of an ONNX file.
struct OnnxValue {
  std::string name;
  DynamicAxes axes;

  bool operator==(const OnnxValue&) const = default;
};

/// {"last_hidden_state", ...}: what Python's `list(config.outputs.keys())` gives.
std::vector<std::string> names_of(const std::vector<OnnxValue>& values);

/// How a model is exported: Optimum's OnnxConfig and its subclasses (BertOnnxConfig, ...), for every model type and
/// task.
///
///     names_of(OnnxConfig("distilbert/", "feature-extraction").outputs());  // {"last_hidden_state"}
///
/// Derive from it to choose other outputs, or other names of axes, and give it to export_onnx as ExportOptions::config,
/// as main_export takes custom_onnx_configs:
///
///     struct WithAttentions : OnnxConfig {
///       using OnnxConfig::OnnxConfig;
///       std::vector<OnnxValue> outputs(std::string_view file) const override {
///         std::vector<OnnxValue> values = OnnxConfig::outputs(file);
///         values.push_back({"attentions.0", {{0, "batch_size"}, {2, "queries"}, {3, "keys"}}});
///         return values;
///       }
///     };
class OnnxConfig {
 public:
  /// Of a checkpoint: a directory, or the id of a model on the Hub. Weights are not read but for their shapes. The task
  /// may be a synonym; "auto" is the one that the checkpoint was trained for.
  /// Throws Error as export_onnx does.
  explicit OnnxConfig(const std::filesystem::path& model, const std::string& task = "auto", const HubOptions& hub = {},
                      const ArchitectureOptions& options = {});
  /// Of a config.json alone, without weights. `monolith`: as ExportOptions has it.
  explicit OnnxConfig(const Json& config, const std::string& task = "auto", bool monolith = false);
  virtual ~OnnxConfig();
  OnnxConfig(OnnxConfig&&) noexcept;
  OnnxConfig& operator=(OnnxConfig&&) noexcept;

  const std::string& model_type() const;
  const std::string& task() const;
  /// The ONNX files without ".onnx": "model", or "encoder_model", "decoder_model", ...
  std::vector<std::string> files() const;

  /// The inputs of a file, in their order. An override changes the names of axes, and may leave out position_ids and
  /// token_type_ids where the HF class has a default for them.
  /// Throws Error(InvalidArgument) that lists the files if there is no such file.
  virtual std::vector<OnnxValue> inputs(std::string_view file) const;
  std::vector<OnnxValue> inputs() const { return inputs(files().front()); }
  /// The outputs of a file, in their order; see ExportOptions::outputs for what an override may choose.
  virtual std::vector<OnnxValue> outputs(std::string_view file) const;
  std::vector<OnnxValue> outputs() const { return outputs(files().front()); }
  /// All names that outputs() may have: of a config.json alone, those of the task.
  std::vector<std::string> available_outputs(std::string_view file) const;

  /// The largest absolute difference from the reference that passes, in float32.
  virtual double atol_for_validation() const { return 1e-4; }
  virtual int default_onnx_opset() const { return 18; }
  /// An object whose members replace those of config.json: what Optimum's values_override and --model-kwargs do.
  virtual Json values_override() const { return Json::Object{}; }

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace onnxport
