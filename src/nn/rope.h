#pragma once

#include <cstdint>

#include "checkpoint/config.h"
#include "ops/ops.h"

namespace onnxport::nn {

/// Angles of rotary position embeddings (Su et al., 2021) for heads of which `size` elements are turned, as
/// transformers' ROPE_INIT_FUNCTIONS compute them: position_ids int64 (batch or 1, length).
/// Throws Error(UnsupportedArchitecture) naming a type of scaling that is not known.
ops::Rotation rotation(Tensor position_ids, std::int64_t size, const RopeParameters& rope);

}  // namespace onnxport::nn
