#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace onnxport::bench {

/// A figure with its unit: "1.08 x", "31.2 ms", "48 MiB".
struct Figure {
  double value = 0;
  std::string_view unit;
};

/// Prints rows as they are measured: what, the figure, its limit if there is one, and whether that is kept. A limit
/// that is missed is marked and nothing more: on a machine that others use, it says little.
class Table {
 public:
  explicit Table(std::string_view title);

  void row(const std::string& what, Figure figure, std::optional<double> limit = std::nullopt);
  void note(const std::string& text);
};

/// Runs a benchmark's body; what it throws is printed, and makes the exit status 1.
int run_benchmark(const std::function<void()>& body);

}  // namespace onnxport::bench
