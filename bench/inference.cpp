// Latency of an exported encoder under ONNX Runtime, beside Optimum's exports of the same checkpoint, in one process.
//
//   build/bench/inference [CHECKPOINT...]      distilbert-base bert-base
#include <algorithm>
#include <chrono>
#include <ctime>
#include <deque>
#include <optional>
#include <thread>

#include <fmt/core.h>

#include "graph/evaluate.h"
#include "runtime/session.h"
#include "support/checkpoints.h"
#include "support/environment.h"
#include "support/statistics.h"
#include "support/table.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;

constexpr double ratio_limit = 1.0;
constexpr int thread_counts[] = {1, 2};
/// For each file, size and order of the files: seconds to spend, and turns at most.
constexpr double seconds_for_each = 0.7;
constexpr int most_turns = 40;
/// A run that takes this long does not show what the first one does beside computing.
constexpr double long_run = 1;

struct ModelFile {
  std::string name;
  fs::path path;
};

struct InputSize {
  std::int64_t batch_size;
  std::int64_t length;
};
constexpr InputSize sizes[] = {{1, 16}, {1, 128}, {1, 512}, {8, 16}, {8, 128}, {8, 512}};

/// Optimum's exports, as far as bench/peers.sh has made them.
std::vector<ModelFile> peer_files(const std::string& checkpoint) {
  const fs::path directory = peers_directory() / checkpoint;
  std::vector<ModelFile> files{{"Optimum", directory / "plain" / "model.onnx"},
                               {"Optimum -O2", directory / "O2" / "model_optimized.onnx"},
                               {"Optimum -O3", directory / "O3" / "model_optimized.onnx"},
                               {"Optimum int8", directory / "int8" / "model_quantized.onnx"}};
  std::erase_if(files, [](const ModelFile& file) { return !fs::exists(file.path); });
  return files;
}

/// An export of ours at a level of --optimize; "" is the plain one.
ModelFile own_file(const CheckpointDescription& description, const std::string& level) {
  const fs::path output = data_directory() / (description.name + "-onnx" + level);
  std::vector<std::string> options{"--no-validate"};
  if (!level.empty()) options.insert(options.end(), {"--optimize", level});
  run_export(make_checkpoint(description), output, options);
  return {level.empty() ? "onnxport" : "onnxport -" + level, output / "model.onnx"};
}

/// The plain export in 8-bit integers, for the processors that the peer's is made for.
ModelFile own_int8_file(const ModelFile& plain) {
  const fs::path output = plain.path.parent_path().string() + "-int8";
  fs::remove_all(output);
  run({program().string(), "onnxruntime", "quantize", "--avx2", "--quiet", "--onnx_model",
       plain.path.parent_path().string(), "-o", output.string()});
  return {"onnxport int8", output / "model_quantized.onnx"};
}

/// Which file is set against which.
struct Comparison {
  std::string_view own;
  std::string_view peer;
};
constexpr Comparison comparisons[] = {{"onnxport", "Optimum"},         {"onnxport", "Optimum -O2"},
                                      {"onnxport", "Optimum -O3"},     {"onnxport -O2", "onnxport"},
                                      {"onnxport -O2", "Optimum -O2"}, {"onnxport -O3", "Optimum -O3"},
                                      {"onnxport int8", "onnxport"},   {"onnxport int8", "Optimum int8"}};

/// Token ids anywhere in the vocabulary, no padding: what the ids are does not change the work.
NamedArrays make_inputs(const Session& session, const InputSize& size) {
  NamedArrays inputs;
  for (const Session::Value& input : session.inputs()) {
    Array array(DataType::Int64, {size.batch_size, size.length});
    auto* values = array.mutable_data<std::int64_t>();
    for (std::int64_t i = 0; i < array.element_count(); ++i)
      values[i] = input.name == "input_ids" ? 1000 + i * 7919 % 20000 : input.name == "attention_mask" ? 1 : 0;
    inputs.emplace_back(input.name, std::move(array));
  }
  return inputs;
}

