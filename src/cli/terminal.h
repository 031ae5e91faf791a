#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "onnxport/exporter.h"

namespace onnxport::cli {

/// Columns of the terminal that `stream` writes to; 0 if it writes to something else.
int terminal_columns(std::FILE* stream);

/// Text with control characters other than tab and newline replaced by spaces: names out of a checkpoint must not draw
/// on the user's terminal.
std::string printable(std::string_view text);

/// "onnxport: error: MESSAGE" on stderr; further lines of the message are indented.
void print_message(std::string_view kind, std::string_view message);

/// Writes to stdout what buffers hold. Throws Error(OutputFailed) if that or an earlier write went wrong.
void flush_stdout();

/// Where the lines of a running command go: its log to stdout, warnings and notes to stderr. On a terminal marks are
/// coloured (unless NO_COLOR is set) and progress is drawn as a bar below the lines; elsewhere there is nothing of it.
class Terminal {
 public:
  struct Options {
    bool log = true;       ///< log lines
    bool progress = true;  ///< progress and notes
  };

  explicit Terminal(Options options);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void log(std::string_view line);
  void note(std::string_view line);
  void warn(std::string_view message);
  void show(const ExportProgress& progress);

 private:
  void erase_bar();

  Options options_;
  bool is_log_coloured_;
  bool has_bar_;
  bool is_bar_drawn_ = false;
  std::chrono::steady_clock::time_point next_drawing_;
};

}  // namespace onnxport::cli
