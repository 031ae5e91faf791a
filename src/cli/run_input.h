#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace onnxport::cli {

/// The lines that `onnxport run` is given: on the command line, in a file, or on standard input; read as they are asked
/// for.
class RunInput {
 public:
  struct Line {
    std::string text;
    std::size_t number = 0;  ///< counted from 1
  };

  /// `texts` if there are any, else the file, else standard input ("-" is standard input, too).
  /// Throws Error(InvalidArgument) for a file that cannot be opened.
  RunInput(std::vector<std::string> texts, const std::filesystem::path& file);

  /// Without its line feed. Throws Error(InvalidArgument) when reading fails.
  std::optional<Line> next();

  /// "line 3 of reviews.txt", "TEXT 3"
  std::string describe(std::size_t number) const;
  /// How far it is read; `total` is 0 where that is unknown.
  std::uint64_t done() const { return done_; }
  std::uint64_t total() const { return total_; }
  bool is_terminal() const;

 private:
  std::vector<std::string> texts_;
  std::string name_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream_;
  std::size_t number_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace onnxport::cli
