#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "onnxport/onnx_config.h"

namespace onnxport {

/// What `python -m transformers.onnx` of transformers 4 knows of a model type: a row of FeaturesManager.
struct LegacyType {
  std::string_view model_type;  ///< as there, with "-" for "_": "big-bird"
  std::string_view features;    ///< separated by spaces, in its order
  int opset = 11;               ///< OnnxConfig.default_onnx_opset
  double atol = 1e-5;           ///< OnnxConfig.atol_for_validation
  bool has_use_cache = false;   ///< its config has the member use_cache, which values_override sets
};

/// All rows, in the order of FeaturesManager.
const std::vector<LegacyType>& legacy_types();
/// The row of a model type of config.json. Throws Error(UnsupportedArchitecture) that lists the model types.
const LegacyType& legacy_type(std::string_view model_type);

std::vector<std::string> features_of(const LegacyType& type);
/// Throws Error(UnsupportedTask) that lists the features of the type if it lacks this one, and those of all types if
/// none has it.
void check_feature(const LegacyType& type, std::string_view model_type, std::string_view feature);

/// The OnnxConfig of transformers 4: its inputs and outputs, names of axes ("batch", "sequence"), opset and tolerance.
/// Axes that it declares although their size is fixed, as the labels of a classifier, keep their size, and the opset is
/// at least the lowest that onnxport writes.
class LegacyOnnxConfig : public OnnxConfig {
 public:
  /// Throws as check_feature() and OnnxConfig do; Error(UnsupportedTask) for an encoder and a decoder with
  /// a cache, and for default-with-past: the original fails on them, too.
  LegacyOnnxConfig(const Json& config, const std::string& feature);

  std::vector<OnnxValue> inputs(std::string_view file) const override;
  std::vector<OnnxValue> outputs(std::string_view file) const override;
  double atol_for_validation() const override { return type_->atol; }
  int default_onnx_opset() const override;
  /// use_cache, where the config has it.
  Json values_override() const override;

  const LegacyType& type() const { return *type_; }

 private:
  const LegacyType* type_;
  std::string feature_;
};

}  // namespace onnxport
