// What an export costs: time against copying the weights, memory, and with validation time against Optimum.
//
//   build/bench/export [CHECKPOINT...]      some of the checkpoints only: distilbert-base bert-base bert-1b
//   build/bench/export --checkpoints        makes them and prints where they are (for bench/peers.sh)
#include <algorithm>
#include <fstream>

#include <fmt/core.h>
#include <unistd.h>

#include "support/checkpoints.h"
#include "support/environment.h"
#include "support/statistics.h"
#include "support/table.h"
#include "support/torch_file.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;

constexpr double copy_ratio_limit = 1.5;
constexpr double reference_limit_ms = 50;
constexpr double export_memory_limit_mib = 256;
constexpr double validation_memory_limit_mib = 1024;
constexpr double optimum_ratio_limit = 1.0 / 8;
constexpr double mib = 1 << 20;

/// A checkpoint, its weights in the system's page cache, and where exports of it go.
struct Subject {
  const CheckpointDescription& description;
  fs::path checkpoint;
  fs::path output;

  std::string label() const {
    return fmt::format("{}, {}, {:.0f} MB", description.name, description.task,
                       static_cast<double>(fs::file_size(weights_file(checkpoint))) / 1e6);
  }
};

void read_whole(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> buffer(std::size_t{1} << 20);
  while (stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) continue;
}

Subject prepare(const CheckpointDescription& description) {
  Subject subject{description, make_checkpoint(description), data_directory() / (description.name + "-output")};
  read_whole(weights_file(subject.checkpoint));
  return subject;
}

/// Removes what the measurement before left and waits until all else that was written is on the disk, so that no
/// measurement pays for the one before.
void start_clean(const fs::path& output) {
  fs::remove_all(output);
  ::sync();
}

double time_of_copy(const Subject& subject) {
  start_clean(subject.output);
  fs::create_directories(subject.output);
  return run({"/bin/cp", weights_file(subject.checkpoint).string(), subject.output.string()}).seconds;
}

bool is_large(const Subject& subject) {
  return fs::file_size(weights_file(subject.checkpoint)) > (std::uintmax_t{1} << 31);
}

void measure_copying_export(const Subject& subject, Table& table) {
  double peak = 0;
  const auto time_of_export = [&] {
    start_clean(subject.output);
    const testing::ProcessResult result = run_export(subject.checkpoint, subject.output, {"--no-validate"});
    peak = std::max(peak, static_cast<double>(result.peak_memory_bytes));
    return result.seconds;
  };
  const auto times = take_turns(is_large(subject) ? 5 : 11, {time_of_export, [&] { return time_of_copy(subject); }});
  table.row("export without validation", {median(times[0]), "s"});
  table.row("... / cp of the weights", {median_ratio(times[0], times[1]), "x"}, copy_ratio_limit);
  table.row("... peak resident memory", {peak / mib, "MiB"}, export_memory_limit_mib);
}

void measure_referring_export(const Subject& subject, Table& table) {
  const auto times = take_turns(21, {[&] {
                                  const std::vector<std::string> options{"--no-validate", "--weights", "reference"};
                                  return run_export(subject.checkpoint, subject.output, options).seconds;
                                }});
  table.row("export --weights reference without validation", {median(times[0]) * 1e3, "ms"}, reference_limit_ms);
}

/// The same weights as pytorch_model.bin, whose tensors are copied from where they lie in it.
void measure_export_of_torch_file(const Subject& subject, Table& table) {
  const fs::path directory = data_directory() / (subject.description.name + "-torch");
  const fs::path weights = directory / "pytorch_model.bin";
  if (!fs::exists(directory / "config.json")) {
    fs::create_directories(directory);
    write_torch_file(weights_file(subject.checkpoint), weights);
    fs::copy_file(subject.checkpoint / "config.json", directory / "config.json");
  }
  read_whole(weights);
  double peak = 0;
  const auto time_of_export = [&] {
    start_clean(subject.output);
    const testing::ProcessResult result = run_export(directory, subject.output, {"--no-validate"});
    peak = std::max(peak, static_cast<double>(result.peak_memory_bytes));
    return result.seconds;
  };
  const auto time_of_its_copy = [&] {
    start_clean(subject.output);
    fs::create_directories(subject.output);
    return run({"/bin/cp", weights.string(), subject.output.string()}).seconds;
  };
  const auto times = take_turns(is_large(subject) ? 5 : 11, {time_of_export, time_of_its_copy});
  table.row("export of pytorch_model.bin without validation", {median(times[0]), "s"});
  table.row("... / cp of the weights", {median_ratio(times[0], times[1]), "x"}, copy_ratio_limit);
  table.row("... peak resident memory", {peak / mib, "MiB"}, export_memory_limit_mib);
}

void measure_validating_export(const Subject& subject, Table& table) {
  double peak = 0;
  const auto times = take_turns(is_large(subject) ? 1 : 5, {[&] {
                                  start_clean(subject.output);
                                  const testing::ProcessResult result = run_export(subject.checkpoint, subject.output);
                                  peak = std::max(peak, static_cast<double>(result.peak_memory_bytes));
                                  return result.seconds;
                                }});
  const double mapped = static_cast<double>(fs::file_size(weights_file(subject.checkpoint)));
  table.row("export with validation", {median(times[0]), "s"});
  table.row("... peak resident memory beyond the mapped weights", {(peak - mapped) / mib, "MiB"},
            validation_memory_limit_mib);
}

void compare_with_optimum(const Subject& subject, Table& table) {
  const auto optimum = optimum_cli();
  if (!optimum) return table.note(how_to_get_peers());
  double peak = 0;
  const auto time_of_ours = [&] {
    start_clean(subject.output);
    return run_export(subject.checkpoint, subject.output).seconds;
  };
  const auto time_of_optimum = [&] {
    start_clean(subject.output);
    const testing::ProcessResult result =
        run({optimum->string(), "export", "onnx", "--model", subject.checkpoint.string(), "--task",
             subject.description.task, subject.output.string()},
            {.environment = {{"HF_HUB_OFFLINE", "1"}}});
    peak = std::max(peak, static_cast<double>(result.peak_memory_bytes));
    return result.seconds;
  };
  const auto times = take_turns(5, {time_of_ours, time_of_optimum});
  table.row("Optimum's export with validation", {median(times[1]), "s"});
  table.row("... peak resident memory", {peak / mib, "MiB"});
  table.row("export with validation / Optimum's", {median_ratio(times[0], times[1]), "x"}, optimum_ratio_limit);
}

void measure(const CheckpointDescription& description) {
  const Subject subject = prepare(description);
  Table table("Export: " + subject.label());
  measure_copying_export(subject, table);
  measure_referring_export(subject, table);
  measure_export_of_torch_file(subject, table);
  measure_validating_export(subject, table);
  if (!is_large(subject)) compare_with_optimum(subject, table);
  fs::remove_all(subject.output);
}

void run_arguments(const std::vector<std::string>& arguments) {
  if (arguments == std::vector<std::string>{"--checkpoints"}) {
    for (const CheckpointDescription& description : checkpoint_descriptions())
      fmt::print("{}\n", make_checkpoint(description).string());
    return;
  }
  for (const CheckpointDescription& description : chosen(checkpoint_descriptions(), arguments)) measure(description);
}

}  // namespace
}  // namespace onnxport::bench

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return onnxport::bench::run_benchmark([&] { onnxport::bench::run_arguments(arguments); });
}
