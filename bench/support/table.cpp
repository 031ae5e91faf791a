#include "support/table.h"

#include <cmath>
#include <cstdio>
#include <exception>

#include <fmt/core.h>

namespace onnxport::bench {
namespace {

/// Three digits or more: all of those before the point, and as many behind it as make three.
std::string format(double value, std::string_view unit) {
  const double size = std::fabs(value);
  const int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return fmt::format("{:.{}f} {:<3}", value, decimals, unit);
}

}  // namespace

Table::Table(std::string_view title) {
  fmt::print("\n{}\n{:<72}{:>14}{:>14}\n", title, "", "measured", "at most");
  std::fflush(stdout);
}

void Table::row(const std::string& what, Figure figure, std::optional<double> limit) {
  const std::string mark = !limit ? "" : figure.value <= *limit ? " ✓" : " ✗ missed";
  fmt::print("  {:<70}{:>14}{:>14}{}\n", what, format(figure.value, figure.unit),
             limit ? format(*limit, figure.unit) : "", mark);
  std::fflush(stdout);
}

void Table::note(const std::string& text) {
  fmt::print("  {}\n", text);
  std::fflush(stdout);
}

int run_benchmark(const std::function<void()>& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& exception) {
    std::fflush(stdout);
    fmt::print(stderr, "error: {}\n", exception.what());
    return 1;
  }
}

}  // namespace onnxport::bench
