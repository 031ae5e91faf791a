#pragma once

#include "tokenizers/normalized_string.h"

namespace onnxport::tokenizers {

/// NFD; NFC where it composes, NFKD or NFKC where it is compatible.
struct UnicodeForm {
  bool composes = false;
  bool is_compatible = false;
};

void normalize_unicode(NormalizedString& target, UnicodeForm form);

}  // namespace onnxport::tokenizers
