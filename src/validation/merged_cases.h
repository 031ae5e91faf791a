#pragma once

#include <vector>

#include "validation/validate.h"

namespace onnxport {

/// The cases of a decoder as cases of a branch of the merged decoder: with use_cache_branch, and zeros for the inputs
/// that only the other branch looks at. Their sizes are those of the case; a length that it does not have, as that of a
/// past in the first step, is 1, as Optimum's ORTModelForSeq2SeqLM passes it.
std::vector<ReferenceCase> cases_of_branch(const std::vector<ReferenceCase>& cases, const Session& merged,
                                           bool use_cache);

}  // namespace onnxport
