#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "onnxport/chat_template.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "tokenizers/unicode.h"

namespace {

const onnxport::Json& variables() {
  static const onnxport::Json parsed = onnxport::parse_json(
      R"({"messages": [{"role": "user", "content": "Hi \u00e9\ud83d\ude00\n"}, {"role": "assistant", "content": null,
          "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, "x"]}}}]}],
          "s": "Some Text", "u": "\u00e4\u00df\u65e5", "l": [3, 1, 2], "d": {"b": 1, "a": "x"}, "n": 7, "x": -2.5,
          "tree": [{"v": 1, "c": [{"v": 2}]}], "add_generation_prompt": true, "tools": null, "bos_token": "<s>"})",
      "variables");
  return parsed;
}

}  // namespace

/// Any bytes either are refused with Error or are a template that renders to valid UTF-8 or fails with Error, soon.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const onnxport::ChatTemplateLimits limits{.steps = 20'000, .output_bytes = 1 << 20, .depth = 100};
  std::string text;
  try {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    text = onnxport::ChatTemplate(source, "fuzz").render(variables(), limits);
  } catch (const onnxport::Error&) {
    return 0;
  }
  if (!onnxport::tokenizers::is_valid_utf8(text)) std::abort();
  return 0;
}
