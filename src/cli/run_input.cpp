#include "cli/run_input.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <unistd.h>

#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

int leave_open(std::FILE*) { return 0; }

[[noreturn]] void fail(const std::string& name) {
  throw Error(ErrorKind::InvalidArgument, "cannot read " + name + ": " + std::strerror(errno));
}

}  // namespace

RunInput::RunInput(std::vector<std::string> texts, const std::filesystem::path& file)
    : texts_(std::move(texts)), stream_(nullptr, leave_open) {
  if (!texts_.empty()) {
    total_ = texts_.size();
  } else if (file.empty() || file == "-") {
    name_ = "standard input";
    stream_ = {stdin, leave_open};
  } else {
    name_ = quote_json(file.string());
    stream_ = {std::fopen(file.c_str(), "rb"), std::fclose};
    if (stream_ == nullptr) fail(name_);
    std::error_code ignored;
    if (std::filesystem::is_regular_file(file, ignored)) total_ = std::filesystem::file_size(file, ignored);
  }
}

std::optional<RunInput::Line> RunInput::next() {
  if (stream_ == nullptr) {
    if (number_ == texts_.size()) return std::nullopt;
    done_ = ++number_;
    return Line{texts_[number_ - 1], number_};
  }
  char* buffer = nullptr;
  std::size_t capacity = 0;
  errno = 0;
  const ssize_t length = ::getline(&buffer, &capacity, stream_.get());
  const std::unique_ptr<char, decltype(&std::free)> owner(buffer, std::free);
  if (length < 0) {
    if (std::ferror(stream_.get()) != 0) fail(name_);
    return std::nullopt;
  }
  done_ += static_cast<std::uint64_t>(length);
  std::string text(buffer, static_cast<std::size_t>(length));
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return Line{std::move(text), ++number_};
}

std::string RunInput::describe(std::size_t number) const {
  if (stream_ == nullptr) return "TEXT " + std::to_string(number);
  return "line " + std::to_string(number) + " of " + name_;
}

bool RunInput::is_terminal() const { return stream_ != nullptr && isatty(fileno(stream_.get())) == 1; }

}  // namespace onnxport::cli
