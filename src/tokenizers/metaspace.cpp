#include "tokenizers/metaspace.h"

#include <string>

#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

Metaspace read_metaspace(const JsonField& field) {
  Metaspace metaspace;
  metaspace.replacement = field.at("replacement").character();
  if (field.has("prepend_scheme")) {
    metaspace.prepend_scheme =
        static_cast<Metaspace::PrependScheme>(field.at("prepend_scheme").one_of({"first", "never", "always"}));
  }
  const auto add_prefix_space = field.find("add_prefix_space");
  if (add_prefix_space && !add_prefix_space->boolean()) {
    // Old files have the boolean alone.
    if (field.has("prepend_scheme") && metaspace.prepend_scheme != Metaspace::PrependScheme::Never) {
      add_prefix_space->fail("false contradicts prepend_scheme");
    }
    metaspace.prepend_scheme = Metaspace::PrependScheme::Never;
  }
  if (const auto split = field.find("split")) metaspace.split = split->boolean();
  return metaspace;
}

Json to_json(const Metaspace& metaspace) {
  constexpr const char* kSchemes[] = {"first", "never", "always"};
  std::string replacement;
  append_utf8(replacement, metaspace.replacement);
  return Json::Object{{"type", "Metaspace"},
                      {"replacement", replacement},
                      {"prepend_scheme", kSchemes[static_cast<int>(metaspace.prepend_scheme)]},
                      {"split", metaspace.split}};
}

}  // namespace onnxport::tokenizers
