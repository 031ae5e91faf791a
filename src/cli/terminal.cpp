#include "cli/terminal.h"

#include <algorithm>

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/environment.h"
#include "onnxport/error.h"

namespace onnxport::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::string_view kEraseLine = "\r\033[K";
constexpr std::string_view kGreen = "\033[32m";
constexpr std::string_view kRed = "\033[31m";
constexpr std::string_view kResetColour = "\033[0m";

/// An export that is over by then draws no bar at all.
constexpr milliseconds kBarDelay{200};
constexpr milliseconds kBarInterval{50};

/// A terminal that understands escape sequences.
bool is_terminal(std::FILE* stream) { return isatty(fileno(stream)) == 1 && environment("TERM") != "dumb"; }

/// https://no-color.org
bool is_coloured(std::FILE* stream) { return is_terminal(stream) && environment("NO_COLOR").empty(); }

std::string coloured(std::string line) {
  for (const auto& [mark, colour] : {std::pair{"[✓]", kGreen}, std::pair{"[x]", kRed}}) {
    const std::string_view text = mark;
    if (const std::size_t at = line.find(text); at != std::string::npos)
      line.replace(at, text.size(), fmt::format("{}{}{}", colour, text, kResetColour));
  }
  return line;
}

/// "Writing model.onnx  ██████████████░░░░░░░░░░░░░░░░  47 %", as much of it as fits. A stage of one step has nothing
/// to measure and is only named.
std::string draw_bar(const ExportProgress& progress, int columns) {
  constexpr int kWidest = 30;
  const std::string stage = printable(progress.stage);
  if (progress.total <= 1) return stage + "...";
  const double fraction = std::min(1.0, static_cast<double>(progress.done) / static_cast<double>(progress.total));
  const std::string percentage = fmt::format("{:3.0f} %", fraction * 100);
  const int room = columns - 1 - static_cast<int>(stage.size() + percentage.size()) - 4;
  if (room < 1) return percentage;
  const int width = std::min(room, kWidest);
  const int full = static_cast<int>(fraction * width);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "█" : "░";
  return fmt::format("{}  {}  {}", stage, bar, percentage);
}

}  // namespace

int terminal_columns(std::FILE* stream) {
  if (!is_terminal(stream)) return 0;
  winsize size{};
  constexpr int kUsual = 80;
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

std::string printable(std::string_view text) {
  std::string result(text);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<unsigned char>(result[i]);
    const bool is_c1_control =
        byte == 0xc2 && i + 1 < result.size() && static_cast<unsigned char>(result[i + 1]) < 0xa0;
    if (is_c1_control) result[i + 1] = ' ';
    const bool is_c0_control = byte < 0x20 && byte != '\t' && byte != '\n';
    if (is_c0_control || byte == 0x7f || is_c1_control) result[i] = ' ';
  }
  return result;
}

void print_message(std::string_view kind, std::string_view message) {
  std::string text = printable(message);
  // Only the program's own lines begin at the margin.
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; ++at) text.insert(at + 1, "  ");
  fmt::print(stderr, "onnxport: {}: {}\n", kind, text);
}

void flush_stdout() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  throw Error(ErrorKind::OutputFailed, "cannot write all of standard output");
}

Terminal::Terminal(Options options)
    : options_(options),
      is_log_coloured_(is_coloured(stdout)),
      has_bar_(options.progress && is_terminal(stderr)),
      next_drawing_(steady_clock::now() + kBarDelay) {}

Terminal::~Terminal() { erase_bar(); }

void Terminal::log(std::string_view line) {
  if (!options_.log) return;
  erase_bar();
  const std::string text = printable(line);
  fmt::print("{}\n", is_log_coloured_ ? coloured(text) : text);
  std::fflush(stdout);
}

void Terminal::note(std::string_view line) {
  if (!options_.progress) return;
  erase_bar();
  print_message("note", line);
}

void Terminal::warn(std::string_view message) {
  erase_bar();
  print_message("warning", message);
}

void Terminal::show(const ExportProgress& progress) {
  if (!has_bar_ || steady_clock::now() < next_drawing_) return;
  next_drawing_ = steady_clock::now() + kBarInterval;
  fmt::print(stderr, "{}{}", kEraseLine, draw_bar(progress, terminal_columns(stderr)));
  std::fflush(stderr);
  is_bar_drawn_ = true;
}

void Terminal::erase_bar() {
  if (!is_bar_drawn_) return;
  fmt::print(stderr, "{}", kEraseLine);
  std::fflush(stderr);
  is_bar_drawn_ = false;
}

}  // namespace onnxport::cli
