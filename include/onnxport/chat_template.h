#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "onnxport/json.h"

namespace onnxport {

/// Bounds on what a template may cost, so that one from a stranger ends soon, with an error.
struct ChatTemplateLimits {
  std::size_t steps = 10'000'000;       ///< evaluated expressions and statements, and work on large values
  std::size_t output_bytes = 64 << 20;  ///< of the result and of any value on the way; all values together: four times
  int depth = 400;                      ///< of calls, statements and expressions within each other
};

/// A Jinja template in the subset that chat templates use, with the settings of transformers (trim_blocks,
/// lstrip_blocks, loop controls, tojson without HTML escapes, raise_exception, strftime_now, generation blocks).
class ChatTemplate {
 public:
  /// Throws Error(InvalidTokenizer) with the line. `name` stands for the template in messages.
  explicit ChatTemplate(std::string_view source, std::string_view name = "chat_template");
  /// `variables` is an object. Throws Error(InvalidArgument): what raise_exception says, an operation that has no
  /// meaning with its line, or a bound that is exceeded.
  std::string render(const Json& variables, const ChatTemplateLimits& limits = {}) const;

 private:
  class Program;
  std::shared_ptr<const Program> program_;
};

}  // namespace onnxport
