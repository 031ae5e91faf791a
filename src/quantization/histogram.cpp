// numpy's histogram and what onnxruntime's HistogramCollector makes of it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "quantization/calibration.h"

namespace onnxport::quantization {
namespace {

std::int64_t total(std::span<const std::int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

ValueRange within(ValueRange range, ValueRange seen) {
  return {std::max(range.minimum, seen.minimum), std::min(range.maximum, seen.maximum)};
}

/// smooth_distribution: zeros become a little, which the others give. Empty if all are zero.
std::vector<float> smoothed(const std::vector<std::int64_t>& counts) {
  const auto zeros = static_cast<double>(std::count(counts.begin(), counts.end(), 0));
  const double others = static_cast<double>(counts.size()) - zeros;
  if (others == 0) return {};
  constexpr float eps = 0.0001F;
  const auto taken = static_cast<float>(0.0001 * zeros / others);
  std::vector<float> result(counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i)
    result[i] = static_cast<float>(counts[i]) + (counts[i] == 0 ? eps : -taken);
  return result;
}

/// Kullback-Leibler divergence of two distributions, which need not be normalized.
double divergence(std::vector<float> p, std::vector<float> q) {
  const auto normalize = [](std::vector<float>& values) {
    const auto sum = static_cast<float>(std::accumulate(values.begin(), values.end(), 0.0));
    for (float& value : values) value /= sum;
  };
  normalize(p);
  normalize(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] <= 0 || q[i] <= 0) return std::numeric_limits<double>::infinity();
    sum += static_cast<double>(p[i] * std::log(p[i] / q[i]));
  }
  return sum;
}

/// A part of the histogram, with all beyond it in its outermost bins, against the same in `quantized_bins` steps.
double quantization_divergence(std::span<const std::int64_t> counts, std::size_t begin, std::size_t end,
                               std::size_t quantized_bins) {
  const std::span<const std::int64_t> part = counts.subspan(begin, end - begin);
  std::vector<std::int64_t> p(part.begin(), part.end());
  p.front() += total(counts.first(begin));
  p.back() += total(counts.subspan(end));

  const std::size_t merged = part.size() / quantized_bins;
  std::vector<std::int64_t> q(p.size());
  for (std::size_t bin = 0; bin < quantized_bins; ++bin) {
    const std::size_t first = bin * merged;
    std::int64_t sum = total(part.subspan(first, merged));
    if (bin + 1 == quantized_bins) sum += total(part.subspan(quantized_bins * merged));
    const auto p_bin = p.begin() + static_cast<std::ptrdiff_t>(first);
    const auto filled =
        std::ssize(part.subspan(first, merged)) - std::count(p_bin, p_bin + static_cast<std::ptrdiff_t>(merged), 0);
    if (filled == 0) continue;
    std::fill_n(q.begin() + static_cast<std::ptrdiff_t>(first), merged,
                static_cast<std::int64_t>(static_cast<double>(sum) / static_cast<double>(filled)));
  }
  std::vector<float> smooth_p = smoothed(p);
  std::vector<float> smooth_q = smoothed(q);
  if (smooth_p.empty() || smooth_q.empty()) return std::numeric_limits<double>::infinity();
  return divergence(std::move(smooth_p), std::move(smooth_q));
}

}  // namespace

Histogram empty_histogram(float threshold, std::size_t bins) {
  const float first = threshold == 0 ? -0.5F : -threshold;
  const float last = threshold == 0 ? 0.5F : threshold;
  Histogram histogram{std::vector<std::int64_t>(bins), std::vector<float>(bins + 1)};
  const float step = (last - first) / static_cast<float>(bins);
  for (std::size_t i = 0; i < bins; ++i) histogram.edges[i] = static_cast<float>(i) * step + first;
  histogram.edges[bins] = last;
  return histogram;
}

void add_values(Histogram& histogram, std::span<const float> values) {
  const auto bins = static_cast<std::int64_t>(histogram.counts.size());
  const std::vector<float>& edges = histogram.edges;
  const float first = edges.front();
  const float last = edges.back();
  const float width = last - first;
  if (!std::isfinite(width)) return;  // attention masks of -inf or nearly: bins cannot tell anything
  for (const float value : values) {
    if (!(value >= first && value <= last)) continue;
    auto index = static_cast<std::int64_t>((value - first) / width * static_cast<float>(bins));
    if (index == bins) --index;
    // The product may have been rounded beyond an edge.
    if (value < edges[static_cast<std::size_t>(index)]) --index;
    if (value >= edges[static_cast<std::size_t>(index) + 1] && index != bins - 1) ++index;
    ++histogram.counts[static_cast<std::size_t>(index)];
  }
}

ValueRange percentile_range(const Histogram& histogram, double percentile, ValueRange seen) {
  const auto sum = static_cast<double>(total(histogram.counts));
  if (sum == 0) return seen;
  std::vector<double> cumulated;
  double running = 0;
  for (const std::int64_t count : histogram.counts) cumulated.push_back(running += static_cast<double>(count) / sum);
  const double cut = (100.0 - percentile) / 200.0;
  const auto edge = [&](double part) {
    return histogram.edges[static_cast<std::size_t>(std::lower_bound(cumulated.begin(), cumulated.end(), part) -
                                                    cumulated.begin())];
  };
  return within({edge(cut), edge(1.0 - cut)}, seen);
}

ValueRange entropy_range(const Histogram& histogram, std::size_t quantized_bins, ValueRange seen) {
  if (total(histogram.counts) == 0) return seen;
  const std::size_t bins = histogram.counts.size();
  const std::size_t zero = bins / 2;
  const std::size_t half = quantized_bins / 2;
  double least = std::numeric_limits<double>::infinity();
  ValueRange best{histogram.edges.front(), histogram.edges.back()};
  bool is_first = true;
  for (std::size_t i = half; i <= zero; ++i) {
    const std::size_t begin = zero - i;
    const std::size_t end = std::min(zero + i + 1, bins);
    const double found = quantization_divergence(histogram.counts, begin, end, quantized_bins);
    if (is_first || found < least) {
      least = found;
      best = {histogram.edges[begin], histogram.edges[end]};
    }
    is_first = false;
  }
  return within(best, seen);
}

}  // namespace onnxport::quantization
