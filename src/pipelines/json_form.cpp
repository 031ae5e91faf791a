#include "pipelines/json_form.h"

#include "onnxport/error.h"

namespace onnxport::pipelines {

void refuse_input(const Json& input, std::string_view task, std::string_view wanted) {
  std::string text = dump_json(input);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  throw Error(ErrorKind::InvalidArgument, std::string(task) + " takes " + std::string(wanted) + ", not " + text);
}

std::string text_input(const Json& input, std::string_view task) {
  if (input.is_string()) return input.string();
  for (const char* name : {"inputs", "text", "sequences"})
    if (const Json* text = input.find(name); text != nullptr && text->is_string() && input.object().size() == 1)
      return text->string();
  refuse_input(input, task, "a text or a list of texts");
}

std::string text_member(const Json& input, std::string_view name, std::string_view task) {
  const Json* member = input.find(name);
  if (member == nullptr)
    throw Error(ErrorKind::InvalidArgument,
                std::string(task) + ": the input has no " + quote_json(name) + ": " + dump_json(input));
  if (!member->is_string())
    throw Error(ErrorKind::InvalidArgument,
                std::string(task) + ": " + quote_json(name) + " is no text but " + dump_json(*member));
  return member->string();
}

}  // namespace onnxport::pipelines
