#include "tokenizers/pretrained_arguments.h"

#include <algorithm>
#include <array>
#include <set>

#include "onnxport/error.h"
#include "tokenizers/convert.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::array<std::string_view, 5> kFlags = {"single_word", "lstrip", "rstrip", "normalized", "special"};
constexpr std::int64_t kLargestCount = 1 << 20;

bool flag_of(const Json& token, std::string_view name, bool fallback) {
  const Json* value = token.find(name);
  return value != nullptr && value->is_boolean() ? value->boolean() : fallback;
}

[[noreturn]] void fail(std::string_view origin, const std::string& reason) {
  throw Error(ErrorKind::InvalidTokenizer, std::string(origin) + ": " + reason);
}

/// Appends the tokens that the list lacks.
void extend(Json::Array& tokens, const std::vector<std::string>& more) {
  std::set<std::string, std::less<>> present;
  for (const Json& token : tokens) {
    if (token.is_string()) present.insert(token.string());
  }
  for (const std::string& token : more) {
    if (present.insert(token).second) tokens.emplace_back(token);
  }
}

class Binder {
 public:
  Binder(const PretrainedClass& pretrained_class, bool is_fast, std::string_view origin)
      : class_(pretrained_class),
        constructor_(is_fast || !pretrained_class.slow ? pretrained_class.fast : *pretrained_class.slow),
        is_fast_(is_fast),
        origin_(origin) {}

  BoundArguments bind(const Json& kwargs) {
    arguments_ = kwargs;
    for (const auto& [name, value] : constructor_.defaults.object()) {
      if (arguments_.find(name) == nullptr) arguments_.set(name, value);
    }
    for (const auto& [name, flags] : constructor_.wrapped.object()) {
      const Json* value = arguments_.find(name);
      if (value != nullptr && value->is_string()) arguments_.set(name, added_token_json(value->string(), flags));
    }
    apply_ways_of_class();

    BoundArguments bound;
    bound.init_kwargs = arguments_;
    for (const std::string& name : constructor_.consumed) bound.init_kwargs.erase(name);
    bound.all = std::move(arguments_);
    return bound;
  }

 private:
  void apply_ways_of_class() {
    const std::string& name = class_.name;
    if (name == "LlamaTokenizer" || (name == "T5Tokenizer" && !is_fast_) || (name == "MT5Tokenizer" && !is_fast_)) {
      if (const Json* legacy = arguments_.find("legacy"); legacy == nullptr || legacy->is_null()) {
        arguments_.set("legacy", true);
      }
    }
    if (name == "MBartTokenizer") {
      Json::Array tokens(class_languages(name).begin(), class_languages(name).end());
      for (const Json& token : additional_tokens()) {
        if (std::ranges::find(tokens, token) == tokens.end()) tokens.push_back(token);
      }
      set_additional(std::move(tokens));
    } else if (name == "MBart50Tokenizer") {
      Json::Array tokens = additional_tokens();
      extend(tokens, class_languages(name));
      set_additional(std::move(tokens));
    } else if (name == "NllbTokenizer") {
      if (!has_additional()) {
        set_additional(Json::Array(class_languages(name).begin(), class_languages(name).end()));
      }
    } else if (name == "XGLMTokenizer") {
      Json::Array tokens = additional_tokens();
      extend(tokens, numbered("<madeupword", 0, 7));
      set_additional(std::move(tokens));
    } else if (name == "T5Tokenizer" || name == "MT5Tokenizer") {
      bind_t5();
    } else if (name == "PegasusTokenizer") {
      bind_pegasus();
    } else if (name == "CodeLlamaTokenizer") {
      Json::Array tokens = additional_tokens();
      for (const std::string_view argument : {"prefix_token", "middle_token", "suffix_token", "eot_token"}) {
        const Json* token = arguments_.find(argument);
        if (token != nullptr && !token->is_null()) tokens.push_back(*token);
      }
      set_additional(std::move(tokens));
    } else if (name == "ByT5Tokenizer") {
      const std::int64_t extra_ids = count("extra_ids");
      if (!has_additional()) {
        const std::vector<std::string> tokens = numbered("<extra_id_", 0, extra_ids);
        set_additional(Json::Array(tokens.begin(), tokens.end()));
      }
      arguments_.set("extra_ids", 0);  // as its constructor hands it on
    } else if (name == "SplinterTokenizer" && is_fast_) {
      const Json* question = arguments_.find("question_token");
      set_additional({question != nullptr ? *question : Json("[QUESTION]")});
    }
  }

  bool has_additional() const {
    const Json* value = arguments_.find("additional_special_tokens");
    return value != nullptr && !value->is_null();
  }

  Json::Array additional_tokens() const {
    if (!has_additional()) return {};
    const Json& value = *arguments_.find("additional_special_tokens");
    if (!value.is_array()) fail(origin_, "\"additional_special_tokens\" must be an array");
    return value.array();
  }

  void set_additional(Json::Array tokens) { arguments_.set("additional_special_tokens", std::move(tokens)); }

