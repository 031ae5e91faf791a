// Sentence embeddings of all-MiniLM-L6-v2: the embeddings pipeline beside Python's, and beside what the matrix products
// alone would take.
//
//   build/bench/pipelines [SENTENCES [TURNS]]      2000 1
//   build/bench/pipelines --batches                which batches a worker runs fastest, the evidence for its rule
//
// The peers are those of bench/peers.sh; sentence-transformers must be in their environment, too.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <random>
#include <thread>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/parallel_for.h"
#include "onnxport/pipeline.h"
#include "ops/gemm.h"
#include "support/environment.h"
#include "support/statistics.h"
#include "support/table.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Of the pipeline's time relative to that of others: four times, three times as fast, and close to what is possible.
constexpr double kOptimumLimit = 1.0 / 4, kSentenceTransformersLimit = 1.0 / 3, kProductsLimit = 1.15;

/// Of all threads of this process: on a machine that others use it says more than the time by the clock.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// ---- Sentences ------------------------------------------------------------------------------------------------------

fs::path checkpoint() { return fs::path(ONNXPORT_BENCH_SOURCE_DIRECTORY) / ".deps/all-MiniLM-L6-v2"; }

/// Whole words of the vocabulary.
std::vector<std::string> vocabulary() {
  std::ifstream file(checkpoint() / "vocab.txt");
  if (!file) throw std::runtime_error("the demo's model is missing: run tools/fetch-demo-model.sh");
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word);)
    if (word.size() > 2 && std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; }))
      words.push_back(word);
  return words;
}

/// Lengths are spread as in ordinary text: most sentences are short, a few long; 44 tokens on average, 250 at most.
std::vector<std::string> make_sentences(std::size_t count) {
  const std::vector<std::string> words = vocabulary();
  std::mt19937 random(7);
  std::lognormal_distribution<double> length(3.4, 0.8);
  std::vector<std::string> sentences;
  for (std::size_t i = 0; i < count; ++i) {
    std::string sentence;
    const int word_count = std::clamp(static_cast<int>(length(random)), 2, 240);
    for (int word = 0; word < word_count; ++word) sentence += (word == 0 ? "" : " ") + words[random() % words.size()];
    sentences.push_back(sentence + ".");
  }
  return sentences;
}

// ---- The matrix products --------------------------------------------------------------------------------------------

/// Multiplications and additions of a token through MiniLM's linear layers.
constexpr double kHidden = 384, kFeedForward = 1536, kLayers = 6;
constexpr double kLinearOperations = 2 * kLayers * (4 * kHidden * kHidden + 2 * kHidden * kFeedForward);
/// And of its attention, for each token that it sees.
constexpr double kAttentionOperations = 2 * kLayers * 2 * kHidden;

double operations_of(const std::vector<std::size_t>& lengths) {
  double sum = 0;
  for (const std::size_t length : lengths) {
    const double tokens = static_cast<double>(length);
    sum += tokens * (kLinearOperations + tokens * kAttentionOperations);
  }
  return sum;
}

/// Operations a second of one thread that multiplies matrices of the model's sizes.
double measure_products(std::int64_t tokens) {
  const std::int64_t hidden = 384, feed_forward = 1536;
  const std::vector<float> a(static_cast<std::size_t>(tokens * feed_forward), 0.5F);
  const std::vector<float> b(static_cast<std::size_t>(hidden * feed_forward), 0.25F);
  std::vector<float> c(static_cast<std::size_t>(tokens * feed_forward));
  const auto multiply = [&](std::int64_t inner, std::int64_t columns) {
    ops::gemm(1, {a.data(), tokens, inner, inner}, {b.data(), inner, columns, columns}, 0, c.data(), columns);
  };
  double operations = 0;
  const Clock::time_point begin = Clock::now();
  while (seconds_since(begin) < 1) {
    for (int i = 0; i < 4; ++i) multiply(hidden, hidden);
    multiply(hidden, feed_forward);
    multiply(feed_forward, hidden);
    operations += static_cast<double>(tokens) * kLinearOperations / kLayers;
  }
  return operations / seconds_since(begin);
}

