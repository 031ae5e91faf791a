#include "nn/relative_position.h"

#include <numeric>

#include <gtest/gtest.h>

#include "graph/evaluate.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

/// The buckets of keys at the distances -count .. count - 1 from one query: a table of a single head whose biases are
/// their own indices.
std::vector<float> buckets(const nn::RelativeBuckets& options, std::int64_t count) {
  Graph graph;
  std::vector<float> indices(static_cast<std::size_t>(options.num_buckets));
  std::iota(indices.begin(), indices.end(), 0.0F);
  const Tensor table = graph.add_constant(Array::float32({options.num_buckets, 1}, indices));
  const Tensor query = ops::range(graph, count, 1);
  const Tensor keys = ops::range(graph, 0, 2 * count);
  const Tensor bias = nn::relative_position_bias(table, query, keys, options);
  EXPECT_EQ(bias.shape(), (Shape{1, 1, 1, 2 * count}));
  graph.add_output("bias", bias);
  const Array result = evaluate_graph(graph, {}).front().second;
  return {result.values<float>().begin(), result.values<float>().end()};
}

/// The distances at which the next bucket begins, as T5Attention._relative_position_bucket of transformers has them.
TEST(RelativePositionTest, BucketsGrowWithTheDistance) {
  const std::vector<float> all = buckets({}, 200);
  const std::vector<std::int64_t> begins{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  for (std::size_t bucket = 0; bucket < begins.size(); ++bucket) {
    const std::int64_t end = bucket + 1 < begins.size() ? begins[bucket + 1] : 200;
    for (std::int64_t distance = begins[bucket]; distance < end; ++distance) {
      EXPECT_EQ(all[static_cast<std::size_t>(200 - distance)], static_cast<float>(bucket)) << distance;
      const float after = static_cast<float>(distance == 0 ? bucket : bucket + 16);
      EXPECT_EQ(all[static_cast<std::size_t>(200 + distance)], after) << distance;
    }
  }
}

TEST(RelativePositionTest, KeysAfterTheQueryCountAsDistanceZeroInOneDirection) {
  const std::vector<float> all = buckets({.num_buckets = 8, .max_distance = 20, .bidirectional = false}, 25);
  for (std::size_t i = 25; i < 50; ++i) EXPECT_EQ(all[i], 0.0F);
  EXPECT_EQ(all[24], 1.0F);
  EXPECT_EQ(all[0], 7.0F);
}

TEST(RelativePositionTest, BucketsThatCannotBeMadeAreRefused) {
  EXPECT_THROW(buckets({.num_buckets = 2}, 4), Error);
  EXPECT_THROW(buckets({.num_buckets = 32, .max_distance = 8}, 4), Error);
  EXPECT_THROW(buckets({.num_buckets = 32, .max_distance = std::int64_t{1} << 40}, 4), Error);
}

}  // namespace
}  // namespace onnxport
