// How soon the program answers, and how large it is with what it brings along.
#include <array>
#include <string_view>

#include "support/environment.h"
#include "support/statistics.h"
#include "support/table.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;

constexpr double start_limit_ms = 20;
constexpr double size_limit_mb = 15;

double time_of(const std::vector<std::string>& command) { return run(command).seconds * 1e3; }

void measure_start(Table& table) {
  const auto times = take_turns(41, {[] {
                                       return time_of({program().string(), "--help"});
                                     },
                                     [] { return time_of({"/bin/true"}); }});
  table.row("onnxport --help", {median(times[0]), "ms"}, start_limit_ms);
  table.row("/bin/true, what starting any process takes", {median(times[1]), "ms"});
}

bool belongs_to_system(std::string_view library) {
  // The C library comes as several files, libstdc++ with libgcc_s.
  constexpr std::array<std::string_view, 8> names{"linux-vdso", "libc.",      "libm.",     "libdl.",
                                                  "libpthread", "libstdc++.", "libgcc_s.", "ld-linux"};
  for (std::string_view name : names)
    if (library.find(name) != std::string_view::npos) return true;
  return false;
}

/// The files in a line "libfmt.so.9 => /lib/x86_64-linux-gnu/libfmt.so.9 (0x...)" each; others are not files.
std::vector<fs::path> own_libraries() {
  // What ldd does: the dynamic linker lists what it would load.
  const std::string listing = run({program().string()}, {.environment = {{"LD_TRACE_LOADED_OBJECTS", "1"}}}).output;
  std::vector<fs::path> libraries;
  for (std::size_t begin = 0; begin < listing.size();) {
    const std::size_t end = std::min(listing.find('\n', begin), listing.size());
    const std::string_view line(listing.data() + begin, end - begin);
    begin = end + 1;
    const std::size_t arrow = line.find("=> /");
    const std::size_t address = line.find(" (", arrow == std::string_view::npos ? line.size() : arrow);
    if (address == std::string_view::npos || belongs_to_system(line)) continue;
    libraries.emplace_back(line.substr(arrow + 3, address - arrow - 3));
  }
  return libraries;
}

double megabytes(const fs::path& file) { return static_cast<double>(fs::file_size(file)) / 1e6; }

void measure_size(Table& table) {
  double total = megabytes(program());
  table.row("onnxport, as the release build strips it", {total, "MB"});
  for (const fs::path& library : own_libraries()) {
    table.row(library.filename().string(), {megabytes(library), "MB"});
    total += megabytes(library);
  }
  table.row("all but ONNX Runtime, the C and the C++ library", {total, "MB"}, size_limit_mb);
}

void measure() {
  Table table("Start and size");
  measure_start(table);
  measure_size(table);
}

}  // namespace
}  // namespace onnxport::bench

int main() { return onnxport::bench::run_benchmark(onnxport::bench::measure); }
