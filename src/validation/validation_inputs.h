#pragma once

#include <string>

#include "checkpoint/config.h"
#include "graph/evaluate.h"
#include "onnxport/exporter.h"

namespace onnxport {

/// Sizes and contents of the inputs that a model is validated on.
struct InputSet {
  DimBindings sizes;
  bool padded = false;  ///< rows of different lengths: padding tokens, and zeros in the masks
  std::uint64_t seed = 1;
};

/// Sizes of all symbols of the tasks' inputs, as the user gave them; images as the config has them.
DimBindings input_sizes(const InputShapes& shapes, const Config& config);

/// The sets to validate on: the shapes given, and, so that no size that the first happened to have can be baked into
/// the model unnoticed, another batch size and other lengths with padded rows.
std::vector<InputSet> validation_sets(const InputShapes& shapes, const Config& config, bool dynamic_axes);

/// Inputs for a graph, of the set's sizes but for those that the graph assumes, by their names: token ids within the
/// vocabulary, masks, positions, pixels, caches. Deterministic. Throws Error(InvalidArgument) for an input of an
/// unknown kind.
NamedArrays make_inputs(const Graph& graph, const Config& config, const InputSet& set);

/// "batch_size 2, sequence_length 16", of the symbols that the graph's inputs have.
std::string describe(const Graph& graph, const InputSet& set);

}  // namespace onnxport
