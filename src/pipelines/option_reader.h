#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"
#include "onnxport/tokenizer.h"

namespace onnxport::pipelines {

/// Reads the options of a call from an object, and refuses those that nobody has asked for. A member that is null
/// counts as absent. All functions throw Error(InvalidArgument) that names the option and says what it takes.
class OptionReader {
 public:
  /// `options` is an object or null, and outlives this.
  explicit OptionReader(const Json& options);

  /// The member as it stands, also if it is null; nullptr if there is none.
  const Json* find(std::string_view name);
  bool has(std::string_view name) const { return options_.find(name) != nullptr; }
  bool boolean(std::string_view name, bool default_value);
  /// An integer that is not below `least`.
  std::optional<std::size_t> size(std::string_view name, std::size_t least = 0);
  std::optional<std::string> text(std::string_view name);
  /// A text is a list of one.
  std::optional<std::vector<std::string>> texts(std::string_view name);
  /// true, false, or a strategy's name as Python has it.
  std::optional<TruncationStrategy> truncation();

  /// Refuses members that were not read; lists those that were asked for.
  void finish(std::string_view task) const;

 private:
  const Json* find_value(std::string_view name);

  const Json& options_;
  std::vector<std::string> names_;
};

}  // namespace onnxport::pipelines
