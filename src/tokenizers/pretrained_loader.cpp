#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <set>
#include <span>

#include "core/mapped_file.h"
#include "core/nearest.h"
#include "onnxport/error.h"
#include "tokenizers/convert.h"
#include "tokenizers/convert_components.h"
#include "tokenizers/pretrained_arguments.h"
#include "tokenizers/pretrained_document.h"
#include "tokenizers/pretrained_tokenizer.h"
#include "tokenizers/slow_only.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using namespace tokenizers;

[[noreturn]] void fail(const fs::path& file, const std::string& reason) {
  throw Error(ErrorKind::InvalidTokenizer, file.string() + ": " + reason);
}

std::string read_text(const fs::path& file) {
  try {
    const auto mapped = MappedFile::open(file);
    return {reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()};
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, error.what());
  }
}

/// A JSON object's file; nothing if there is no such file.
std::optional<Json> read_object(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  Json json;
  try {
    json = parse_json(read_text(file), file.string(), LargeIntegers::AsDouble);
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, error.what());
  }
  if (!json.is_object()) fail(file, "must be a JSON object");
  return json;
}

const Json* find_value(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool is_token(const Json& value) { return value.is_string() || is_added_token(value); }

bool is_special_attribute(std::string_view name) {
  return std::ranges::find(kSpecialTokenAttributes, name) != std::ranges::end(kSpecialTokenAttributes);
}

// ---- The class
// --------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse_class(const fs::path& directory, const std::string& name) {
  const std::string origin = (directory / "tokenizer_config.json").string();
  if (is_slow_only_class(name)) {
    throw Error(ErrorKind::InvalidTokenizer,
                origin + ": \"tokenizer_class\" " + quote_json(name) +
                    " has no fast version in transformers and is not supported; if a tokenizer.json does the same, "
                    "state \"PreTrainedTokenizerFast\"");
  }
  throw Error(ErrorKind::InvalidTokenizer, origin + ": unknown \"tokenizer_class\" " + quote_json(name) +
                                               describe_nearest(name, pretrained_class_names()));
}

/// The class as AutoTokenizer finds it; directories that do not say are taken for PreTrainedTokenizerFast if they have
/// a tokenizer.json.
const PretrainedClass& class_of(const fs::path& directory, const std::optional<Json>& tokenizer_config) {
  std::string name;
  if (tokenizer_config) {
    if (const Json* value = find_value(*tokenizer_config, "tokenizer_class")) {
      if (!value->is_string()) fail(directory / "tokenizer_config.json", "\"tokenizer_class\" must be a string");
      name = value->string();
    }
  }
  if (name.empty()) {
    if (const auto config = read_object(directory / "config.json")) {
      if (const Json* value = find_value(*config, "tokenizer_class"); value != nullptr && value->is_string()) {
        name = value->string();
      } else if (const Json* type = find_value(*config, "model_type"); type != nullptr && type->is_string()) {
        name = tokenizer_class_of_model_type(type->string()).value_or("");
      }
    }
  }
  if (name.empty()) {
    if (!fs::exists(directory / "tokenizer.json")) {
      fail(directory,
           "has no tokenizer: there is no tokenizer.json, and neither \"tokenizer_class\" in tokenizer_config.json nor "
           "\"model_type\" in config.json says which other files to look for");
    }
    name = "PreTrainedTokenizerFast";
  }
  // transformers 5 calls PreTrainedTokenizerFast so.
  if (name == "TokenizersBackend") name = "PreTrainedTokenizerFast";
  const PretrainedClass* found = find_pretrained_class(name);
  if (found == nullptr) refuse_class(directory, name);
  if (found->has_update("needs_jieba")) {
    fail(directory, found->name + " splits words with jieba, which onnxport lacks");
  }
  return *found;
}

// ---- Arguments from the files
// -----------------------------------------------------------------------------------------

/// What _from_pretrained() hands to a constructor.
struct FileArguments {
  Json kwargs = Json::Object{};
  std::map<std::uint32_t, Json> added_tokens;  ///< added_tokens_decoder
};

std::uint32_t parse_id(const fs::path& file, std::string_view text) {
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id > std::numeric_limits<std::int32_t>::max()) {
    fail(file, "\"added_tokens_decoder\" has the key " + quote_json(text) + ", which is no token's id");
  }
  return id;
}

/// AddedTokens within a value, checked.
Json checked_tokens(const Json& value, const std::string& origin) {
  if (is_added_token(value)) return checked_added_token(value, origin);
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.array()) items.push_back(checked_tokens(item, origin));
    return items;
  }
  if (value.is_object()) {
    Json::Object members;
    for (const auto& [name, member] : value.object()) members.emplace_back(name, checked_tokens(member, origin));
    return members;
  }
  return value;
}

class FileArgumentsReader {
 public:
  FileArgumentsReader(const fs::path& directory, const std::optional<Json>& config)
      : directory_(directory), config_file_(directory / "tokenizer_config.json"), config_(config) {}

