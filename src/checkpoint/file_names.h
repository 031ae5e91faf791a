#pragma once

#include <span>
#include <string_view>

namespace onnxport {

/// Every file that a tokenizer, processor or generation config of transformers is saved as, but for what
/// is_companion_file knows by its form.
std::span<const std::string_view> companion_file_names();

/// Whether a file of this name goes along with a model: one of companion_file_names(), or the options of a
/// sentence-transformers' transformer, which are named after its kind (sentence_bert_config.json).
bool is_companion_file(std::string_view name);

}  // namespace onnxport
