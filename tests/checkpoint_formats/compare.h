#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "support/paths.h"

namespace onnxport::testing {

using TensorMap = std::map<std::string, TensorSource, std::less<>>;

inline std::filesystem::path format_fixtures() { return source_directory() / "tests/checkpoint_formats/fixtures"; }

/// All bytes of a tensor. Lazy ones are read in runs that begin and end anywhere, as the exporter's threads do.
std::string bytes_of(const TensorSource& source);

/// Same names, types, shapes and bytes.
void expect_equal(const TensorMap& actual, const TensorMap& expected);

/// The message of the Error(InvalidCheckpoint) that the function throws; fails if it throws none.
std::string error_of(const std::function<void()>& function);

/// Expects such an error with this text in it.
void expect_refused(const std::function<void()>& function, std::string_view part);

/// A file in memory, to be changed.
std::string read_bytes(const std::filesystem::path& path);
std::span<const std::byte> as_bytes(const std::string& text);

}  // namespace onnxport::testing
