// A main for fuzz targets where libFuzzer is missing (GCC): runs the files given, then mutations of them. The same
// arguments always give the same inputs, so a failure is reproduced by the line that the driver prints.
//
//   <target> [--mutations=N] [--seed=N] [--first=N] [--seconds=N] [FILE or DIRECTORY]...

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
/// AddressSanitizer's, absent (null) in other builds.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Bytes = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

struct Options {
  std::uint64_t mutations = 1000;
  std::uint64_t seed = 1;
  std::uint64_t first = 0;  ///< number of the first mutation, to repeat one that failed
  std::uint64_t seconds = 60;
  std::vector<std::string> paths;
};

/// What is being run now, for the message of a crash: no allocation may happen there.
std::array<char, 512> current;

void report_failure() {
  std::fprintf(stderr, "\nfuzz: failed on %s\n", current.data());
  std::fflush(stderr);
}

void on_signal(int signal) {
  report_failure();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Bytes& input) {
  // An allocation of exactly the input's size lets AddressSanitizer see the first byte read past it.
  const auto exact = std::make_unique<std::uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), input.size());
}

std::uint64_t below(Random& random, std::uint64_t bound) { return bound == 0 ? 0 : random() % bound; }

/// Values at which parsers of lengths and offsets go wrong.
constexpr std::array<std::uint64_t, 10> interesting = {
    0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};

void mutate_once(Bytes& bytes, const std::vector<Bytes>& corpus, Random& random) {
  const std::size_t position = below(random, bytes.size() + 1);
  const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(position);
  const std::size_t length = std::min<std::size_t>(1 + below(random, 32), bytes.size() - position);
  switch (below(random, 8)) {
    case 0:  // flip a bit
      if (length > 0) *at = static_cast<std::uint8_t>(*at ^ (1U << below(random, 8)));
      return;
    case 1:  // overwrite a run
      for (std::size_t i = 0; i < length; ++i) bytes[position + i] = static_cast<std::uint8_t>(random());
      return;
    case 2: {  // overwrite a number, little endian
      const std::uint64_t value = interesting[below(random, interesting.size())];
      const std::size_t width = std::min<std::size_t>(std::size_t{1} << below(random, 4), bytes.size() - position);
      for (std::size_t i = 0; i < width; ++i) bytes[position + i] = static_cast<std::uint8_t>(value >> (8 * i));
      return;
    }
    case 3:  // truncate
      bytes.resize(position);
      return;
    case 4:  // remove a run
      bytes.erase(at, at + static_cast<std::ptrdiff_t>(length));
      return;
    case 5: {  // repeat a run
      const Bytes part(at, at + static_cast<std::ptrdiff_t>(length));
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(position), part.begin(), part.end());
      return;
    }
    case 6: {  // insert a run
      Bytes part(1 + below(random, 16));
      for (std::uint8_t& byte : part) byte = static_cast<std::uint8_t>(random());
      bytes.insert(at, part.begin(), part.end());
      return;
    }
    default: {  // continue with the end of another input
      const Bytes& other = corpus[below(random, corpus.size())];
      const auto from = other.begin() + static_cast<std::ptrdiff_t>(below(random, other.size() + 1));
      bytes.erase(at, bytes.end());
      bytes.insert(bytes.end(), from, other.end());
    }
  }
}

std::optional<Options> parse_options(int argument_count, char** arguments) {
  Options options;
  for (int i = 1; i < argument_count; ++i) {
    const std::string_view argument = arguments[i];
    if (!argument.starts_with("--")) {
      options.paths.emplace_back(argument);
      continue;
    }
    const std::size_t equals = argument.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = argument.substr(2, equals - 2);
    const std::string_view text = argument.substr(equals + 1);
    std::uint64_t* value = name == "mutations" ? &options.mutations
                           : name == "seed"    ? &options.seed
                           : name == "first"   ? &options.first
                           : name == "seconds" ? &options.seconds
                                               : nullptr;
    if (value == nullptr) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  }
  return options;
}

/// The files given and those in the directories given, in the order of their names: the mutations depend on it.
std::vector<std::filesystem::path> corpus_files(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

int fuzz(const Options& options) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  std::vector<Bytes> corpus;
  for (const std::filesystem::path& file : corpus_files(options.paths)) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
      std::fprintf(stderr, "fuzz: cannot read %s\n", file.c_str());
      return 2;
    }
    corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    std::snprintf(current.data(), current.size(), "%s", file.c_str());
    run(corpus.back());
  }
  const std::size_t files = corpus.size();
  if (corpus.empty()) corpus.emplace_back();
  std::snprintf(current.data(), current.size(), "an empty input");
  run({});

  std::uint64_t count = 0;
  for (; count < options.mutations && std::chrono::steady_clock::now() < end; ++count) {
    // Each mutation has a generator of its own, so that one is repeated without those before it.
    const std::uint64_t number = options.first + count;
    std::seed_seq sequence{options.seed, options.seed >> 32, number, number >> 32};
    Random random(sequence);
    Bytes input = corpus[below(random, corpus.size())];
    for (std::uint64_t steps = 1 + below(random, 6); steps > 0; --steps) mutate_once(input, corpus, random);
    std::snprintf(current.data(), current.size(), "a mutation; repeat it with --seed=%llu --first=%llu --mutations=1",
                  static_cast<unsigned long long>(options.seed), static_cast<unsigned long long>(number));
    run(input);
  }
  std::printf("fuzz: %zu files and %llu mutations of them, seed %llu\n", files, static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(options.seed));
  return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
  const std::optional<Options> options = parse_options(argument_count, arguments);
  if (!options) {
    std::fprintf(stderr, "usage: %s [--mutations=N] [--seed=N] [--first=N] [--seconds=N] [FILE or DIRECTORY]...\n",
                 arguments[0]);
    return 2;
  }
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(report_failure);
  } else {
    for (const int signal : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV}) std::signal(signal, on_signal);
  }
  try {
    return fuzz(*options);
  } catch (const std::exception& exception) {
    // A fuzz target catches the errors that its input may cause; any other exception is a finding.
    std::fprintf(stderr, "fuzz: uncaught exception: %s\n", exception.what());
  } catch (...) {
    std::fprintf(stderr, "fuzz: uncaught exception\n");
  }
  report_failure();
  return 1;
}
