#include "support/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace onnxport::testing {
namespace {

using std::chrono::steady_clock;

constexpr int kCannotPrepare = 125;
constexpr int kCannotExecute = 127;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  bool is_open() const { return value_ >= 0; }
  void reset(int value = -1) {
    if (value_ >= 0) close(value_);
    value_ = value;
  }

 private:
  int value_;
};

/// What the child writes at one end arrives at the other.
struct Channel {
  Descriptor read_end;
  Descriptor write_end;
};

void open_pipe(Channel& channel) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
  channel.read_end.reset(ends[0]);
  channel.write_end.reset(ends[1]);
}

void open_terminal(Channel& channel, int columns) {
  int controller = -1;
  int terminal = -1;
  const winsize size{.ws_row = 24, .ws_col = static_cast<unsigned short>(columns), .ws_xpixel = 0, .ws_ypixel = 0};
  if (openpty(&controller, &terminal, nullptr, nullptr, &size) != 0) fail("openpty");
  fcntl(controller, F_SETFD, FD_CLOEXEC);
  fcntl(terminal, F_SETFD, FD_CLOEXEC);
  channel.read_end.reset(controller);
  channel.write_end.reset(terminal);
}

[[noreturn]] void become(const std::vector<std::string>& command, const ProcessOptions& options, int output,
                         int error) {
  const int input = open(options.input_file.empty() ? "/dev/null" : options.input_file.c_str(), O_RDONLY);
  if (input < 0) _exit(kCannotPrepare);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(error, STDERR_FILENO);
  if (!options.working_directory.empty() && chdir(options.working_directory.c_str()) != 0) _exit(kCannotPrepare);
  for (const auto& [name, value] : options.environment) setenv(name.c_str(), value.c_str(), 1);
  if (options.prepare && !options.prepare()) _exit(kCannotPrepare);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(kCannotExecute);
}

/// Appends what has arrived; closes the descriptor at the end of the stream.
void read_some(Descriptor& from, std::string& to) {
  std::array<char, 4096> buffer{};
  const ssize_t size = read(from.get(), buffer.data(), buffer.size());
  if (size > 0) {
    to.append(buffer.data(), static_cast<std::size_t>(size));
  } else if (size == 0 || errno != EINTR) {  // a terminal that nobody writes to any more is an error, EIO
    from.reset();
  }
}

/// Reads both streams until the child has closed them, and kills it when its time is up.
void collect(pid_t child, const ProcessOptions& options, steady_clock::time_point start, Descriptor& output,
             Descriptor& error, ProcessResult& result) {
  bool is_killed = false;
  while (output.is_open() || error.is_open()) {
    timespec timeout{};
    if (options.kill_after && !is_killed) {
      const auto left = std::chrono::nanoseconds(*options.kill_after - (steady_clock::now() - start));
      if (left.count() <= 0) {
        kill(child, SIGKILL);
        is_killed = true;
      } else {
        timeout = {.tv_sec = left.count() / 1'000'000'000, .tv_nsec = left.count() % 1'000'000'000};
      }
    }
    const bool may_wait_forever = !options.kill_after || is_killed;
    std::array<pollfd, 2> streams{{{output.get(), POLLIN, 0}, {error.get(), POLLIN, 0}}};
    if (ppoll(streams.data(), streams.size(), may_wait_forever ? nullptr : &timeout, nullptr) <= 0) continue;
    if (streams[0].revents != 0) read_some(output, result.output);
    if (streams[1].revents != 0) read_some(error, result.error);
  }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& command, const ProcessOptions& options) {
  Channel output;
  Channel error;
  Descriptor file;
  if (options.terminal_columns) {
    open_terminal(output, *options.terminal_columns);
  } else {
    open_pipe(output);
    open_pipe(error);
  }
  if (!options.output_file.empty()) {
    file.reset(open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file.is_open()) fail(options.output_file.c_str());
  }

  const auto start = steady_clock::now();
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0)
    become(command, options, file.is_open() ? file.get() : output.write_end.get(),
           options.terminal_columns ? output.write_end.get() : error.write_end.get());
  output.write_end.reset();
  error.write_end.reset();

  ProcessResult result;
  collect(child, options, start, output.read_end, error.read_end, result);
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) fail("wait4");
  result.seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
  result.peak_memory_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace onnxport::testing
