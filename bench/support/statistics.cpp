#include "support/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

namespace onnxport::bench {

double median(std::vector<double> values) {
  if (values.empty()) throw std::invalid_argument("the median of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double median_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < numerators.size(); ++i) ratios.push_back(numerators[i] / denominators[i]);
  return median(std::move(ratios));
}

double mean_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  if (numerators.empty()) throw std::invalid_argument("the mean of nothing");
  double sum = 0;
  for (std::size_t i = 0; i < numerators.size(); ++i) sum += std::log(numerators[i] / denominators[i]);
  return std::exp(sum / static_cast<double>(numerators.size()));
}

std::vector<std::vector<double>> take_turns(int turns, const std::vector<std::function<double()>>& functions) {
  std::vector<std::vector<double>> results(functions.size());
  for (int turn = 0; turn < turns; ++turn)
    for (std::size_t i = 0; i < functions.size(); ++i) {
      const std::size_t next = (static_cast<std::size_t>(turn) + i) % functions.size();
      results[next].push_back(functions[next]());
    }
  return results;
}

}  // namespace onnxport::bench
