#pragma once

#include <cstdint>

#include "ops/ops.h"

namespace onnxport::nn {

/// How distances between positions share learned biases: each small distance has one of its own, larger ones share
/// theirs with more and more others, and those from max_distance on have the last.
struct RelativeBuckets {
  std::int64_t num_buckets = 32;
  std::int64_t max_distance = 128;
  bool bidirectional = true;  ///< otherwise keys after the query count as distance 0
};

/// T5's and MPNet's bias of attention (Raffel et al., 2020): `table` (num_buckets or more, heads), positions int64
/// (queries) and (keys); (1, heads, queries, keys). Throws Error(InvalidCheckpoint) when there are no such buckets.
Tensor relative_position_bias(Tensor table, Tensor query_positions, Tensor key_positions,
                              const RelativeBuckets& buckets);

}  // namespace onnxport::nn
