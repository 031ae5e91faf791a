#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "onnxport/error.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/convert_internal.h"
#include "tokenizers/pretrained_arguments.h"
#include "tokenizers/sentencepiece_normalizer.h"
#include "tokenizers/unicode.h"

/// Any bytes either are refused with Error or give a tokenizer that encodes and decodes. The last byte chooses the
/// class that the model is for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  using namespace onnxport::tokenizers;
  constexpr std::string_view classes[] = {"T5Tokenizer",        "LlamaTokenizer", "XLMRobertaTokenizer",
                                          "AlbertTokenizer",    "GemmaTokenizer", "PegasusTokenizer",
                                          "CamembertTokenizer", "XLNetTokenizer"};
  if (size == 0) return 0;
  const std::string_view name = classes[data[size - 1] % std::size(classes)];
  try {
    SentencePieceModel model = read_sentencepiece_model({reinterpret_cast<const char*>(data), size - 1}, "fuzz.model");
    if (model.pieces.empty() || static_cast<std::size_t>(model.unk_id) >= model.pieces.size()) std::abort();

    // sentencepiece's own normalization, as MarianTokenizer has it.
    if (!model.precompiled_charsmap.empty()) {
      const SentencePieceNormalizer normalizer{.charsmap = std::make_shared<const Charsmap>(model.precompiled_charsmap),
                                               .add_dummy_prefix = model.add_dummy_prefix,
                                               .remove_extra_whitespaces = model.remove_extra_whitespaces,
                                               .keep_language_code = true};
      constexpr std::string_view text = ">>de<<  The quick \u00a0 f\u00f6x,\t\ufb01 \u6771\u4eac\u2581 ";
      NormalizedString normalized = part_of_original(text, {0, text.size()});
      normalizer.normalize(normalized);
      if (!is_valid_utf8(normalized.text) || normalized.alignments.size() != normalized.text.size()) std::abort();
    }

    SlowTokenizer slow;
    slow.class_name = name;
    slow.vocab_file = "fuzz.model";
    slow.arguments = bind_arguments(*find_pretrained_class(name), false, Json(Json::Object{}), "fuzz.json").all;
    const ConvertedTokenizer converted = convert_sentencepiece(slow, std::move(model));
    Tokenizer tokenizer = Tokenizer::from_json(converted.to_json(), "fuzz.model");
    tokenizer.add_tokens(converted.added_tokens);
    const Encoding encoding = tokenizer.encode("The quick  brown f\u00f6x, 20, \u6771\u4eac <s>\n");
    tokenizer.decode(encoding.ids);
  } catch (const Error&) {
  }
  return 0;
}
