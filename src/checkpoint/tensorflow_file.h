#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/tensor_source.h"

namespace onnxport {

/// Variables of TensorFlow by their full names, whose first level is the model's own name, as they lie in their files.
using TensorFlowVariables = std::map<std::string, TensorSource, std::less<>>;

/// Reads tf_model.h5, which save_pretrained of a TensorFlow model (Keras) writes. Throws Error(InvalidCheckpoint).
TensorFlowVariables read_tensorflow_file(const std::filesystem::path& path);

/// Reads the shards that `weight_map` of tf_model.h5.index.json names: variable to file in `directory`.
TensorFlowVariables read_tensorflow_shards(const std::filesystem::path& directory,
                                           const std::map<std::string, std::string>& weight_map);

/// Variables of a safetensors file that a TensorFlow model wrote (format "tf"): their names lack the first level.
TensorFlowVariables restore_first_level(std::map<std::string, TensorSource, std::less<>> tensors);

/// The parameters that PyTorch's model of the class has (config.json's `architectures`; may be empty), as
/// from_pretrained(from_tf=True) makes them of the variables: names by rule, axes in PyTorch's order (lazily), no
/// prefix where the class is a base model. Throws Error(InvalidCheckpoint).
std::map<std::string, TensorSource, std::less<>> pytorch_parameters(const TensorFlowVariables& variables,
                                                                    std::string_view class_name,
                                                                    const std::string& origin);

}  // namespace onnxport
