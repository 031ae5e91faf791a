#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/tokenizer.h"
#include "support/paths.h"

namespace {

std::vector<onnxport::Tokenizer> make_tokenizers() {
  std::vector<onnxport::Tokenizer> tokenizers;
  for (const std::string name : {"added_tokens_zoo", "albert_unigram", "bert_uncased_multi", "bloom_split", "gemma_bpe",
                                 "roberta_prefix", "t5_unigram", "unigram_bytefallback"}) {
    onnxport::Tokenizer tokenizer = onnxport::Tokenizer::from_file(
        onnxport::testing::source_directory() / "tests/tokenizers/fixtures" / name / "tokenizer.json");
    tokenizer.set_truncation({});
    tokenizer.set_padding({});
    tokenizers.push_back(tokenizer);
  }
  return tokenizers;
}

}  // namespace

/// Any bytes are a text. All ways to encode it agree, and offsets lie in it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<onnxport::Tokenizer> tokenizers = make_tokenizers();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const onnxport::Tokenizer& tokenizer : tokenizers) {
    const onnxport::Encoding all = tokenizer.encode(text);
    const onnxport::Encoding offsets = tokenizer.encode(text, {.fields = onnxport::EncodingFields::Offsets});
    const onnxport::Encoding ids = tokenizer.encode(text, {.fields = onnxport::EncodingFields::Ids});
    if (all.ids != ids.ids || all.ids != offsets.ids || all.offsets != offsets.offsets) std::abort();
    if (all.word_ids != offsets.word_ids) std::abort();
    for (const onnxport::Offset& offset : all.offsets) {
      if (offset.begin > offset.end || offset.end > size) std::abort();
    }
    tokenizer.decode(all.ids);
  }
  return 0;
}