/// The same on all cores at a time, together.
double measure_products_on_all_cores() {
  const auto threads = static_cast<std::size_t>(thread_count());
  std::vector<double> rates(threads);
  {
    std::vector<std::jthread> workers;
    for (double& rate : rates) workers.emplace_back([&rate] { rate = measure_products(512); });
  }
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// ---- Peers ----------------------------------------------------------------------------------------------------------

/// A Python process that embeds a file of sentences whenever it is told to.
class Peer {
 public:
  Peer(const fs::path& python, const std::string& kind, const fs::path& exported) {
    std::array<int, 2> to{}, from{};
    // Closed in the other peers: each is to see the end of its own input.
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("pipe failed");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(to[0], STDIN_FILENO);
      ::dup2(from[1], STDOUT_FILENO);
      for (const int descriptor : {to[0], to[1], from[0], from[1]}) ::close(descriptor);
      ::setenv("HF_HUB_OFFLINE", "1", 1);
      const std::string script = (fs::path(ONNXPORT_BENCH_SOURCE_DIRECTORY) / "bench/pipelines.py").string();
      ::execl(python.c_str(), python.c_str(), script.c_str(), kind.c_str(), exported.c_str(), checkpoint().c_str(),
              nullptr);
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    input_.reset(::fdopen(to[1], "w"));
    output_.reset(::fdopen(from[0], "r"));
    if (read_line() != "ready") throw std::runtime_error(kind + " does not start, see above");
  }
  ~Peer() {
    input_.reset();
    ::waitpid(process_, nullptr, 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  double seconds(const fs::path& sentences) {
    fmt::print(input_.get(), "{}\n", sentences.string());
    std::fflush(input_.get());
    return std::stod(read_line());
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::string read_line() {
    std::array<char, 256> buffer{};
    if (std::fgets(buffer.data(), buffer.size(), output_.get()) == nullptr)
      throw std::runtime_error("a peer has ended");
    return {buffer.data(), std::strcspn(buffer.data(), "\n")};
  }

  pid_t process_ = -1;
  std::unique_ptr<std::FILE, Close> input_;
  std::unique_ptr<std::FILE, Close> output_;
};

// ---- Measuring ------------------------------------------------------------------------------------------------------

fs::path export_model() {
  const fs::path output = data_directory() / "all-MiniLM-L6-v2-onnx";
  run_export(checkpoint(), output, {"--no-validate"});
  return output;
}

/// What Optimum in Python opens: the transformer alone.
fs::path export_transformer() {
  const fs::path output = data_directory() / "all-MiniLM-L6-v2-features-onnx";
  run_export(checkpoint(), output, {"--no-validate", "--library-name", "transformers", "--task", "feature-extraction"});
  return output;
}

double embed(const EmbeddingsPipeline& pipeline, const std::vector<std::string>& sentences) {
  const Clock::time_point begin = Clock::now();
  if (pipeline(sentences).size() != sentences.size()) throw std::runtime_error("embeddings are missing");
  return seconds_since(begin);
}

std::vector<std::size_t> token_counts(const EmbeddingsPipeline& pipeline, const std::vector<std::string>& sentences) {
  std::vector<std::size_t> counts;
  const BatchEncoding encoded =
      pipeline.tokenizer()(sentences, {.truncation = TruncationStrategy::LongestFirst, .max_length = 256});
  for (const Encoding& encoding : encoded.encodings()) counts.push_back(encoding.size());
  return counts;
}

void compare(std::size_t count, int turns) {
  const std::vector<std::string> sentences = make_sentences(count);
  const fs::path file = data_directory() / "sentences.txt";
  const fs::path exported = export_model();
  std::ofstream out(file);
  for (const std::string& sentence : sentences) out << sentence << "\n";
  out.close();

  const EmbeddingsPipeline pipeline(exported);
  const double operations = operations_of(token_counts(pipeline, sentences));
  std::vector<std::string> names{"onnxport", "matrix products alone"};
  // Processor time of the pipeline, and operations for each second of it that the products take.
  std::vector<double> processor_times, processor_limits;
  const auto run_pipeline = [&] {
    const double begin = processor_seconds();
    const double seconds = embed(pipeline, sentences);
    processor_times.push_back(processor_seconds() - begin);
    return seconds;
  };
  const auto run_products = [&] {
    const double begin = processor_seconds();
    const Clock::time_point begin_time = Clock::now();
    const double rate = measure_products_on_all_cores();
    const double operations_done = rate * seconds_since(begin_time);
    processor_limits.push_back((processor_seconds() - begin) * operations / operations_done);
    return operations / rate;
  };
  std::vector<std::function<double()>> functions{run_pipeline, run_products};
  std::vector<std::unique_ptr<Peer>> peers;
  if (const auto optimum = optimum_cli()) {
    const fs::path transformer = export_transformer();
    for (const char* kind : {"optimum", "sentence-transformers", "optimum-sorted"}) {
      peers.push_back(std::make_unique<Peer>(optimum->parent_path() / "python", kind, transformer));
      names.emplace_back(kind);
      functions.emplace_back([peer = peers.back().get(), file] { return peer->seconds(file); });
    }
  }
  const auto times = take_turns(turns, functions);

  Table table(fmt::format("Sentence embeddings, all-MiniLM-L6-v2, {} sentences, {} cores: sentences a second", count,
                          thread_count()));
  for (std::size_t i = 0; i < names.size(); ++i)
    table.row(names[i], {static_cast<double>(count) / median(times[i]), "/s"});
  const auto compare_time = [&](std::size_t other, const std::string& name, std::optional<double> limit) {
    table.row("time relative to " + name, {median_ratio(times[0], times[other]), "x"}, limit);
  };
  compare_time(1, "the matrix products alone", kProductsLimit);
  table.row("processor time relative to that of the matrix products alone",
            {median_ratio(processor_times, processor_limits), "x"}, kProductsLimit);
  if (peers.empty()) {
    table.note(how_to_get_peers());
    return;
  }
  compare_time(2, "Optimum, batches of 32 in the order given", kOptimumLimit);
  compare_time(3, "sentence-transformers", kSentenceTransformersLimit);
  compare_time(4, "Optimum, batches of 32 sorted by length", std::nullopt);
}

/// Sentences of one length in batches of several sizes.
void measure_batches() {
  const fs::path exported = export_model();
  Table table("Batches, one worker: time for a token relative to the matrix products alone");
  for (const std::size_t words : {6U, 14U, 30U, 62U, 126U, 250U}) {
    const std::vector<std::string> words_of = vocabulary();
    std::string sentence;
    for (std::size_t i = 0; i < words; ++i) sentence += words_of[i * 7] + " ";
    for (const std::size_t tokens : {64U, 128U, 256U, 512U, 1024U, 2048U}) {
      const std::size_t batch_size = tokens / (words + 2);
      if (batch_size == 0) continue;
      const EmbeddingsPipeline pipeline(exported, {.num_workers = 1, .batch_size = batch_size});
      const std::vector<std::string> sentences(batch_size * std::max<std::size_t>(1, 8192 / tokens), sentence);
      const double operations = operations_of(token_counts(pipeline, sentences));
      const auto times = take_turns(
          3, {[&] { return embed(pipeline, sentences); }, [&] { return operations / measure_products(512); }});
      table.row(fmt::format("{} tokens x {}", words + 2, batch_size), {median_ratio(times[0], times[1]), "x"});
    }
  }
}

void measure(const std::vector<std::string>& arguments) {
  fs::create_directories(data_directory());
  if (!arguments.empty() && arguments[0] == "--batches") {
    measure_batches();
    return;
  }
  const std::size_t count = arguments.empty() ? 2000 : std::stoul(arguments[0]);
  compare(count, arguments.size() < 2 ? 1 : std::stoi(arguments[1]));
}

}  // namespace
}  // namespace onnxport::bench

int main(int argc, char** argv) {
  return onnxport::bench::run_benchmark([&] { onnxport::bench::measure({argv + 1, argv + argc}); });
}
