#include "core/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace onnxport {
namespace {

using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;

Ranges ranges_of(std::int64_t count, std::int64_t grain) {
  std::mutex mutex;
  Ranges ranges;
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::scoped_lock lock(mutex);
    ranges.emplace_back(begin, end);
  });
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

TEST(ParallelForTest, RangesCoverEverythingOnce) {
  for (const std::int64_t count : {1, 2, 7, 64, 1000, 99'991}) {
    for (const std::int64_t grain : {1, 3, 100, 5000}) {
      std::int64_t position = 0;
      for (const auto& [begin, end] : ranges_of(count, grain)) {
        EXPECT_EQ(begin, position);
        EXPECT_GE(end - begin, std::min(grain, count));
        position = end;
      }
      EXPECT_EQ(position, count);
    }
  }
}

TEST(ParallelForTest, NothingToDo) {
  EXPECT_TRUE(ranges_of(0, 1).empty());
  EXPECT_TRUE(ranges_of(-5, 1).empty());
}

TEST(ParallelForTest, SmallCountsStayInTheCaller) {
  const std::thread::id caller = std::this_thread::get_id();
  int calls = 0;
  parallel_for(100, 100, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 100);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST(ParallelForTest, GrainBelowOneCountsAsOne) {
  EXPECT_FALSE(ranges_of(10, 0).empty());
  EXPECT_FALSE(ranges_of(10, -1).empty());
}

TEST(ParallelForTest, HugeCountsDoNotOverflow) {
  constexpr std::int64_t kCount = std::numeric_limits<std::int64_t>::max();
  const Ranges ranges = ranges_of(kCount, 1);
  EXPECT_EQ(ranges.front().first, 0);
  EXPECT_EQ(ranges.back().second, kCount);
}

TEST(ParallelForTest, ExceptionsReachTheCallerAndThePoolGoesOn) {
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(parallel_for(1000, 1, [](std::int64_t, std::int64_t) { throw std::runtime_error("in a body"); }),
                 std::runtime_error);
  }
  EXPECT_THROW(parallel_for(1, 1, [](std::int64_t, std::int64_t) { throw std::runtime_error("inline"); }),
               std::runtime_error);
  std::atomic<std::int64_t> sum = 0;
  parallel_for(1000, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum, 1000);
}

TEST(ParallelForTest, NestedCallsRunInline) {
  std::atomic<std::int64_t> sum = 0;
  parallel_for(16, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::thread::id outer = std::this_thread::get_id();
    for (std::int64_t index = begin; index < end; ++index) {
      parallel_for(1000, 1, [&](std::int64_t inner_begin, std::int64_t inner_end) {
        EXPECT_EQ(std::this_thread::get_id(), outer);
        sum += inner_end - inner_begin;
      });
    }
  });
  EXPECT_EQ(sum, 16'000);
}

TEST(ParallelForTest, SeveralCallersAtOnce) {
  std::atomic<std::int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        parallel_for(64, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 64);
}

TEST(ParallelForTest, UsesNoMoreThreadsThanItSays) {
  EXPECT_GE(thread_count(), 1);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  parallel_for(10'000, 1, [&](std::int64_t, std::int64_t) {
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_LE(threads.size(), static_cast<std::size_t>(thread_count()));
}

}  // namespace
}  // namespace onnxport