  FileArguments read(const TokenizerDocument* document) {
    if (config_) arguments_.kwargs = *config_;
    arguments_.kwargs.erase("tokenizer_class");
    arguments_.kwargs.erase("init_inputs");
    arguments_.kwargs.erase("tokenizer_file");
    read_chat_templates();
    if (const Json* tokens = arguments_.kwargs.find("added_tokens_decoder")) {
      read_added_tokens_decoder(*tokens);
    } else {
      read_special_tokens_map();
      read_added_tokens();
      if (document != nullptr) read_document(*document);
    }
    arguments_.kwargs.erase("added_tokens_decoder");
    arguments_.kwargs = checked_tokens(arguments_.kwargs, config_file_.string());
    resolve_special_tokens();
    return std::move(arguments_);
  }

 private:
  void read_chat_templates() {
    Json templates = Json::Object{};
    if (const fs::path file = directory_ / "chat_template.jinja"; fs::exists(file)) {
      templates.set("default", read_text(file));
    }
    if (const fs::path folder = directory_ / "additional_chat_templates"; fs::is_directory(folder)) {
      std::map<std::string, fs::path> files;
      for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() == ".jinja") files.emplace(entry.path().stem().string(), entry.path());
      }
      for (const auto& [name, file] : files) templates.set(name, read_text(file));
    }
    if (templates.object().empty()) return;
    if (templates.object().size() == 1 && templates.find("default") != nullptr) {
      arguments_.kwargs.set("chat_template", *templates.find("default"));
    } else {
      arguments_.kwargs.set("chat_template", std::move(templates));
    }
  }

  void read_added_tokens_decoder(const Json& tokens) {
    if (!tokens.is_object()) fail(config_file_, "\"added_tokens_decoder\" must be an object");
    for (const auto& [key, token] : tokens.object()) {
      arguments_.added_tokens[parse_id(config_file_, key)] = checked_added_token(token, config_file_.string());
    }
  }

  void read_special_tokens_map() {
    const fs::path file = directory_ / "special_tokens_map.json";
    const auto map = read_object(file);
    if (!map) return;
    for (const auto& [name, value] : map->object()) {
      if (value.is_object()) {
        arguments_.kwargs.set(name, special(value, file));
      } else if (name == "additional_special_tokens" && value.is_array()) {
        Json::Array tokens;
        if (const Json* present = find_value(arguments_.kwargs, name); present != nullptr && present->is_array()) {
          tokens = present->array();
        }
        for (const Json& item : value.array()) {
          Json token = item.is_object() ? special(item, file) : item;
          if (std::ranges::find(tokens, token) == tokens.end()) tokens.push_back(std::move(token));
        }
        arguments_.kwargs.set(name, std::move(tokens));
      } else {
        arguments_.kwargs.set(name, value);
      }
    }
  }

  static Json special(const Json& object, const fs::path& file) {
    Json token = checked_added_token(object, file.string());
    token.set("special", true);
    return token;
  }

  void read_added_tokens() {
    const fs::path file = directory_ / "added_tokens.json";
    const auto ids = read_object(file);
    if (!ids) return;
    std::set<std::string> special_tokens;
    for (const std::string_view attribute : kSpecialTokenAttributes) {
      const Json* value = find_value(arguments_.kwargs, attribute);
      if (value == nullptr) continue;
      for (const Json& token : value->is_array() ? value->array() : Json::Array{*value}) {
        if (const auto content = token_content(token)) special_tokens.insert(*content);
      }
    }
    for (const auto& [content, id] : ids->object()) {
      if (!id.is_integer() || id.integer() < 0 || id.integer() > std::numeric_limits<std::int32_t>::max()) {
        fail(file, "the id of " + quote_json(content) + " must be an integer from 0 to 2147483647");
      }
      const bool is_special = special_tokens.contains(content);
      arguments_.added_tokens[static_cast<std::uint32_t>(id.integer())] =
          added_token_json(content, Json(Json::Object{{"normalized", !is_special}, {"special", is_special}}));
    }
  }

  void read_document(const TokenizerDocument& document) {
    const Json tokens = document.get("added_tokens");
    if (!tokens.is_array()) return;
    for (const Json& token : tokens.array()) {
      const Json* id = token.find("id");
      if (id == nullptr || !id->is_integer() || id->integer() < 0 ||
          id->integer() > std::numeric_limits<std::int32_t>::max()) {
        continue;  // the tokenizer's own parser says what is wrong
      }
      Json added = checked_added_token(token, (directory_ / "tokenizer.json").string());
      if (added.find("normalized") == nullptr) added.set("normalized", true);
      by_content_[added.find("content")->string()] = added;
      arguments_.added_tokens[static_cast<std::uint32_t>(id->integer())] = std::move(added);
    }
  }

  /// Special tokens that are given as text, but that the files know more of.
  void resolve_special_tokens() {
    if (config_ && config_->find("added_tokens_decoder") != nullptr) {
      for (const auto& [id, token] : arguments_.added_tokens) by_content_[token.find("content")->string()] = token;
    }
    for (const std::string_view attribute : kSpecialTokenAttributes) {
      const Json* value = find_value(arguments_.kwargs, attribute);
      if (value == nullptr) continue;
      if (attribute == "additional_special_tokens") continue;
      if (value->is_object() && !is_added_token(*value)) {
        arguments_.kwargs.set(attribute, checked_added_token(*value, config_file_.string()));
        value = arguments_.kwargs.find(attribute);
      }
      const auto content = token_content(*value);
      if (!content) fail(config_file_, quote_json(attribute) + " must be a string or an AddedToken");
      if (const auto found = by_content_.find(*content); found != by_content_.end()) {
        arguments_.kwargs.set(attribute, found->second);
      }
    }
  }

  fs::path directory_;
  fs::path config_file_;
  const std::optional<Json>& config_;
  FileArguments arguments_;
  std::map<std::string, Json> by_content_;
};

