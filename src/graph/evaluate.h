#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "onnxport/array.h"

namespace onnxport {

/// Computes the outputs of a graph in float32 by the operators' own kernels, which share no code with the lowering.
/// Weights are read where they lie; intermediate results are released after their last use.
/// Throws Error(InvalidArgument) naming an input that is missing or whose shape contradicts the graph.
NamedArrays evaluate_graph(const Graph& graph, const NamedArrays& inputs);

/// Sizes of the graph's symbols that these inputs imply. Same errors.
DimBindings bind_inputs(const Graph& graph, const NamedArrays& inputs);

}  // namespace onnxport
