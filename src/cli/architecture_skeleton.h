#pragma once

#include <string>
#include <string_view>

namespace onnxport::cli {

/// What a new architecture is called in the places that name it.
struct SkeletonNames {
  std::string model_type;    ///< "my-model"
  std::string file;          ///< "my_model": the file's stem, and what register_... is called after
  std::string class_prefix;  ///< "MyModel"
};

/// Throws UsageError if that is no name for a model type: small letters, digits, - and _, beginning with a letter.
SkeletonNames skeleton_names(const std::string& model_type);

/// The definition of a model type under the names of another: `source` is the file that defines `from`, `stem` the
/// file's name. Where it defines `from` alone, names are replaced; where it defines a family, what it registers for
/// `from` is registered under the new name.
/// Throws Error(InvalidArgument) if the file defines no such type.
std::string skeleton_definition(std::string source, std::string_view stem, std::string_view from,
                                const SkeletonNames& names);

/// The CMakeLists.txt of a plugin that is this definition alone.
std::string skeleton_project(const SkeletonNames& names);

/// tests/golden/tools/text.py with the new type beside `from`, whose fixtures it makes; the same text if `from` is not
/// in it.
std::string with_fixtures(std::string tool, std::string_view from, const SkeletonNames& names);

}  // namespace onnxport::cli