  std::int64_t count(std::string_view name) const {
    const Json* value = arguments_.find(name);
    if (value == nullptr || !value->is_integer() || value->integer() < 0 || value->integer() > kLargestCount) {
      fail(origin_, quote_json(name) + " must be an integer from 0 to " + std::to_string(kLargestCount));
    }
    return value->integer();
  }

  /// "<name_i>" for each i of [begin, end).
  static std::vector<std::string> numbered(std::string_view stem, std::int64_t begin, std::int64_t end) {
    std::vector<std::string> names;
    for (std::int64_t i = begin; i < end; ++i) names.push_back(std::string(stem) + std::to_string(i) + ">");
    return names;
  }

  void bind_t5() {
    const std::int64_t extra_ids = count("extra_ids");
    Json::Array tokens = additional_tokens();
    const auto extra = std::ranges::count_if(tokens, [](const Json& token) {
      return token_content(token).value_or("").find("<extra_id_") != std::string::npos;
    });
    if (extra == 0) {
      for (const std::string& token : numbered("<extra_id_", 0, extra_ids)) tokens.emplace_back(token);
    } else if (extra_ids > 0 && extra != extra_ids) {
      fail(origin_, "\"additional_special_tokens\" holds " + std::to_string(extra) +
                        " tokens <extra_id_…>, but \"extra_ids\" is " + std::to_string(extra_ids));
    }
    set_additional(std::move(tokens));
  }

  void bind_pegasus() {
    const std::int64_t offset = count("offset");
    const Json* sentence_mask = arguments_.find("mask_token_sent");
    const bool has_sentence_mask = sentence_mask != nullptr && !sentence_mask->is_null();
    Json::Array tokens;
    std::int64_t first_unknown = 2;
    if (has_additional()) {
      tokens = additional_tokens();
      if (has_sentence_mask && std::ranges::find(tokens, *sentence_mask) == tokens.end()) {
        tokens.insert(tokens.begin(), *sentence_mask);
      }
      first_unknown = static_cast<std::int64_t>(tokens.size());
      for (const std::string& token : numbered("<unk_", first_unknown, offset - 1)) tokens.emplace_back(token);
      std::set<std::string> contents;
      for (const Json& token : tokens) {
        if (!contents.insert(token_content(token).value_or("")).second) {
          fail(origin_, "\"additional_special_tokens\" holds an incorrectly shifted list of <unk_x> tokens");
        }
      }
    } else {
      if (has_sentence_mask) tokens.push_back(*sentence_mask);
      for (const std::string& token : numbered("<unk_", 2, offset)) tokens.emplace_back(token);
    }
    set_additional(std::move(tokens));
  }

  const PretrainedClass& class_;
  const ClassConstructor& constructor_;
  bool is_fast_;
  std::string_view origin_;
  Json arguments_;
};

}  // namespace

Json added_token_json(std::string_view content, const Json& flags) {
  Json token = Json::Object{{"__type", "AddedToken"}, {"content", content}};
  for (const std::string_view name : kFlags) {
    if (const Json* flag = flags.find(name)) token.set(name, *flag);
  }
  return token;
}

Json checked_added_token(const Json& object, std::string_view origin) {
  const Json* content = object.find("content");
  if (content == nullptr || !content->is_string()) fail(origin, "an added token must have \"content\", a string");
  for (const std::string_view name : kFlags) {
    const Json* flag = object.find(name);
    if (flag != nullptr && !flag->is_boolean()) {
      fail(origin, quote_json(name) + " of the added token " + quote_json(content->string()) + " must be a boolean");
    }
  }
  return added_token_json(content->string(), object);
}

bool is_added_token(const Json& value) {
  const Json* type = value.find("__type");
  return type != nullptr && type->is_string() && type->string() == "AddedToken";
}

AddedToken to_added_token(const Json& token, bool special) {
  if (token.is_string()) return {.content = token.string(), .normalized = !special, .special = special};
  return {.content = token.find("content")->string(),
          .single_word = flag_of(token, "single_word", false),
          .lstrip = flag_of(token, "lstrip", false),
          .rstrip = flag_of(token, "rstrip", false),
          .normalized = flag_of(token, "normalized", !special),
          .special = special};
}

Json to_json(const AddedToken& token) {
  return Json::Object{{"__type", "AddedToken"},  {"content", token.content}, {"single_word", token.single_word},
                      {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
                      {"special", token.special}};
}

Json deep_copy(const Json& value) {
  if (is_added_token(value)) return to_json(to_added_token(value, flag_of(value, "special", false)));
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.array()) items.push_back(deep_copy(item));
    return items;
  }
  if (value.is_object()) {
    Json::Object members;
    for (const auto& [name, member] : value.object()) members.emplace_back(name, deep_copy(member));
    return members;
  }
  return value;
}

BoundArguments bind_arguments(const PretrainedClass& pretrained_class, bool is_fast, const Json& kwargs,
                              std::string_view origin) {
  return Binder(pretrained_class, is_fast, origin).bind(kwargs);
}

}  // namespace onnxport::tokenizers
