// How rows are cut into batches.
#include "pipelines/batches.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include <gtest/gtest.h>

namespace onnxport::pipelines {
namespace {

std::vector<std::size_t> sizes(const std::vector<Batch>& batches) {
  std::vector<std::size_t> result;
  for (const Batch& batch : batches) result.push_back(batch.end - batch.begin);
  return result;
}

TEST(BatchesTest, NoRowsMakeNoBatch) { EXPECT_TRUE(make_batches({}, {}).empty()); }

TEST(BatchesTest, CoverAllRowsInOrder) {
  std::vector<std::size_t> lengths;
  for (std::size_t length = 300; length > 3; length -= 1 + length % 3)
    lengths.insert(lengths.end(), length % 4, length);
  for (const BatchRule rule : {BatchRule{}, BatchRule{.batch_size = 7}, BatchRule{.can_pad = false, .workers = 5}}) {
    std::size_t next = 0;
    for (const Batch& batch : make_batches(lengths, rule)) {
      EXPECT_EQ(batch.begin, next);
      EXPECT_GT(batch.end, batch.begin);
      next = batch.end;
    }
    EXPECT_EQ(next, lengths.size());
  }
}

TEST(BatchesTest, BatchSizeIsTheMostRowsOfABatch) {
  const std::vector<std::size_t> lengths{90, 50, 8, 8, 1};
  EXPECT_EQ(sizes(make_batches(lengths, {.batch_size = 2})), (std::vector<std::size_t>{2, 2, 1}));
  EXPECT_EQ(sizes(make_batches(lengths, {.batch_size = 100})), (std::vector<std::size_t>{5}));
}

TEST(BatchesTest, RowsThatCannotBePaddedGoWithTheirLikes) {
  const std::vector<std::size_t> lengths{9, 9, 8, 7, 7, 7};
  EXPECT_EQ(sizes(make_batches(lengths, {.can_pad = false})), (std::vector<std::size_t>{2, 1, 3}));
  EXPECT_EQ(sizes(make_batches(lengths, {.batch_size = 2, .can_pad = false})), (std::vector<std::size_t>{2, 1, 2, 1}));
}

TEST(BatchesTest, PaddingStaysSmall) {
  std::vector<std::size_t> lengths(1000);
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = 1 + (i * 7919) % 128;
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  std::size_t padded = 0;
  for (const Batch& batch : make_batches(lengths, {.workers = 2}))
    padded += (batch.end - batch.begin) * lengths[batch.begin];
  const std::size_t tokens = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
  EXPECT_LT(static_cast<double>(padded), 1.05 * static_cast<double>(tokens));
}

TEST(BatchesTest, FewRowsAreSharedByAllWorkers) {
  const std::vector<std::size_t> lengths(8, 20);
  EXPECT_EQ(make_batches(lengths, {.workers = 1}).size(), 1U);
  EXPECT_GE(make_batches(lengths, {.workers = 4}).size(), 4U);
}

}  // namespace
}  // namespace onnxport::pipelines
