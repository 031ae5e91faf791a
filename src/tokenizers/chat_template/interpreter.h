#pragma once

#include <string>

#include "tokenizers/chat_template/syntax.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {

/// Renders a template. `variables` is an object. Throws Error(InvalidArgument).
std::string interpret(const Template& source, const Json& variables, const ChatTemplateLimits& limits);

}  // namespace onnxport::jinja
