#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "optimization/match.h"
#include "optimization/pass.h"

/// The pattern of attention as exporters write it: Softmax(query * key^T * scale + bias) * value, between the Reshapes
/// and Transposes that split and merge heads.
namespace onnxport::optimization {

/// Query, key or value: (batch, length, heads, size) before it is transposed, or whole (batch, heads, length, size),
/// as caches and keys that are repeated for groups of heads are.
struct AttentionHeads {
  std::string split;   ///< what the Transpose takes, of rank 4; "" if there is no Transpose
  std::string merged;  ///< what the Reshape before it takes; "" if there is none
  std::string whole;   ///< (batch, heads, length, size)
  double scale = 1;
  std::vector<onnx::NodeId> nodes;
};

/// With the cache of earlier tokens: Concat(past, new).
struct AttentionCache {
  std::string past;     ///< (batch, heads, past length, size); "" if there is none
  std::string present;  ///< what Concat makes
  onnx::NodeId concat = 0;
};

struct AttentionPattern {
  AttentionHeads query;
  AttentionHeads key;
  AttentionHeads value;
  AttentionCache key_cache;
  AttentionCache value_cache;
  std::string bias;  ///< what is added to the scores; "" if nothing is
  /// Rows without any number, all of whose scores are -inf, become zero: torch's scaled_dot_product_attention.
  bool guards_against_nan = false;
  double scale = 1;
  Dim batch;
  Dim length;  ///< of the query
  std::int64_t heads = 0;
  std::int64_t size = 0;            ///< of a head of query and key
  std::vector<onnx::NodeId> inner;  ///< all nodes but the last
  onnx::NodeId transpose = 0;       ///< (batch, heads, length, size) to (batch, length, heads, size)
  onnx::NodeId last = 0;            ///< the Reshape that merges the heads
};

/// The pattern around a Softmax. nullopt with a `reason` if it looked like attention, without one if it did not.
std::optional<AttentionPattern> match_attention(const PassContext& context, onnx::NodeId softmax, std::string& reason);

}  // namespace onnxport::optimization
