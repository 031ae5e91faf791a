#include "onnxport/chat_template.h"

#include "onnxport/error.h"
#include "tokenizers/chat_template/interpreter.h"
#include "tokenizers/chat_template/syntax.h"

namespace onnxport {

class ChatTemplate::Program {
 public:
  Program(std::string_view source, std::string_view name) : parsed(jinja::parse_template(source, name)) {}
  jinja::Template parsed;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string_view name)
    : program_(std::make_shared<const Program>(source, name)) {}

std::string ChatTemplate::render(const Json& variables, const ChatTemplateLimits& limits) const {
  if (!variables.is_object() && !variables.is_null())
    throw Error(ErrorKind::InvalidArgument, "the variables of a chat template are a JSON object");
  return jinja::interpret(program_->parsed, variables, limits);
}

}  // namespace onnxport
