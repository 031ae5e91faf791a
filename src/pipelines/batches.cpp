#include "pipelines/batches.h"

#include <algorithm>
#include <numeric>

namespace onnxport::pipelines {
namespace {

/// Tokens of a batch, padding included. Fewer make matrix products inefficient and let the cost of a run show, more
/// leave the caches (bench/pipelines.cpp --batches measures it).
constexpr std::size_t kTokens = 512;

/// A row may be shorter than the batch's longest by a sixth, so that padding never costs more than that.
bool is_near(std::size_t length, std::size_t longest) { return length * 6 >= longest * 5; }

/// No more tokens than a worker's share, so that few rows still keep all workers busy.
std::size_t token_budget(std::span<const std::size_t> lengths, std::size_t workers) {
  const std::size_t total = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
  return std::min(kTokens, (total + workers - 1) / workers);
}

}  // namespace

std::vector<Batch> make_batches(std::span<const std::size_t> lengths, const BatchRule& rule) {
  const std::size_t budget = token_budget(lengths, std::max<std::size_t>(rule.workers, 1));
  std::vector<Batch> batches;
  for (std::size_t begin = 0; begin < lengths.size(); begin = batches.back().end) {
    const std::size_t longest = lengths[begin];
    const auto has_room = [&](std::size_t row) {
      if (!rule.can_pad && lengths[row] != longest) return false;
      if (rule.batch_size > 0) return row - begin < rule.batch_size;
      return (row - begin + 1) * longest <= budget && is_near(lengths[row], longest);
    };
    std::size_t end = begin + 1;
    while (end < lengths.size() && has_room(end)) ++end;
    batches.push_back({begin, end});
  }
  return batches;
}

}  // namespace onnxport::pipelines
