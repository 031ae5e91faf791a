#pragma once

#include <set>
#include <string>

#include "onnx/model.h"
#include "onnxport/data_type.h"

namespace onnxport::optimization {

/// As onnxruntime/transformers/float16.py has them.
struct Float16Options {
  DataType type = DataType::Float16;  ///< or BFloat16
  bool keep_io_types = true;          ///< inputs and outputs stay float32, with Casts behind and before them
  std::set<std::string> op_block_list = default_op_block_list();
  std::set<std::string> node_block_list{};  ///< names of nodes that stay in float32
  /// Weights nearer to zero, but not zero, become this; those beyond the maximum become it. float16 only: bfloat16 has
  /// float32's range.
  float min_positive_val = 5.96e-08F;
  float max_finite_val = 65504.0F;

  /// Operators that ONNX Runtime has not in float16, or whose result it ruins.
  static std::set<std::string> default_op_block_list();
};

/// Turns float32 inside a model into float16 with Casts around what is blocked and around squares that are averaged,
/// which leave float16's range. Weights are converted while they are written. Reaches into graphs that nodes hold: a
/// weight that branches share is converted once, and becomes float16 if one of them reads it so; of a node that is
/// blocked all graphs stay in float32. Returns how many initializers changed their type. Throws Error(InvalidModel): a
/// node reads what no node before it makes.
int convert_to_float16(onnx::Model& model, const Float16Options& options = {});

}  // namespace onnxport::optimization
