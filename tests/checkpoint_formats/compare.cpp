#include "compare.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace onnxport::testing {

std::string bytes_of(const TensorSource& source) {
  const std::size_t element_size = size_of(source.data_type);
  std::string bytes(static_cast<std::size_t>(source.byte_size()), '\0');
  const std::span<std::byte> out = std::as_writable_bytes(std::span(bytes));
  const auto count = static_cast<std::size_t>(source.element_count());
  for (std::size_t first = 0, step = 1; first < count; first += step, step = step % 7 + 1) {
    step = std::min(step, count - first);
    read_elements(source, static_cast<std::int64_t>(first), out.subspan(first * element_size, step * element_size));
  }
  return bytes;
}

void expect_equal(const TensorMap& actual, const TensorMap& expected) {
  for (const auto& [name, source] : expected) {
    const auto found = actual.find(name);
    if (found == actual.end()) {
      ADD_FAILURE() << "no tensor " << name;
      continue;
    }
    EXPECT_EQ(to_string(found->second.data_type), to_string(source.data_type)) << name;
    EXPECT_EQ(found->second.shape, source.shape) << name;
    if (found->second.shape != source.shape || found->second.data_type != source.data_type) continue;
    EXPECT_TRUE(bytes_of(found->second) == bytes_of(source)) << name << " has other elements";
  }
  for (const auto& [name, source] : actual) EXPECT_TRUE(expected.contains(name)) << name << " is not expected";
}

std::string error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

void expect_refused(const std::function<void()>& function, std::string_view part) {
  const std::string message = error_of(function);
  EXPECT_NE(message.find(part), std::string::npos) << message << "\nexpected: " << part;
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace onnxport::testing