// ---- The tokenizer
// ----------------------------------------------------------------------------------------------------

/// What PreTrainedTokenizerFast.__init__ does, and the constructors of the classes derived from it.
class Loader {
 public:
  explicit Loader(const fs::path& directory)
      : directory_(directory),
        config_file_(directory / "tokenizer_config.json"),
        config_(read_object(config_file_)),
        class_(class_of(directory, config_)) {}

  PretrainedState load() {
    const bool is_slow_only = class_.has_update("slow_only");
    const fs::path tokenizer_file = directory_ / fast_tokenizer_file();
    std::optional<TokenizerDocument> document;
    if (!is_slow_only && fs::exists(tokenizer_file)) document.emplace(read_text(tokenizer_file));
    file_arguments_ = FileArgumentsReader(directory_, config_).read(document ? &*document : nullptr);
    fast_ = bind_arguments(class_, true, file_arguments_.kwargs, config_file_.string());
    kwargs_ = fast_.init_kwargs;
    add_prefix_space_ = find_value(kwargs_, "add_prefix_space") != nullptr ? *kwargs_.find("add_prefix_space") : Json();
    if (kwargs_.find("add_prefix_space") == nullptr) add_prefix_space_ = Json(false);

    std::vector<AddedToken> converted_tokens;
    if (is_slow_only) {
      slow_only_ = convert_slow_only(slow_tokenizer(directory_, fast_));
      document.emplace(slow_only_->source.to_json());
      origin_ = directory_.string();
    } else if (!document || must_convert()) {
      ConvertedTokenizer converted = convert(document.has_value());
      converted_tokens = std::move(converted.added_tokens);
      document.emplace(converted.to_json());
      origin_ = directory_.string() + ", as converted";
    } else {
      origin_ = tokenizer_file.string();
    }
    kwargs_.erase("from_slow");
    kwargs_.erase("tokenizer_file");

    Tokenizer tokenizer = Tokenizer::from_json(document->text(), origin_);
    if (!converted_tokens.empty()) tokenizer.add_tokens(converted_tokens);
    take_defaults_of(tokenizer);
    set_special_tokens();
    std::vector<AddedToken> more_tokens = tokens_to_add(tokenizer);
    if (!more_tokens.empty()) tokenizer.add_tokens(more_tokens);
    resolve_normalized();
    if (is_slow_only) return finish_slow_only(std::move(tokenizer), more_tokens, *document);

    update_components(*document, tokenizer);
    if (document->is_changed()) {
      tokenizer = Tokenizer::from_json(document->text(), origin_);
      if (!converted_tokens.empty()) tokenizer.add_tokens(converted_tokens);
      if (!more_tokens.empty()) tokenizer.add_tokens(more_tokens);
    }
    return finish(std::move(tokenizer), *document);
  }

 private:
  /// tokenizer.json, or one of the versions that "fast_tokenizer_files" lists: the newest that 4.57.6 may read.
  std::string fast_tokenizer_file() const {
    constexpr std::string_view default_name = "tokenizer.json";
    const Json* files = config_ ? find_value(*config_, "fast_tokenizer_files") : nullptr;
    if (files == nullptr || !files->is_array()) return std::string(default_name);
    std::string best(default_name);
    std::vector<int> best_version;
    for (const Json& file : files->array()) {
      if (!file.is_string()) continue;
      const std::string& name = file.string();
      if (!name.starts_with("tokenizer.") || !name.ends_with(".json") || name == default_name) continue;
      std::vector<int> version;
      for (const char* p = name.data() + 10; p < name.data() + name.size() - 5;) {
        int part = 0;
        const auto [end, error] = std::from_chars(p, name.data() + name.size() - 5, part);
        if (error != std::errc()) {
          version.clear();
          break;
        }
        version.push_back(part);
        p = end < name.data() + name.size() - 5 && *end == '.' ? end + 1 : end;
        if (p == end && end != name.data() + name.size() - 5) {
          version.clear();
          break;
        }
      }
      if (version.empty() || version > std::vector<int>{4, 57, 6} || version < best_version) continue;
      best = name;
      best_version = std::move(version);
    }
    return best;
  }

