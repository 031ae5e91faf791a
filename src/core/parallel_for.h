#pragma once

#include <cstdint>
#include <functional>

namespace onnxport {

/// Calls body(begin, end) on disjoint ranges that cover [0, count), on all cores; ranges hold at least `grain` items.
/// Runs in the caller alone when count <= grain, inside another parallel_for, and while another thread's parallel_for
/// has the workers. The first exception of a body is rethrown here; ranges not yet begun are then left out.
void parallel_for(std::int64_t count, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body);

/// How many threads parallel_for uses at most, the caller among them: the cores that this process may run on.
int thread_count();

}  // namespace onnxport
