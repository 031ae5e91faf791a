#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace onnxport::pipelines {

/// Rows [begin, end) that the model runs at once.
struct Batch {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Batch&) const = default;
};

struct BatchRule {
  std::size_t batch_size = 0;  ///< most rows of a batch; 0: by their lengths
  bool can_pad = true;         ///< else all rows of a batch have one length
  std::size_t workers = 1;     ///< batches that run at a time
};

/// Cuts rows, whose lengths in tokens are sorted downwards, into batches that a worker of one thread runs fast.
std::vector<Batch> make_batches(std::span<const std::size_t> lengths, const BatchRule& rule);

}  // namespace onnxport::pipelines
