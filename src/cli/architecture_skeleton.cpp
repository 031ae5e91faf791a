#include "cli/architecture_skeleton.h"

#include <algorithm>
#include <cctype>

#include <fmt/core.h>

#include "cli/command_line.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::cli {
namespace {

std::string in_quotes(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string file_name_of(std::string_view model_type) {
  std::string name(model_type);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// "my-model" is MyModel.
std::string class_prefix_of(std::string_view model_type) {
  std::string prefix;
  bool begins_word = true;
  for (const char c : model_type) {
    if (c != '-' && c != '_') prefix += begins_word ? static_cast<char>(std::toupper(c)) : c;
    begins_word = c == '-' || c == '_';
  }
  return prefix;
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t result = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++result;
  return result;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// The string behind `.class_prefix = "`.
std::string class_prefix_in(std::string_view source) {
  constexpr std::string_view field = ".class_prefix = \"";
  const std::size_t begin = source.find(field);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = source.substr(begin + field.size());
  return std::string(rest.substr(0, rest.find('"')));
}

/// A file that defines one type: it is that of the new one when the names are.
std::string rename(std::string source, std::string_view stem, std::string_view from, const SkeletonNames& names) {
  const std::string old_prefix = class_prefix_in(source);
  replace_all(source, fmt::format(".model_type = \"{}\"", from), fmt::format(".model_type = \"{}\"", names.model_type));
  replace_all(source, fmt::format(".base_model_prefix = \"{}\"", file_name_of(from)),
              fmt::format(".base_model_prefix = \"{}\"", names.file));
  replace_all(source, fmt::format("void register_{}(", stem), fmt::format("void register_{}(", names.file));
  if (!old_prefix.empty()) replace_all(source, '"' + old_prefix, '"' + names.class_prefix);
  return source;
}

/// A file that defines several: one of them is taken out of what it registers.
std::string derive(std::string source, std::string_view stem, std::string_view from, const SkeletonNames& names) {
  replace_all(source, fmt::format("void register_{}(", stem), "static void register_relatives(");
  constexpr std::string_view end = "}  // namespace onnxport";
  const std::size_t at = source.rfind(end);
  if (at == std::string::npos) throw Error(ErrorKind::InvalidArgument, fmt::format("{}.cpp has another form", stem));
  source.insert(at, fmt::format(R"(// What {0}.cpp registers as {1} is what {2} begins with: keep what it needs.
void register_{3}(Registry& registry) {{
  Registry relatives;
  register_relatives(relatives);
  Architecture architecture = *relatives.find("{1}");
  architecture.model_type = "{2}";
  registry.add(std::move(architecture));
}}

)",
                                stem, from, names.model_type, names.file));
  return source;
}

}  // namespace

SkeletonNames skeleton_names(const std::string& model_type) {
  const bool is_name = !model_type.empty() && model_type.front() >= 'a' && model_type.front() <= 'z' &&
                       std::all_of(model_type.begin(), model_type.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
                       });
  if (!is_name)
    throw UsageError(
        "NAME is model_type of a config.json: small letters, digits, - and _, beginning with a letter; not " +
        quote_json(model_type));
  return {model_type, file_name_of(model_type), class_prefix_of(model_type)};
}

std::string skeleton_definition(std::string source, std::string_view stem, std::string_view from,
                                const SkeletonNames& names) {
  const std::size_t registration = source.find(fmt::format("void register_{}(Registry& registry)", stem));
  if (registration == std::string::npos || source.find(in_quotes(from)) == std::string::npos)
    throw Error(ErrorKind::InvalidArgument, fmt::format("{}.cpp does not define {}", stem, from));
  const bool is_alone =
      count(source, ".model_type = ") == 1 && count(source, fmt::format(".model_type = \"{}\"", from)) == 1;
  source = is_alone ? rename(std::move(source), stem, from, names) : derive(std::move(source), stem, from, names);
  return fmt::format("// {}, begun as a copy of {}.cpp. What that says of itself, to be replaced:\n",
                     names.class_prefix, stem) +
         source;
}

std::string skeleton_project(const SkeletonNames& names) {
  return fmt::format(R"(# The architecture {0} as a plugin of onnxport:
#
#   cmake -S . -B build -DCMAKE_PREFIX_PATH=<where onnxport is installed> && cmake --build build
#   ctest --test-dir build
#   onnxport export onnx --plugin build/lib{1}.so --model <checkpoint> <output>
cmake_minimum_required(VERSION 3.25)
project({1} LANGUAGES CXX)

find_package(onnxport REQUIRED COMPONENTS plugin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
onnxport_add_plugin({1} {1}.cpp)

enable_testing()
find_program(ONNXPORT onnxport HINTS "${{onnxport_DIR}}/../../../bin" REQUIRED)
add_test(NAME list COMMAND "${{ONNXPORT}}" list --plugin $<TARGET_FILE:{1}>)
set_tests_properties(list PROPERTIES PASS_REGULAR_EXPRESSION " {0}\n")

# The proof: -DCHECKPOINT=<directory> -DREFERENCE=<file>, a small checkpoint and what the model's Python class computes of
# it, as safetensors of 0.input.<name> and 0.output.<name> (0, 1, ...: several cases, with padding among them).
if(CHECKPOINT AND REFERENCE)
  add_test(NAME export COMMAND "${{ONNXPORT}}" export onnx --plugin $<TARGET_FILE:{1}> --model "${{CHECKPOINT}}"
                               --reference "${{REFERENCE}}" "${{CMAKE_CURRENT_BINARY_DIR}}/exported")
endif()
)",
                     names.model_type, names.file);
}

std::string with_fixtures(std::string tool, std::string_view from, const SkeletonNames& names) {
  for (const char* list : {"\nSEQ2SEQ = [", "\nENCODERS = [", "\nDECODERS = ["}) {
    const std::size_t begin = tool.find(list);
    if (begin == std::string::npos) continue;
    const std::size_t end = tool.find(']', begin);
    if (end == std::string::npos || tool.substr(begin, end - begin).find(in_quotes(from)) == std::string::npos)
      continue;
    tool.insert(end, ", " + in_quotes(names.model_type));
    break;
  }
  return tool;
}

}  // namespace onnxport::cli
