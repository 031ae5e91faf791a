#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"
#include "onnxport/tokenizer.h"

/// Rows that the real library computed. fixtures/README.md gives their format.
namespace onnxport::testing {

/// tests/tokenizers/fixtures, or what the environment variable ONNXPORT_TOKENIZER_FIXTURES names.
std::filesystem::path tokenizer_fixtures();

/// Subdirectories that hold a file of this name, sorted.
std::vector<std::string> fixtures_with(std::string_view file);

/// The rows of a .jsonl file.
std::vector<Json> read_rows(const std::filesystem::path& file);

std::string read_text(const std::filesystem::path& file);

/// A field of an encoding in the form that rows have it.
Json field_of(const Encoding& encoding, std::string_view name);

/// Reports, as a failure of the test, each field that a row has and that the encoding has differently.
void expect_fields(const Json& row, const Encoding& encoding);

std::vector<std::string> strings_of(const Json& array);
std::vector<std::uint32_t> ids_of(const Json& array);

/// "truncation" and "padding" of a row, null for off.
void set_truncation_and_padding(Tokenizer& tokenizer, const Json& row);

}  // namespace onnxport::testing
