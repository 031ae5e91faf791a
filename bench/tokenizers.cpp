// Throughput of tokenizers on ordinary text, beside the libraries that people use, in turns.
//
//   build/bench/tokenizers
//
// The peers need a Python environment with `tokenizers`, `tiktoken`, `rs-bpe` and `blingfire`: bench/peers.sh makes it.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "onnxport/tokenizer.h"
#include "support/environment.h"
#include "support/statistics.h"
#include "support/table.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t text_size = 5'200'000;
constexpr std::size_t document_size = 1000;
constexpr int turns = 5;

/// How much faster than a peer we are to be.
struct Peer {
  std::string name;
  double ids_limit = 1;
  double offsets_limit = 0;  ///< 0: the peer has no offsets
};

struct Subject {
  std::string name;
  std::string fixture;  ///< in tests/tokenizers/fixtures
  std::vector<Peer> peers;
};

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> result{
      {"WordPiece (MiniLM)", "minilm", {{"tokenizers", 8, 5}, {"blingfire-bert"}}},
      {"byte-level BPE (GPT-2)",
       "gpt2",
       {{"tokenizers", 8, 5}, {"tiktoken-gpt2"}, {"rs-bpe-cl100k"}, {"blingfire-gpt2"}}},
      {"Unigram (XLM-R)", "xlmr_unigram", {{"tokenizers", 5, 3}, {"blingfire-xlmr"}}},
      {"Unigram (T5)", "t5_unigram", {{"tokenizers", 5, 3}}},
      {"sentencepiece BPE (Mistral)", "mistral_v1_legacy", {{"tokenizers", 5, 3}}},
  };
  return result;
}

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Licences and the standard library of Python, cut into documents at ends of lines.
std::vector<std::string> ordinary_documents() {
  std::vector<fs::path> files;
  for (const char* directory : {"/usr/share/common-licenses", "/usr/lib/python3", "/usr/lib/python3.11"}) {
    if (!fs::exists(directory)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      const bool is_text = entry.path().extension() == ".py" || std::string_view(directory).ends_with("licenses");
      if (entry.is_regular_file() && is_text) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> documents(1);
  std::size_t size = 0;
  for (const fs::path& file : files) {
    const std::string text = read(file);
    const bool is_ordinary =
        std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t' || (c >= ' ' && c <= '~'); });
    for (std::size_t begin = 0; is_ordinary && begin < text.size() && size < text_size;) {
      const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
      documents.back().append(text, begin, end - begin);
      size += end - begin;
      begin = end;
      if (documents.back().size() > document_size) documents.emplace_back();
    }
  }
  documents.pop_back();
  if (documents.empty()) throw std::runtime_error("found no text to tokenize below /usr");
  return documents;
}

fs::path write_documents(const std::vector<std::string>& documents) {
  fs::create_directories(data_directory());
  const fs::path file = data_directory() / "documents.txt";
  std::ofstream stream(file, std::ios::binary);
  for (const std::string& document : documents) stream << document << '\0';
  return file;
}

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double time_of_encoding(const Tokenizer& tokenizer, const std::vector<std::string>& documents, EncodingFields fields) {
  const EncodeOptions options{.fields = fields};
  const double start = processor_seconds();
  for (const std::string& document : documents) tokenizer.encode(document, options);
  return processor_seconds() - start;
}

double time_of_batch(const Tokenizer& tokenizer, const std::vector<std::string>& documents, int threads) {
  const EncodeOptions options{.fields = EncodingFields::Ids, .threads = threads};
  const double start = clock_seconds();
  for (int i = 0; i < 4; ++i) tokenizer.encode_batch(documents, options);
  return clock_seconds() - start;
}

fs::path python() {
  const char* const venv = std::getenv("PEERS_VENV");
  return (venv != nullptr ? fs::path(venv) : peers_directory() / "venv") / "bin" / "python";
}

fs::path tokenizer_file(const Subject& subject) {
  return fs::path(ONNXPORT_BENCH_SOURCE_DIRECTORY) / "tests/tokenizers/fixtures" / subject.fixture / "tokenizer.json";
}

double time_of_peer(const std::string& peer, const fs::path& documents, const fs::path& tokenizer) {
  const fs::path script = fs::path(ONNXPORT_BENCH_SOURCE_DIRECTORY) / "bench/tokenizer_peers.py";
  return std::stod(run({python().string(), script.string(), peer, documents.string(), tokenizer.string()}).output);
}

void measure(const Subject& subject, const std::vector<std::string>& documents, const fs::path& documents_file) {
  Table table(fmt::format("Tokenizers: {}", subject.name));
  std::size_t bytes = 0;
  for (const std::string& document : documents) bytes += document.size();
  const double megabytes = static_cast<double>(bytes) / 1e6;
  Tokenizer tokenizer = Tokenizer::from_file(tokenizer_file(subject));
  tokenizer.set_truncation(std::nullopt);
  tokenizer.set_padding(std::nullopt);
  std::vector<std::function<double()>> functions{
      [&] { return time_of_encoding(tokenizer, documents, EncodingFields::Ids); },
      [&] { return time_of_encoding(tokenizer, documents, EncodingFields::Offsets); },
      [&] { return time_of_batch(tokenizer, documents, 1); },
      [&] { return time_of_batch(tokenizer, documents, 2); },
      [&] {
        const double start = processor_seconds();
        Tokenizer::from_file(tokenizer_file(subject));
        return processor_seconds() - start;
      },
  };
  const std::size_t own = functions.size();
  const bool has_peers = fs::exists(python());
  if (has_peers) {
    functions.emplace_back([&] { return time_of_peer("tokenizers-load", documents_file, tokenizer_file(subject)); });
    for (const Peer& peer : subject.peers) {
      functions.emplace_back([&] { return time_of_peer(peer.name, documents_file, tokenizer_file(subject)); });
    }
  } else {
    table.note(how_to_get_peers());
  }
  for (int i = 0; i < 2; ++i) functions[static_cast<std::size_t>(i)]();  // caches, as the peers warm theirs
  const auto times = take_turns(turns, functions);
  const double ids = median(times[0]);
  table.row("ids alone, one thread", {megabytes / ids, "MB/s"});
  table.row("with offsets and words", {megabytes / median(times[1]), "MB/s"});
  table.row("encode_batch, two threads / one", {median_ratio(times[2], times[3]), "x"});
  table.row("loading", {median(times[4]) * 1e3, "ms"});
  if (!has_peers) return;
  table.row("... / tokenizers", {median_ratio(times[4], times[own]), "x"}, 0.25);
  for (std::size_t i = 0; i < subject.peers.size(); ++i) {
    const Peer& peer = subject.peers[i];
    const auto& peer_times = times[own + 1 + i];
    table.row(peer.name, {megabytes / median(peer_times), "MB/s"});
    // Time relative to the peer's, so that less is better, as everywhere.
    table.row("... ids alone / it, in time", {median_ratio(times[0], peer_times), "x"}, 1 / peer.ids_limit);
    if (peer.offsets_limit > 0) {
      table.row("... with offsets / it, in time", {median_ratio(times[1], peer_times), "x"}, 1 / peer.offsets_limit);
    }
  }
}

void measure_all() {
  const std::vector<std::string> documents = ordinary_documents();
  const fs::path file = write_documents(documents);
  for (const Subject& subject : subjects()) measure(subject, documents, file);
}

}  // namespace
}  // namespace onnxport::bench

int main() { return onnxport::bench::run_benchmark(onnxport::bench::measure_all); }