  bool has_argument(const Json& arguments, std::string_view name) const {
    return find_value(arguments, name) != nullptr;
  }

  /// Whether the class wants the slow tokenizer's files although there is a tokenizer.json.
  bool must_convert() const {
    if (const Json* from_slow = find_value(kwargs_, "from_slow");
        from_slow != nullptr && from_slow->is_boolean() && from_slow->boolean()) {
      return true;
    }
    const std::string& name = class_.name;
    if (name == "LlamaTokenizer" || name == "T5Tokenizer" || name == "MT5Tokenizer") {
      return has_argument(kwargs_, "add_prefix_space");
    }
    if (name == "PegasusTokenizer") {
      const auto differs = [&](std::string_view argument, std::string_view usual) {
        return token_content(*kwargs_.find(argument)) != usual;
      };
      return differs("pad_token", "<pad>") || differs("eos_token", "</s>") || differs("unk_token", "<unk>");
    }
    return false;
  }

  fs::path required_file(const std::string& name, bool has_tokenizer_file) const {
    const fs::path file = directory_ / name;
    if (name.empty() || !fs::exists(file)) {
      std::string looked_for = "tokenizer.json";
      if (has_tokenizer_file) {
        fail(directory_, "its tokenizer_config.json asks for a tokenizer that is made from " +
                             (name.empty() ? "other files" : name) + ", which is missing" +
                             (class_.name == "PegasusTokenizer" ? "" : " (because of \"add_prefix_space\")"));
      }
      if (!class_.vocab_file.empty()) looked_for += " nor " + class_.vocab_file;
      if (!class_.merges_file.empty()) looked_for += " with " + class_.merges_file;
      fail(directory_, "has no tokenizer: " + class_.name + " finds neither " + looked_for);
    }
    return file;
  }

  ConvertedTokenizer convert(bool has_tokenizer_file) {
    if (!class_.slow) required_file("", has_tokenizer_file);
    const fs::path vocab_file = required_file(class_.vocab_file, has_tokenizer_file);
    const fs::path merges_file =
        class_.merges_file.empty() ? fs::path() : required_file(class_.merges_file, has_tokenizer_file);
    const BoundArguments bound =
        bind_arguments(class_, false, has_tokenizer_file ? kwargs_ : file_arguments_.kwargs, config_file_.string());
    SlowTokenizer slow = slow_tokenizer(vocab_file, bound);
    slow.merges_file = merges_file;
    // Only a slow tokenizer that was read from its files knows the tokens that these add.
    if (has_tokenizer_file) slow.added_tokens.clear();
    ConvertedTokenizer converted = convert_slow_tokenizer(slow);
    const Json slow_kwargs = deep_copy(bound.init_kwargs);
    for (const auto& [name, value] : slow_kwargs.object()) kwargs_.set(name, value);
    return converted;
  }

  SlowTokenizer slow_tokenizer(fs::path vocab_file, const BoundArguments& bound) const {
    SlowTokenizer slow;
    slow.class_name = class_.name;
    slow.vocab_file = std::move(vocab_file);
    for (const auto& [id, token] : file_arguments_.added_tokens) {
      slow.added_tokens.emplace(id, token.find("content")->string());
    }
    slow.arguments = bound.all;
    const Json* side = find_value(bound.all, "padding_side");
    slow.pads_left = side != nullptr && side->is_string() ? side->string() == "left" : class_.pads_left;
    return slow;
  }

  void set_default(std::string_view name, Json value) {
    if (kwargs_.find(name) == nullptr) kwargs_.set(name, std::move(value));
  }

  /// A tokenizer.json's truncation and padding are defaults.
  void take_defaults_of(const Tokenizer& tokenizer) {
    const auto side = [](Direction direction) { return direction == Direction::Left ? "left" : "right"; };
    const auto size = [](std::size_t value) { return Json(static_cast<std::int64_t>(value)); };
    if (const auto& truncation = tokenizer.truncation()) {
      constexpr std::string_view names[] = {"longest_first", "only_first", "only_second"};
      set_default("max_length", size(truncation->max_length));
      set_default("truncation_side", side(truncation->direction));
      set_default("stride", size(truncation->stride));
      set_default("truncation_strategy", names[static_cast<std::size_t>(truncation->strategy)]);
    }
    if (const auto& padding = tokenizer.padding()) {
      set_default("pad_token", padding->pad_token);
      set_default("pad_token_type_id", size(padding->pad_type_id));
      set_default("padding_side", side(padding->direction));
      set_default("max_length", padding->length ? size(*padding->length) : Json());
      set_default("pad_to_multiple_of", padding->pad_to_multiple_of ? size(*padding->pad_to_multiple_of) : Json());
    }
  }

