// Latency of an exported encoder under ONNX Runtime, beside Optimum's exports of the same checkpoint, in one process.
//
//   build/bench/inference [CHECKPOINT...]      distilbert-base bert-base
#include <algorithm>
#include <chrono>
#include <deque>
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
using Clock = std::chrono::steady_clock;

constexpr double ratio_limit = 1.0;
constexpr std::int64_t batch_sizes[] = {1, 8};
constexpr std::int64_t lengths[] = {16, 128, 512};
constexpr int thread_counts[] = {1, 2};
/// What one combination of these may take for each model, within a number of turns that gives a median.
constexpr double seconds_for_each = 2;
constexpr int fewest_turns = 7;
constexpr int most_turns = 101;

struct ModelFile {
  std::string name;
  fs::path path;
};

struct InputSize {
  std::int64_t batch_size;
  std::int64_t length;
};

/// Optimum's exports, as far as bench/peers.sh has made them.
std::vector<ModelFile> peer_files(const std::string& checkpoint) {
  const fs::path directory = peers_directory() / checkpoint;
  std::vector<ModelFile> files{{"Optimum", directory / "plain" / "model.onnx"},
                               {"Optimum -O2", directory / "O2" / "model_optimized.onnx"},
                               {"Optimum -O3", directory / "O3" / "model_optimized.onnx"}};
  std::erase_if(files, [](const ModelFile& file) { return !fs::exists(file.path); });
  return files;
}

ModelFile own_file(const CheckpointDescription& description) {
  const fs::path output = data_directory() / (description.name + "-onnx");
  run_export(make_checkpoint(description), output, {"--no-validate"});
  return {"onnxport", output / "model.onnx"};
}

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

/// Seconds that one run takes.
double time_of_run(const Session& session, const NamedArrays& inputs) {
  // The threads of the session that ran before look for work for a while before they sleep; they are not to disturb.
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  const auto start = Clock::now();
  session.run(inputs);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Times of each session on inputs of one size, by turn.
std::vector<std::vector<double>> measure_size(const std::deque<Session>& sessions, const InputSize& size) {
  std::vector<NamedArrays> inputs;
  for (const Session& session : sessions) inputs.push_back(make_inputs(session, size));
  std::vector<std::function<double()>> runs;
  for (std::size_t i = 0; i < sessions.size(); ++i)
    runs.emplace_back([&, i] { return time_of_run(sessions[i], inputs[i]); });
  const std::vector<std::vector<double>> warm_up = take_turns(2, runs);
  const double turns = seconds_for_each / std::max(warm_up.front().back(), 1e-6);
  return take_turns(static_cast<int>(std::clamp<double>(turns, fewest_turns, most_turns)), runs);
}

void measure_threads(const std::vector<ModelFile>& files, int threads, Table& table) {
  std::deque<Session> sessions;
  for (const ModelFile& file : files) sessions.emplace_back(file.path, SessionOptions{.intra_op_num_threads = threads});
  for (const std::int64_t batch_size : batch_sizes)
    for (const std::int64_t length : lengths) {
      const auto times = measure_size(sessions, {batch_size, length});
      const std::string size =
          fmt::format("{} thread{}, {} x {}", threads, threads == 1 ? "" : "s", batch_size, length);
      table.row(size, {median(times[0]) * 1e3, "ms"});
      for (std::size_t i = 1; i < files.size(); ++i)
        table.row("... / " + files[i].name, {median_ratio(times[0], times[i]), "x"}, ratio_limit);
    }
}

void measure(const CheckpointDescription& description) {
  std::vector<ModelFile> files{own_file(description)};
  for (ModelFile& peer : peer_files(description.name)) files.push_back(std::move(peer));
  Table table(
      fmt::format("Inference: {}, ONNX Runtime {}, batch size x length", description.name, onnxruntime_version()));
  if (files.size() == 1) table.note(how_to_get_peers());
  for (const int threads : thread_counts) measure_threads(files, threads, table);
}

void measure_chosen(const std::vector<std::string>& names) {
  for (const CheckpointDescription* description : {&distilbert_base(), &bert_base()})
    if (names.empty() || std::find(names.begin(), names.end(), description->name) != names.end()) measure(*description);
}

}  // namespace
}  // namespace onnxport::bench

int main(int argc, char** argv) {
  const std::vector<std::string> names(argv + 1, argv + argc);
  return onnxport::bench::run_benchmark([&] { onnxport::bench::measure_chosen(names); });
}
