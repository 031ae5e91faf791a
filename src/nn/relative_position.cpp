#include "nn/relative_position.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "onnxport/error.h"

namespace onnxport::nn {
namespace {

constexpr std::int64_t largest_max_distance = 1 << 20;

/// The bucket of each distance from -max_distance to max_distance, in float32 as transformers computes it: done here,
/// no rounding of a runtime's logarithm can move a distance into another bucket.
std::vector<std::int64_t> bucket_of_distances(const RelativeBuckets& b) {
  const std::int64_t count = b.bidirectional ? b.num_buckets / 2 : b.num_buckets;
  const std::int64_t exact = count / 2;
  if (exact < 1 || b.max_distance <= exact || b.max_distance > largest_max_distance)
    throw Error(ErrorKind::InvalidCheckpoint, "config.json: " + std::to_string(b.num_buckets) +
                                                  " buckets for relative positions up to a distance of " +
                                                  std::to_string(b.max_distance) + " cannot be made");
  const float range = static_cast<float>(std::log(static_cast<double>(b.max_distance) / static_cast<double>(exact)));
  std::vector<std::int64_t> buckets;
  for (std::int64_t relative = -b.max_distance; relative <= b.max_distance; ++relative) {
    const std::int64_t distance = b.bidirectional ? std::abs(relative) : std::max<std::int64_t>(-relative, 0);
    const float ratio = static_cast<float>(distance) / static_cast<float>(exact);
    const float beyond = distance < exact ? 0.0F : std::log(ratio) / range * static_cast<float>(count - exact);
    const std::int64_t bucket = distance < exact ? distance : exact + static_cast<std::int64_t>(beyond);
    buckets.push_back(std::min(bucket, count - 1) + (b.bidirectional && relative > 0 ? count : 0));
  }
  return buckets;
}

}  // namespace

Tensor relative_position_bias(Tensor table, Tensor query_positions, Tensor key_positions,
                              const RelativeBuckets& buckets) {
  Graph& graph = table.graph();
  const ScopeGuard scope(graph, "relative_position_bias");
  const std::vector<std::int64_t> of_distances = bucket_of_distances(buckets);
  const Tensor indices =
      graph.add_constant(Array::int64({static_cast<std::int64_t>(of_distances.size())}, of_distances));
  const Tensor biases = ops::gather(ops::transpose(table, {1, 0}), indices, 1);
  const double furthest = static_cast<double>(buckets.max_distance);
  const Tensor relative = ops::unsqueeze(key_positions, 0) - ops::unsqueeze(query_positions, 1);
  const Tensor clipped = ops::minimum(ops::maximum(relative + furthest, 0.0), 2.0 * furthest);
  return ops::unsqueeze(ops::gather(biases, clipped, 1), 0);
}

}  // namespace onnxport::nn
