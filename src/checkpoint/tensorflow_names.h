#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace onnxport {

/// How the axes of a variable of TensorFlow lie in PyTorch's parameter.
enum class TensorFlowLayout {
  Same,
  Transposed,  ///< all axes reversed: the kernel of a dense layer
  Conv1d,      ///< (width, in, out) -> (out, in, width)
  Conv2d,      ///< (height, width, in, out) -> (out, in, height, width)
};

/// What a variable of TensorFlow is in PyTorch.
struct PyTorchName {
  std::string name;
  TensorFlowLayout layout = TensorFlowLayout::Same;

  bool operator==(const PyTorchName&) const = default;
};

/// Translates the name of a variable with `rank` axes as transformers does (convert_tf_weight_name_to_pt_weight_name):
/// "tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0" is "bert.encoder.layer.0.output.dense.weight".
/// The first level, which is the model's own name, is taken off.
PyTorchName pytorch_name(std::string_view variable, std::size_t rank);

}  // namespace onnxport
