#pragma once

#include <string>

#include "graph/graph.h"
#include "graph/lower_context.h"
#include "onnx/model.h"

namespace onnxport::onnx {

inline constexpr int minimum_opset = 13;
inline constexpr int maximum_opset = 24;
inline constexpr int default_opset = 18;

/// Writes a graph as ONNX nodes for a target: operators by their own lowering, weights as initializers under their
/// names in the checkpoint, cast to the target's type. Nodes are named after their place in the model
/// ("/encoder/layer.0/attention/self/query/Gemm"); equal nodes are emitted once, unused ones not at all.
/// Throws Error(InvalidArgument) when the opset is out of range.
Model lower_graph(const onnxport::Graph& graph, const Target& target);

}  // namespace onnxport::onnx
