// Weights of 4 bits: the time to make them against that of reading the model, memory, cores, and onnxruntime's own
// tool; the decode step of what both have made.
//
//   build/bench/quantization [CHECKPOINT...]      gpt2 gpt2-1b
#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "graph/evaluate.h"
#include "runtime/session.h"
#include "support/checkpoints.h"
#include "support/environment.h"
#include "support/statistics.h"
#include "support/table.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;

constexpr double read_ratio_limit = 2.0;
constexpr double peer_ratio_limit = 1.0;
constexpr double memory_limit_mib = 512;
constexpr double mib = 1 << 20;
constexpr const char* block_size = "32";
constexpr int turns = 5;
/// Tokens in the cache of a decode step.
constexpr std::int64_t past_length = 128;
constexpr int decode_turns = 60;

/// Drops a file from the system's page cache, so that whoever reads it next waits for the disk.
void forget(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw std::runtime_error("cannot open " + file.string());
  ::fdatasync(descriptor);
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  ::close(descriptor);
}

struct Subject {
  fs::path model;   ///< exported; above 2 GB with its weights beside it
  fs::path output;  ///< directory for what is made of it

  std::vector<fs::path> files() const {
    std::vector<fs::path> all{model};
    if (const fs::path weights = model.string() + "_data"; fs::exists(weights)) all.push_back(weights);
    return all;
  }
  std::uintmax_t size() const {
    std::uintmax_t sum = 0;
    for (const fs::path& file : files()) sum += fs::file_size(file);
    return sum;
  }
  void forget() const {
    for (const fs::path& file : files()) bench::forget(file);
  }
};

Subject prepare(const CheckpointDescription& description) {
  const fs::path exported = data_directory() / (description.name + "-onnx");
  run_export(make_checkpoint(description), exported, {"--no-validate", "--task", description.task});
  return {exported / "model.onnx", data_directory() / (description.name + "-quantized")};
}

testing::ProcessResult quantize(const Subject& subject, const std::vector<std::string>& prefix = {}) {
  fs::remove_all(subject.output);
  ::sync();
  subject.forget();
  std::vector<std::string> command = prefix;
  command.insert(command.end(), {program().string(), "quantize", subject.model.parent_path().string(), "--weights",
                                 "int4", "--block-size", block_size, "-o", subject.output.string(), "--quiet"});
  return run(command);
}

void measure_reading(const Subject& subject, Table& table) {
  double peak = 0;
  const auto time_of_reading = [&] {
    subject.forget();
    std::vector<std::string> command{"/bin/cat"};
    for (const fs::path& file : subject.files()) command.push_back(file.string());
    return run(command, {.output_file = "/dev/null"}).seconds;
  };
  const auto time_of_quantizing = [&] {
    const testing::ProcessResult result = quantize(subject);
    peak = std::max(peak, static_cast<double>(result.peak_memory_bytes));
    return result.seconds;
  };
  const auto time_on_one_core = [&] { return quantize(subject, {"/usr/bin/taskset", "--cpu-list", "0"}).seconds; };
  const auto times = take_turns(turns, {time_of_reading, time_of_quantizing, time_on_one_core});
  table.row("int4 weights", {median(times[1]), "s"});
  table.row("... / reading the model from the disk", {median_ratio(times[1], times[0]), "x"}, read_ratio_limit);
  table.row("... on one core / on all", {median_ratio(times[2], times[1]), "x"});
  table.row("... peak resident memory", {peak / mib, "MiB"}, memory_limit_mib);
}

NamedArrays decode_inputs(const Session& session) {
  NamedArrays inputs;
  for (const Session::Value& input : session.inputs()) {
    std::vector<std::int64_t> shape{1, input.name == "attention_mask" ? past_length + 1 : 1};
    const bool is_past = input.name.starts_with("past_key_values");
    if (is_past) {
      // Heads and their width are fixed, batch and length are not.
      shape.clear();
      for (const std::int64_t size : input.shape) shape.push_back(size >= 0 ? size : shape.empty() ? 1 : past_length);
    }
    Array array(is_past ? DataType::Float32 : DataType::Int64, shape);
    for (std::int64_t i = 0; i < array.element_count(); ++i) {
      if (is_past) {
        array.mutable_data<float>()[i] = static_cast<float>(i % 17 - 8) / 16;
      } else {
        array.mutable_data<std::int64_t>()[i] = input.name == "position_ids" ? past_length : 1;
      }
    }
    inputs.emplace_back(input.name, std::move(array));
  }
  return inputs;
}

void compare_with_onnxruntime(const Subject& subject, Table& table) {
  const auto optimum = optimum_cli();
  if (!optimum) return table.note(how_to_get_peers());
  const fs::path python = optimum->parent_path() / "python";
  const fs::path script = fs::path(ONNXPORT_BENCH_SOURCE_DIRECTORY) / "bench/quantization.py";
  const fs::path peer = subject.output.string() + "-onnxruntime.onnx";
  double peak = 0;
  const auto time_of_peer = [&] {
    fs::remove(peer);
    ::sync();
    subject.forget();
    const testing::ProcessResult result =
        run({python.string(), script.string(), subject.model.string(), peer.string(), block_size});
    peak = std::max(peak, static_cast<double>(result.peak_memory_bytes));
    return result.seconds;
  };
  const auto times = take_turns(3, {[&] { return quantize(subject).seconds; }, time_of_peer});
  table.row("onnxruntime's MatMulNBitsQuantizer", {median(times[1]), "s"});
  table.row("... peak resident memory", {peak / mib, "MiB"});
  table.row("int4 weights / onnxruntime's", {median_ratio(times[0], times[1]), "x"}, peer_ratio_limit);

  std::deque<Session> sessions;
  std::vector<std::function<double()>> steps;
  for (const fs::path& file : {subject.output / "model.onnx", peer}) {
    sessions.emplace_back(file, SessionOptions{.intra_op_num_threads = 1});
    steps.emplace_back([&session = sessions.back(), inputs = decode_inputs(sessions.back())] {
      const auto start = std::chrono::steady_clock::now();
      session.run(inputs);
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    });
  }
  take_turns(5, steps);
  const auto latencies = take_turns(decode_turns, steps);
  table.row(fmt::format("decode step of int4, 1 thread, {} tokens before", past_length),
            {median(latencies[0]) * 1e3, "ms"});
  table.row("... / of onnxruntime's int4", {median_ratio(latencies[0], latencies[1]), "x"}, peer_ratio_limit);
  fs::remove(peer);
}

void measure(const CheckpointDescription& description) {
  const Subject subject = prepare(description);
  const std::uintmax_t size = subject.size();
  Table table(fmt::format("Quantization: {}, {:.0f} MB", description.name, static_cast<double>(size) / 1e6));
  measure_reading(subject, table);
  // The tool holds the model several times, and protobuf ends at 2 GB.
  if (size < std::uintmax_t{1} << 31) compare_with_onnxruntime(subject, table);
  fs::remove_all(subject.output);
}

}  // namespace
}  // namespace onnxport::bench

int main(int argc, char** argv) {
  const std::vector<std::string> names(argv + 1, argv + argc);
  return onnxport::bench::run_benchmark([&] {
    using namespace onnxport::bench;
    for (const CheckpointDescription& description : chosen(std::vector{gpt2(), gpt2_1b()}, names)) measure(description);
  });
}