  /// PreTrainedTokenizerBase.__init__, as far as tokens are concerned.
  void set_special_tokens() {
    init_kwargs_ = deep_copy(kwargs_);
    for (const std::string_view attribute : kSpecialTokenAttributes) {
      const Json* value = find_value(kwargs_, attribute);
      Json token = attribute == "additional_special_tokens" ? Json(Json::Array{}) : Json();
      if (value != nullptr) token = checked_special(attribute, *value);
      special_tokens_.emplace_back(attribute, std::move(token));
    }
    const Json* extra = find_value(kwargs_, "extra_special_tokens");
    extra_special_tokens_ = extra != nullptr ? *extra : Json(Json::Object{});
    if (extra_special_tokens_.is_array()) {  // as transformers 5 writes it
      Json::Array tokens = special_tokens_.back().second.array();
      for (const Json& token : extra_special_tokens_.array()) tokens.push_back(token);
      special_tokens_.back().second = checked_special("additional_special_tokens", Json(std::move(tokens)));
      extra_special_tokens_ = Json::Object{};
      init_kwargs_.erase("extra_special_tokens");
    }
    if (!extra_special_tokens_.is_object()) fail(config_file_, "\"extra_special_tokens\" must be an object");
    for (const auto& [attribute, value] : extra_special_tokens_.object()) {
      if (is_special_attribute(attribute)) {
        fail(config_file_, "\"extra_special_tokens\" names " + quote_json(attribute) + ", which is no extra one");
      }
      special_tokens_.emplace_back(attribute, checked_special(attribute, value));
    }
  }

  Json checked_special(std::string_view attribute, const Json& value) const {
    if (attribute == "additional_special_tokens") {
      if (!value.is_array() || !std::ranges::all_of(value.array(), is_token)) {
        fail(config_file_, "\"additional_special_tokens\" must be an array of strings and AddedTokens");
      }
    } else if (!is_token(value)) {
      fail(config_file_, quote_json(attribute) + " must be a string or an AddedToken");
    }
    return value;
  }

  /// Special tokens in their order, each content once.
  std::vector<Json*> all_special_tokens() {
    std::vector<Json*> tokens;
    std::set<std::string> seen;
    for (auto& [attribute, value] : special_tokens_) {
      if (value.is_null()) continue;
      const std::span<Json> values = value.is_array() ? std::span<Json>(value.array()) : std::span<Json>(&value, 1);
      std::set<std::string> contents;
      for (Json& token : values) {
        const std::string content = *token_content(token);
        if (content.empty() || seen.contains(content)) continue;
        contents.insert(content);
        tokens.push_back(&token);
      }
      seen.merge(contents);
    }
    return tokens;
  }

  std::vector<AddedToken> tokens_to_add(const Tokenizer& tokenizer) {
    const std::vector<Json*> special_tokens = all_special_tokens();
    std::set<std::string> special_contents;
    for (const Json* token : special_tokens) special_contents.insert(*token_content(*token));
    std::set<std::string> known;
    for (const AddedToken& token : tokenizer.added_tokens()) known.insert(token.content);

    std::vector<AddedToken> result;
    if (class_.name != "PegasusTokenizer") {  // it drops added_tokens_decoder
      for (const auto& [id, token] : file_arguments_.added_tokens) {
        const std::string content = token.find("content")->string();
        const Json* flag = token.find("special");
        const bool special = (flag != nullptr && flag->boolean()) || special_contents.contains(content);
        result.push_back(to_added_token(token, special));
        known.insert(content);
      }
    }
    const std::size_t from_files = result.size();
    std::vector<AddedToken> stated;  // as they compare before they are all made special
    for (const auto& [id, token] : file_arguments_.added_tokens) {
      const Json* flag = token.find("special");
      stated.push_back(to_added_token(token, flag != nullptr && flag->boolean()));
    }
    for (const Json* token : special_tokens) {
      if (token->is_string()) {
        if (!known.contains(token->string())) result.push_back(to_added_token(*token, true));
        continue;
      }
      const Json* flag = token->find("special");
      const AddedToken as_stated = to_added_token(*token, flag != nullptr && flag->boolean());
      const bool is_there = from_files > 0 && std::ranges::find(stated, as_stated) != stated.end();
      if (!is_there) result.push_back(to_added_token(*token, true));
    }
    return result;
  }

  /// Adding made the tokens special; one that did not state "normalized" is not any more.
  void resolve_normalized() {
    for (Json* token : all_special_tokens()) {
      if (is_added_token(*token)) *token = to_json(to_added_token(*token, true));
    }
  }

  // ---- Components
  // -----------------------------------------------------------------------------------------------------

