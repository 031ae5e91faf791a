#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/tokenizer.h"

/// Any bytes either are refused with Error or give a tokenizer that works, and that is the same when it is written and
/// read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const onnxport::Tokenizer tokenizer = onnxport::Tokenizer::from_json(text, "fuzz.json");
    const std::string written = tokenizer.to_json();
    if (onnxport::Tokenizer::from_json(written, "written.json").to_json() != written) std::abort();
    for (const std::string_view sample :
         {"Hello, world! [MASK] 12", "", " \n\t", "\xff", "e\u0301 \u4e2d\u6587 \U0001F600"}) {
      try {
        const onnxport::Encoding encoding = tokenizer.encode(sample, "pair");
        const std::size_t count = encoding.ids.size();
        if (encoding.offsets.size() != count || encoding.tokens.size() != count || encoding.word_ids.size() != count) {
          std::abort();
        }
        if (tokenizer.encode(sample, "pair", {.fields = onnxport::EncodingFields::Ids}).ids != encoding.ids)
          std::abort();
        tokenizer.decode(encoding.ids);
      } catch (const onnxport::Error&) {
      }
    }
  } catch (const onnxport::Error&) {
  }
  return 0;
}
