#pragma once

#include "onnx/model.h"

namespace onnxport::onnx {

/// Gives every value of the graph and of all graphs inside a name of its own, as GraphEditor and ranges of activations
/// by name want it: branches of an If may have values of one name. The first keeps it, a later one gets that of its
/// attribute after it ("/Add_output_0_then_branch"). Inputs and outputs of the outermost graph stay what they are.
void make_value_names_unique(Graph& graph);

}  // namespace onnxport::onnx