  std::string special_content(std::string_view attribute) const {
    for (const auto& [name, value] : special_tokens_) {
      if (name == attribute && !value.is_null()) return *token_content(value);
    }
    return {};
  }

  bool argument_flag(std::string_view name, bool fallback) const {
    const Json* value = find_value(fast_.all, name);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) fail(config_file_, quote_json(name) + " must be a boolean");
    return value->boolean();
  }

  std::uint32_t id_of(const Tokenizer& tokenizer, const std::string& token) const {
    if (const auto id = tokenizer.token_to_id(token)) return *id;
    if (const auto id = tokenizer.token_to_id(special_content("unk_token"))) return *id;
    fail(directory_, class_.name + " needs the token " + quote_json(token) + ", which is not in the vocabulary");
  }

  void update_components(TokenizerDocument& document, const Tokenizer& tokenizer) {
    update_prefix_space(document);
    if (class_.has_update("normalizer")) update_normalizer(document);
    if (class_.has_update("post_processor_spaces")) update_post_processor_spaces(document);
    if (class_.has_update("prefix_space_everywhere") && argument_flag("add_prefix_space", false)) {
      for (const std::string_view name : {"pre_tokenizer", "decoder"}) {
        change(document, name, with_prefix_space(document.get(name)));
      }
    }
    if (class_.has_update("bos_eos")) update_bos_eos(document, tokenizer);
    if (class_.has_update("source_language")) update_source_language(document, tokenizer);
    const Json pre_tokenizer = document.get("pre_tokenizer");
    const Json* type = pre_tokenizer.find("type");
    if (class_.name == "CLIPTokenizer" && (type == nullptr || *type != Json("Sequence"))) {
      fail(origin_, "CLIPTokenizer wants \"pre_tokenizer\" to be a Sequence, as transformers 4.17 and later write it");
    }
    if (class_.name == "CodeGenTokenizer" && argument_flag("add_bos_token", false)) {
      fail(config_file_, "CodeGenTokenizer has no \"add_bos_token\" in its fast version");
    }
  }

  static void change(TokenizerDocument& document, std::string_view name, const Json& value) {
    if (document.get(name) != value) document.set(name, value);
  }

  void update_prefix_space(TokenizerDocument& document) {
    Json pre_tokenizer = document.get("pre_tokenizer");
    const Json* type = pre_tokenizer.find("type");
    const Json* present = pre_tokenizer.find("add_prefix_space");
    if (type == nullptr || *type != Json("ByteLevel") || present == nullptr || !add_prefix_space_.is_boolean()) return;
    pre_tokenizer.set("add_prefix_space", add_prefix_space_);
    change(document, "pre_tokenizer", pre_tokenizer);
  }

  void update_normalizer(TokenizerDocument& document) {
    Json normalizer = document.get("normalizer");
    const Json* type = normalizer.find("type");
    if (type == nullptr || *type != Json("BertNormalizer")) return;
    const auto argument = [&](std::string_view name, Json fallback) {
      const Json* value = fast_.all.find(name);
      return value != nullptr ? *value : fallback;
    };
    const Json stated = argument("strip_accents", Json());
    if (!stated.is_null() && !stated.is_boolean()) {
      fail(config_file_, "\"strip_accents\" must be a boolean or null");
    }
    normalizer.set("lowercase", argument_flag("do_lower_case", true));
    normalizer.set("strip_accents", stated);
    if (class_.has_update("handle_chinese_chars")) {
      normalizer.set("handle_chinese_chars", argument_flag("tokenize_chinese_chars", true));
    }
    change(document, "normalizer", normalizer);
  }

  void update_post_processor_spaces(TokenizerDocument& document) {
    Json post_processor = document.get("post_processor");
    if (!post_processor.is_object()) return;
    for (const std::string_view name : {"add_prefix_space", "trim_offsets"}) {
      if (post_processor.find(name) == nullptr) continue;
      post_processor.set(name, argument_flag(name, name == "trim_offsets"));
    }
    change(document, "post_processor", post_processor);
  }

  static Json with_prefix_space(Json value) {
    if (value.is_array()) {
      for (Json& item : value.array()) item = with_prefix_space(std::move(item));
    } else if (value.is_object()) {
      for (auto& [name, member] : value.object()) {
        member = name == "add_prefix_space" && member.is_boolean() ? Json(true) : with_prefix_space(std::move(member));
      }
    }
    return value;
  }

  void update_bos_eos(TokenizerDocument& document, const Tokenizer& tokenizer) {
    std::vector<TemplatePiece> single = {{"$A", 0}};
    std::vector<TemplatePiece> second = {{"$B", 1}};
    TokenIds ids;
    const auto required = [&](std::string_view attribute) {
      std::string token = special_content(attribute);
      if (token.empty()) {
        fail(config_file_,
             "\"add_" + std::string(attribute) + "\" is true, but \"" + std::string(attribute) + "\" is not set");
      }
      ids.emplace_back(token, id_of(tokenizer, token));
      return token;
    };
    if (argument_flag("add_bos_token", default_flag("add_bos_token"))) {
      const std::string bos = required("bos_token");
      single.insert(single.begin(), {bos, 0});
      second.insert(second.begin(), {bos, 1});
    }
    if (argument_flag("add_eos_token", default_flag("add_eos_token"))) {
      const std::string eos = required("eos_token");
      single.push_back({eos, 0});
      second.push_back({eos, 1});
    }
    std::vector<TemplatePiece> pair = single;
    pair.insert(pair.end(), second.begin(), second.end());
    change_template(document, template_processing(single, pair, ids));
  }

  bool default_flag(std::string_view name) const {
    const Json* value = class_.fast.defaults.find(name);
    return value != nullptr && value->is_boolean() && value->boolean();
  }

  void update_source_language(TokenizerDocument& document, const Tokenizer& tokenizer) {
    const std::string& name = class_.name;
    const auto language_argument = [&](std::string_view argument, std::string_view fallback) {
      const Json* value = find_value(fast_.all, argument);
      if (value == nullptr) return std::string(fallback);
      if (!value->is_string()) fail(config_file_, quote_json(argument) + " must be a string");
      return value->string();
    };
    std::string language = language_argument("src_lang", name == "NllbTokenizer" ? "eng_Latn" : "en_XX");
    std::vector<std::string> prefix;
    std::vector<std::string> suffix = {special_content("eos_token")};
    if (name == "SeamlessM4TTokenizer") {
      const auto marked = [](const std::string& code) {
        return code.find("__") == std::string::npos ? "__" + code + "__" : code;
      };
      language = marked(language_argument("src_lang", "eng"));
      init_kwargs_.set("src_lang", language);
      init_kwargs_.set("tgt_lang", marked(language_argument("tgt_lang", "fra")));
    }
    if (name == "MBartTokenizer" || (name == "NllbTokenizer" && argument_flag("legacy_behaviour", false))) {
      suffix.push_back(language);
    } else {
      prefix.push_back(language);
    }
    source_language_ = Json(language);

    std::vector<TemplatePiece> single;
    std::vector<TemplatePiece> pair;
    TokenIds ids;
    const auto append = [&](const std::vector<std::string>& tokens) {
      for (const std::string& token : tokens) {
        const std::uint32_t id = id_of(tokenizer, token);
        const std::string known = tokenizer.id_to_token(id).value_or(token);  // the unknown token for what is not there
        single.push_back({known, 0});
        pair.push_back({known, 0});
        ids.emplace_back(known, id);
      }
    };
    append(prefix);
    single.push_back({"$A", 0});
    pair.insert(pair.end(), {{"$A", 0}, {"$B", 0}});
    append(suffix);
    change_template(document, template_processing(single, pair, ids));
  }

  /// The tokens' order in "special_tokens" means nothing: the real library sorts them.
  static void change_template(TokenizerDocument& document, Json value) {
    const auto sorted = [](Json json) {
      if (const Json* tokens = json.find("special_tokens"); tokens != nullptr && tokens->is_object()) {
        Json::Object members = tokens->object();
        std::ranges::sort(members, {}, &Json::Member::first);
        json.set("special_tokens", std::move(members));
      }
      return json;
    };
    value = sorted(std::move(value));
    if (sorted(document.get("post_processor")) != value) document.set("post_processor", value);
  }

  // ---- The rest
  // -------------------------------------------------------------------------------------------------------

  Direction side_argument(std::string_view name, bool is_left) const {
    const Json* value = find_value(kwargs_, name);
    if (value == nullptr) return is_left ? Direction::Left : Direction::Right;
    if (*value != Json("left") && *value != Json("right")) {
      fail(config_file_, quote_json(name) + " must be \"left\" or \"right\", is " + dump_json(*value));
    }
    return *value == Json("left") ? Direction::Left : Direction::Right;
  }

  bool kwargs_flag(std::string_view name) const {
    const Json* value = find_value(kwargs_, name);
    return value != nullptr && value->is_boolean() && value->boolean();
  }

  double max_length() const {
    const Json* value = find_value(kwargs_, "model_max_length");
    if (value == nullptr) value = find_value(kwargs_, "max_len");
    if (value == nullptr) return kVeryLargeInteger;
    if (!value->is_number() || !(value->number() >= 0)) {
      fail(config_file_, "\"model_max_length\" must be a number that is not negative");
    }
    return value->number();
  }

  Json chat_template() const {
    const Json* value = find_value(kwargs_, "chat_template");
    if (value == nullptr) return {};
    if (value->is_string()) return *value;
    Json templates = Json::Object{};
    if (value->is_array()) {
      for (const Json& item : value->array()) {
        const Json* name = item.find("name");
        const Json* body = item.find("template");
        if (name == nullptr || !name->is_string() || body == nullptr || !body->is_string()) {
          fail(config_file_, "an item of \"chat_template\" must have \"name\" and \"template\", both strings");
        }
        templates.set(name->string(), *body);
      }
    } else if (value->is_object()) {
      for (const auto& [name, body] : value->object()) {
        if (!body.is_string()) fail(config_file_, "\"chat_template\" must hold strings");
        templates.set(name, body);
      }
    } else {
      fail(config_file_, "\"chat_template\" must be a string or an array of objects with \"name\" and \"template\"");
    }
    return templates;
  }

  std::vector<std::string> model_input_names() const {
    std::vector<std::string> names = class_.model_input_names;
    if (const Json* value = find_value(kwargs_, "model_input_names")) {
      names.clear();
      if (!value->is_array() || !std::ranges::all_of(value->array(), &Json::is_string)) {
        fail(config_file_, "\"model_input_names\" must be an array of strings");
      }
      for (const Json& name : value->array()) names.push_back(name.string());
    }
    if (class_.name == "CodeGenTokenizer" && argument_flag("return_token_type_ids", false)) {
      names.emplace_back("token_type_ids");
    }
    return names;
  }

  PretrainedState finish_slow_only(Tokenizer tokenizer, const std::vector<AddedToken>& added_tokens,
                                   const TokenizerDocument& document) {
    PretrainedState state = finish(std::move(tokenizer), document);
    if (slow_only_->target) {
      state.target = Tokenizer::from_json(slow_only_->target->to_json(), directory_.string());
      state.target->add_tokens(added_tokens);
    }
    state.tokens_to_string = std::move(slow_only_->tokens_to_string);
    state.vocabulary_files = std::move(slow_only_->vocabulary_files);
    return state;
  }

  PretrainedState finish(Tokenizer tokenizer, const TokenizerDocument& document) {
    Tokenizer backend = tokenizer;
    backend.set_truncation(std::nullopt);
    backend.set_padding(std::nullopt);
    PretrainedState result(std::move(tokenizer), std::move(backend));
    result.pretrained_class = &class_;
    result.class_name = class_.name;
    result.init_kwargs = std::move(init_kwargs_);
    result.special_tokens = std::move(special_tokens_);
    result.extra_special_tokens = std::move(extra_special_tokens_);
    result.chat_template = chat_template();
    result.add_prefix_space = add_prefix_space_;
    result.source_language = source_language_;
    result.model_max_length = max_length();
    result.model_input_names = model_input_names();
    result.padding_side = side_argument("padding_side", class_.pads_left);
    result.truncation_side = side_argument("truncation_side", false);
    result.clean_up_tokenization_spaces = kwargs_flag("clean_up_tokenization_spaces");
    result.split_special_tokens = kwargs_flag("split_special_tokens");
    result.pad_token_type_id = class_.pad_token_type_id;
    if (class_.name == "CLIPTokenizer") result.end_of_word_suffix = end_of_word_suffix(document);
    if (class_.name == "WhisperTokenizer") {
      if (auto words = read_object(directory_ / "normalizer.json")) result.whisper_normalizer = std::move(*words);
    }
    if (class_.vocab_file.ends_with(".model") && fs::exists(directory_ / class_.vocab_file)) {
      result.vocab_file = directory_ / class_.vocab_file;
    }
    return result;
  }

  /// CLIP's is "</w>", unless the file says otherwise: it is searched in the model's text before the vocabulary.
  static std::string end_of_word_suffix(const TokenizerDocument& document) {
    const std::string text = document.text();
    constexpr std::string_view key = "\"end_of_word_suffix\"";
    const std::size_t found = text.find(key);
    if (found == std::string::npos) return {};
    const std::size_t begin = text.find_first_not_of(": \t\r\n", found + key.size());
    if (begin == std::string::npos || text[begin] != '"') return {};
    const std::size_t end = text.find('"', begin + 1);
    return end == std::string::npos ? "" : text.substr(begin + 1, end - begin - 1);
  }

  fs::path directory_;
  fs::path config_file_;
  std::optional<Json> config_;
  const PretrainedClass& class_;
  std::string origin_;
  FileArguments file_arguments_;
  BoundArguments fast_;
  Json kwargs_;
  Json init_kwargs_;
  Json add_prefix_space_;
  Json source_language_;
  std::vector<std::pair<std::string, Json>> special_tokens_;
  Json extra_special_tokens_;
  std::optional<SlowOnlyTokenizer> slow_only_;
};

}  // namespace

namespace tokenizers {

PretrainedState load_pretrained(const std::filesystem::path& directory) {
  if (!fs::is_directory(directory)) {
    throw Error(ErrorKind::InvalidTokenizer, directory.string() + " is not a directory");
  }
  return Loader(directory).load();
}

}  // namespace tokenizers
}  // namespace onnxport
