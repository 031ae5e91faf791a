#include <algorithm>

#include "onnxport/chat_template.h"
#include "onnxport/error.h"
#include "tokenizers/pretrained_text.h"
#include "tokenizers/pretrained_tokenizer.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

/// get_chat_template(): the template itself, by the name that was asked for, or the tokenizer's.
std::string choose_template(const PretrainedState& state, const ChatTemplateOptions& options) {
  const Json& own = state.chat_template;
  if (own.is_object()) {
    if (!options.chat_template.empty()) {
      const Json* named = own.find(options.chat_template);
      return named != nullptr ? named->string() : options.chat_template;
    }
    if (const Json* tool_use = own.find("tool_use"); tool_use != nullptr && !options.tools.is_null()) {
      return tool_use->string();
    }
    if (const Json* usual = own.find("default")) return usual->string();
    std::string names;
    for (const auto& [name, unused] : own.object()) names += (names.empty() ? "" : ", ") + name;
    fail("this model has several chat templates and no default: name one of them (" + names + ")");
  }
  if (!options.chat_template.empty()) return options.chat_template;
  if (own.is_null()) {
    fail(
        "the tokenizer has no chat template: there is neither a chat_template.jinja nor \"chat_template\" in its "
        "tokenizer_config.json");
  }
  return own.string();
}

Json* member(Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  for (auto& [key, value] : object.object()) {
    if (key == name) return &value;
  }
  return nullptr;
}

/// Marks where the final message ends; returns that message's text.
std::string mark_final_message(Json& messages) {
  Json* content = nullptr;
  if (messages.is_array() && !messages.array().empty()) content = member(messages.array().back(), "content");
  const auto mark = [](Json& text) {
    std::string before = text.string();
    text = Json(before + std::string(kContinueTag));
    return before;
  };
  if (content != nullptr && content->is_string()) return mark(*content);
  if (content != nullptr && content->is_array()) {
    for (auto part = content->array().rbegin(); part != content->array().rend(); ++part) {
      Json* text = member(*part, "text");
      if (text != nullptr && text->is_string()) return mark(*text);
    }
  }
  fail("continue_final_message is set, but the final message has no text to continue");
}

std::string cut_at_mark(std::string prompt, std::string_view final_message) {
  const std::string_view tag = python_strip(kContinueTag);
  const std::size_t position = prompt.rfind(tag);
  if (position == std::string::npos || prompt.find(python_strip(final_message)) == std::string::npos) {
    fail(
        "continue_final_message is set, but the final message does not appear in the prompt: the chat template leaves "
        "out parts of it");
  }
  const bool keeps_space = std::string_view(prompt).substr(position).starts_with(kContinueTag);
  prompt.resize(position);
  // A template that trims messages would have trimmed this one's end, too.
  return keeps_space ? prompt : std::string(python_rstrip(prompt));
}

}  // namespace

std::string apply_chat_template(const PretrainedState& state, const Json& messages,
                                const ChatTemplateOptions& options) {
  const std::string source = choose_template(state, options);
  if (options.continue_final_message && options.add_generation_prompt) {
    fail("continue_final_message and add_generation_prompt exclude each other");
  }
  if (!options.documents.is_null()) {
    if (!options.documents.is_array() || !std::ranges::all_of(options.documents.array(), &Json::is_object)) {
      fail("documents must be an array of objects with \"title\" and \"text\"");
    }
  }
  if (!options.tools.is_null()) {
    if (!options.tools.is_array() || !std::ranges::all_of(options.tools.array(), &Json::is_object)) {
      fail("tools must be an array of JSON schemas");
    }
  }

  Json conversation = messages;
  std::string final_message;
  if (options.continue_final_message) final_message = mark_final_message(conversation);

  Json variables = state.special_tokens_map();
  if (options.variables.is_object()) {
    for (const auto& [name, value] : options.variables.object()) variables.set(name, value);
  } else if (!options.variables.is_null()) {
    fail("variables of a chat template must be an object");
  }
  variables.set("messages", std::move(conversation));
  variables.set("tools", options.tools);
  variables.set("documents", options.documents);
  variables.set("add_generation_prompt", options.add_generation_prompt);

  std::string prompt = ChatTemplate(source).render(variables);
  return options.continue_final_message ? cut_at_mark(std::move(prompt), final_message) : prompt;
}

}  // namespace onnxport::tokenizers
