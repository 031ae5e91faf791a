#pragma once

#include "onnx/model.h"

namespace onnxport::onnx {

/// The input of a merged decoder that chooses its branch: BOOL [1].
inline constexpr const char* use_cache_branch = "use_cache_branch";

/// One model of a decoder for the first step of generation and one for the later ones: an If, named `optimum::if`, of
/// two branches, as `optimum.onnx.merge_decoders(decoder, decoder_with_past, strict=False)` makes it. Runtimes find it
/// by these names.
///
/// - Inputs are those of `decoder`, then those that only `decoder_with_past` has, then use_cache_branch. A caller gives
///   all of them; a branch does not look at what only the other one has.
/// - Outputs are those of `decoder`, with its shapes. Those that `decoder_with_past` lacks (the encoder's keys and
///   values, which stay what they were) are constants without elements in its branch: the first dynamic axis 0,
///   others 1.
/// - Weights stand in the outer graph, once for both branches. Scalars and lists of integers stay in the branches,
/// where
///   shapes are inferred from them.
///
/// Weights of one name are one if they are one region of memory, or else have the same elements, which are then read.
/// The models' doc strings and metadata are left out.
/// Throws Error(InvalidModel): other opsets, functions, an input or output whose type differs in the two models,
/// outputs that only `decoder_with_past` has, or a missing one without a dynamic axis.
Model merge_decoders(Model decoder, Model decoder_with_past);

}  // namespace onnxport::onnx
