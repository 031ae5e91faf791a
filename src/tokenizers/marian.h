#pragma once

#include "tokenizers/slow_only.h"

namespace onnxport::tokenizers {

/// MarianTokenizer of transformers: source.spm, target.spm, vocab.json and, with "separate_vocabs", target_vocab.json
/// in the directory `slow.vocab_file`. Throws Error(InvalidTokenizer) naming the file.
SlowOnlyTokenizer convert_marian(const SlowTokenizer& slow);

}  // namespace onnxport::tokenizers