/// On one thread its processor time, which is that of the clock but for what others do on the machine.
double seconds(int threads) {
  timespec time{};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double time_of_run(const Session& session, const NamedArrays& inputs, int threads) {
  // The threads of the session that ran before look for work for a while before they sleep; they are not to disturb.
  if (threads > 1) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  const double start = seconds(threads);
  session.run(inputs);
  return seconds(threads) - start;
}

/// The median time of each session on inputs of one size.
std::vector<double> measure_size(const std::deque<Session>& sessions, const InputSize& size, int threads) {
  std::vector<NamedArrays> inputs;
  for (const Session& session : sessions) inputs.push_back(make_inputs(session, size));
  std::vector<std::function<double()>> runs;
  for (std::size_t i = 0; i < sessions.size(); ++i)
    runs.emplace_back([&, i] { return time_of_run(sessions[i], inputs[i], threads); });
  std::vector<std::vector<double>> times = take_turns(1, runs);
  const double first = times.front().front();
  if (first < long_run)
    times = take_turns(static_cast<int>(std::clamp<double>(seconds_for_each / first, 1, most_turns)), runs);
  std::vector<double> medians;
  for (std::vector<double>& list : times) medians.push_back(median(std::move(list)));
  return medians;
}

/// By size, file and order: the sessions are made as often as there are files, each time in another order. Where in
/// memory a session's weights come to lie makes up to 8 % of its time: the same file loaded twice shows as much.
std::vector<std::vector<std::vector<double>>> measure_orders(const std::vector<ModelFile>& files, int threads) {
  const std::size_t count = files.size();
  std::vector<std::vector<std::vector<double>>> times(std::size(sizes), std::vector<std::vector<double>>(count));
  for (std::size_t order = 0; order < count; ++order) {
    std::deque<Session> sessions;
    for (std::size_t i = 0; i < count; ++i)
      sessions.emplace_back(files[(order + i) % count].path, SessionOptions{.intra_op_num_threads = threads});
    for (std::size_t size = 0; size < std::size(sizes); ++size) {
      const std::vector<double> medians = measure_size(sessions, sizes[size], threads);
      for (std::size_t i = 0; i < count; ++i) times[size][(order + i) % count].push_back(medians[i]);
    }
  }
  return times;
}

std::optional<std::size_t> index_of(const std::vector<ModelFile>& files, std::string_view name) {
  for (std::size_t i = 0; i < files.size(); ++i)
    if (files[i].name == name) return i;
  return std::nullopt;
}

void measure_threads(const std::vector<ModelFile>& files, int threads, Table& table) {
  const auto times = measure_orders(files, threads);
  for (std::size_t size = 0; size < std::size(sizes); ++size) {
    const auto& [batch_size, length] = sizes[size];
    table.row(fmt::format("{} thread{}, {} x {}", threads, threads == 1 ? "" : "s", batch_size, length),
              {median(times[size][0]) * 1e3, "ms"});
    for (const auto& [own, peer] : comparisons) {
      const auto numerator = index_of(files, own);
      const auto denominator = index_of(files, peer);
      if (!numerator || !denominator) continue;
      table.row(fmt::format("... {} / {}", own, peer),
                {mean_ratio(times[size][*numerator], times[size][*denominator]), "x"}, ratio_limit);
    }
  }
}

void measure(const CheckpointDescription& description) {
  std::vector<ModelFile> files;
  for (const char* level : {"", "O2", "O3"}) files.push_back(own_file(description, level));
  files.push_back(own_int8_file(files.front()));
  std::vector<ModelFile> peers = peer_files(description.name);
  Table table(
      fmt::format("Inference: {}, ONNX Runtime {}, batch size x length", description.name, onnxruntime_version()));
  if (peers.empty()) table.note(how_to_get_peers());
  files.insert(files.end(), peers.begin(), peers.end());
  for (const int threads : thread_counts) measure_threads(files, threads, table);
}

}  // namespace
}  // namespace onnxport::bench

int main(int argc, char** argv) {
  const std::vector<std::string> names(argv + 1, argv + argc);
  return onnxport::bench::run_benchmark([&] {
    using namespace onnxport::bench;
    for (const CheckpointDescription& description : chosen(std::vector{distilbert_base(), bert_base()}, names))
      measure(description);
  });
}
