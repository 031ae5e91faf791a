#include "checkpoint/file_names.h"

#include <algorithm>
#include <iterator>

namespace onnxport {
namespace {

constexpr std::string_view names[] = {
    "generation_config.json",
    // tokenizers
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "bpe.codes", "dict.txt", "entity_vocab.json", "vocab.model", "spiece.model",
    "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model", "source.spm", "target.spm",
    "target_vocab.json", "normalizer.json", "emoji.json", "char_vocab.json", "prophetnet.tokenizer",
    // chat templates
    "chat_template.jinja", "chat_template.json",
    // processors
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "feature_extractor.json",
    // sentence-transformers
    "config_sentence_transformers.json"};

}  // namespace

std::span<const std::string_view> companion_file_names() { return names; }

bool is_companion_file(std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names) ||
         (name.starts_with("sentence_") && name.ends_with("_config.json"));
}

}  // namespace onnxport
