#include "tokenizers/pretrained_class.h"

#include <algorithm>
#include <map>

namespace onnxport::tokenizers {
namespace {

std::vector<std::string> strings_of(const Json& array) {
  std::vector<std::string> strings;
  for (const Json& item : array.array()) strings.push_back(item.string());
  return strings;
}

ClassConstructor constructor_of(const Json& json) {
  ClassConstructor constructor;
  constructor.defaults = *json.find("defaults");
  constructor.consumed = strings_of(*json.find("consumed"));
  const Json* wrapped = json.find("wrapped");
  constructor.wrapped = wrapped != nullptr ? *wrapped : Json(Json::Object{});
  return constructor;
}

PretrainedClass class_of(const Json& json) {
  PretrainedClass result;
  result.name = json.find("name")->string();
  for (const auto& [argument, file] : json.find("files")->object()) {
    result.file_arguments.push_back(argument);
    if (argument == "vocab_file") result.vocab_file = file.string();
    if (argument == "merges_file") result.merges_file = file.string();
  }
  result.file_arguments.emplace_back("tokenizer_file");
  result.model_input_names = strings_of(*json.find("model_input_names"));
  result.pads_left = json.find("padding_side")->string() == "left";
  if (const Json* id = json.find("pad_token_type_id")) result.pad_token_type_id = id->integer();
  if (const Json* updates = json.find("updates")) result.updates = strings_of(*updates);
  result.fast = json.find("fast") != nullptr ? constructor_of(*json.find("fast"))
                                             : ClassConstructor{Json(Json::Object{}), {}, Json(Json::Object{})};
  if (const Json* slow = json.find("slow")) result.slow = constructor_of(*slow);
  return result;
}

struct ClassTable {
  std::map<std::string, PretrainedClass, std::less<>> classes;
  std::vector<std::string> slow_only;
  std::map<std::string, std::string, std::less<>> model_types;
  std::map<std::string, std::vector<std::string>, std::less<>> languages;
  std::map<std::string, std::string, std::less<>> whisper_codes;
};

const ClassTable& table() {
  static const ClassTable parsed = [] {
    const Json json = parse_json(pretrained_class_table(), "the table of tokenizer classes");
    ClassTable result;
    for (const Json& entry : json.find("classes")->array()) {
      PretrainedClass pretrained_class = class_of(entry);
      std::string name = pretrained_class.name;
      result.classes.emplace(std::move(name), std::move(pretrained_class));
    }
    result.slow_only = strings_of(*json.find("slow_only"));
    for (const auto& [model_type, name] : json.find("model_types")->object()) {
      result.model_types.emplace(model_type, name.string());
    }
    for (const auto& [name, codes] : json.find("languages")->object()) {
      result.languages.emplace(name, strings_of(codes));
    }
    for (const auto& [language, code] : json.find("whisper_language_codes")->object()) {
      result.whisper_codes.emplace(language, code.string());
    }
    return result;
  }();
  return parsed;
}

}  // namespace

bool PretrainedClass::has_update(std::string_view update) const {
  return std::ranges::find(updates, update) != updates.end();
}

const PretrainedClass* find_pretrained_class(std::string_view name) {
  constexpr std::string_view suffix = "Fast";
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  const auto found = table().classes.find(name);
  return found == table().classes.end() ? nullptr : &found->second;
}

bool is_slow_only_class(std::string_view name) {
  return std::ranges::find(table().slow_only, name) != table().slow_only.end();
}

std::optional<std::string> tokenizer_class_of_model_type(std::string_view model_type) {
  const auto found = table().model_types.find(model_type);
  if (found == table().model_types.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> pretrained_class_names() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : table().classes) names.push_back(name);
  return names;
}

const std::vector<std::string>& class_languages(std::string_view name) { return table().languages.find(name)->second; }

std::optional<std::string> whisper_language_code(std::string_view language) {
  const auto& codes = table().whisper_codes;
  if (const auto found = codes.find(language); found != codes.end()) return found->second;
  for (const auto& [unused, code] : codes) {
    if (code == language) return code;
  }
  return std::nullopt;
}

}  // namespace onnxport::tokenizers
