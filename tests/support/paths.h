#pragma once

#include <filesystem>
#include <string>

/// Where the tests find things. Functions, so that one object file alone depends on the places of checkout and build
/// tree.
namespace onnxport::testing {

/// The checkout.
std::filesystem::path source_directory();
/// The program `onnxport` as built; other executables lie beside it and in folders there.
std::string test_program();

}  // namespace onnxport::testing
