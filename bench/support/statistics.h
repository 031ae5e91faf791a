#pragma once

#include <functional>
#include <vector>

/// Times on a machine that others use, too: what is compared is measured in turns, and a ratio is the median of the
/// ratios of one turn each, so that a slow minute slows both sides.
namespace onnxport::bench {

/// Throws std::invalid_argument of an empty list.
double median(std::vector<double> values);

/// Median of numerators[i] / denominators[i].
double median_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators);

/// Geometric mean of the same ratios, for few of them with a systematic difference that cancels out.
double mean_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators);

/// Calls every function once a turn, beginning with another one each time, and returns each one's results by turn.
std::vector<std::vector<double>> take_turns(int turns, const std::vector<std::function<double()>>& functions);

}  // namespace onnxport::bench
