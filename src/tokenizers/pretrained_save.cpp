#include <algorithm>
#include <fstream>
#include <limits>
#include <set>

#include "onnxport/error.h"
#include "tokenizers/convert.h"
#include "tokenizers/pretrained_arguments.h"
#include "tokenizers/pretrained_text.h"
#include "tokenizers/pretrained_tokenizer.h"

namespace onnxport::tokenizers {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& file, std::string_view text) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  stream.close();
  if (!stream) throw Error(ErrorKind::OutputFailed, "cannot write " + file.string());
}

/// As json.dumps(sort_keys=True) does, at every level.
Json sorted(const Json& value) {
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.array()) items.push_back(sorted(item));
    return items;
  }
  if (!value.is_object()) return value;
  Json::Object members;
  for (const auto& [name, member] : value.object()) members.emplace_back(name, sorted(member));
  std::ranges::sort(members, {}, &Json::Member::first);
  return members;
}

/// Doubles that stand for Python's large integers, written as those.
std::string python_json(const Json& value) {
  std::string text = dump_json(value, 2) + "\n";
  return replace_all(std::move(text), ": 1e+30", ": 1000000000000000019884624838656");
}

/// AddedTokens within a value, with or without the marks that tell tokenizer_config.json's from others.
Json as_saved(const Json& value, bool with_type) {
  if (is_added_token(value)) {
    Json token = deep_copy(value);
    if (!with_type) {
      token.erase("__type");
      token.erase("special");
    }
    return token;
  }
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.array()) items.push_back(as_saved(item, with_type));
    return items;
  }
  if (value.is_object()) {
    Json::Object members;
    for (const auto& [name, member] : value.object()) members.emplace_back(name, as_saved(member, with_type));
    return members;
  }
  return value;
}

class Saver {
 public:
  Saver(const PretrainedState& state, const fs::path& directory) : state_(state), directory_(directory) {}

  std::vector<fs::path> save() {
    std::error_code error;
    fs::create_directories(directory_, error);
    if (!fs::is_directory(directory_)) {
      throw Error(ErrorKind::OutputFailed, "cannot make the directory " + directory_.string());
    }
    const fs::path config = write("tokenizer_config.json", python_json(config_json()));
    const fs::path map = write("special_tokens_map.json", python_json(special_tokens_map_json()));
    files_ = {config, map};
    write_chat_templates();
    if (state_.is_slow_only()) {
      write_slow_only_files();
      return std::move(files_);
    }
    if (state_.pretrained_class->slow && can_save_slow()) write_slow_files();
    const fs::path tokenizer = directory_ / "tokenizer.json";
    state_.tokenizer.save(tokenizer);
    files_.push_back(tokenizer);
    return std::move(files_);
  }

 private:
  fs::path write(const fs::path& name, std::string_view text) {
    write_file(directory_ / name, text);
    return directory_ / name;
  }

  /// Classes whose files are a sentencepiece model can only save it if they have it.
  bool can_save_slow() const {
    return !state_.pretrained_class->vocab_file.ends_with(".model") || fs::is_regular_file(state_.vocab_file);
  }

  Json max_length_json() const {
    const double length = state_.model_max_length;
    constexpr double largest = 9e18;
    if (length < largest && length == static_cast<double>(static_cast<std::int64_t>(length))) {
      return Json(static_cast<std::int64_t>(length));
    }
    return Json(length);
  }

  Json config_json() const {
    Json config = state_.init_kwargs;
    // What the tokenizer has as attributes is saved as it is now.
    const auto side = [](Direction direction) { return direction == Direction::Left ? "left" : "right"; };
    const auto update = [&](std::string_view name, Json value) {
      if (config.find(name) != nullptr) config.set(name, std::move(value));
    };
    update("padding_side", side(state_.padding_side));
    update("truncation_side", side(state_.truncation_side));
    update("add_prefix_space", state_.add_prefix_space);
    if (!state_.source_language.is_null()) update("src_lang", state_.source_language);
    if (config.find("model_input_names") != nullptr) {
      config.set("model_input_names", Json::Array(state_.model_input_names.begin(), state_.model_input_names.end()));
    }
    update("pad_token_type_id", Json(state_.pad_token_type_id));
    config.set("model_max_length", max_length_json());
    config.set("clean_up_tokenization_spaces", state_.clean_up_tokenization_spaces);
    for (const auto& [name, value] : state_.special_tokens) {
      if (config.find(name) == nullptr) continue;
      if (value.is_array()) {
        Json::Array contents;
        for (const Json& token : value.array()) contents.emplace_back(*token_content(token));
        config.set(name, std::move(contents));
      } else {
        const auto content = token_content(value);
        config.set(name, content ? Json(*content) : Json());
      }
    }
    const Json tokens = state_.special_tokens_map();
    for (const auto& [name, value] : tokens.object()) config.set(name, value);
    if (config.find("extra_special_tokens") == nullptr) {
      config.set("extra_special_tokens", state_.extra_special_tokens);
      for (const auto& [name, value] : state_.extra_special_tokens.object()) config.set(name, value);
    }
    if (!state_.chat_template.is_null()) config.erase("chat_template");
    for (const std::string& argument : state_.pretrained_class->file_arguments) config.erase(argument);
    for (const std::string_view name : {"name_or_path", "special_tokens_map_file", "tokenizer_file", "device_map"}) {
      config.erase(name);
    }
    config = as_saved(config, true);

    const std::string suffix = state_.is_slow_only() || can_save_slow() ? "" : "Fast";
    config.set("tokenizer_class", state_.class_name + suffix);
    config = sorted(config);
    Json added = Json::Object{};  // in the order of ids, not of their digits
    for (const AddedToken& token : state_.tokenizer.added_tokens()) {
      Json json = to_json(token);
      json.erase("__type");
      added.set(std::to_string(token.id), sorted(json));
    }
    config.set("added_tokens_decoder", std::move(added));
    std::ranges::sort(config.object(), {}, &Json::Member::first);
    return config;
  }

  Json special_tokens_map_json() const {
    Json map = Json::Object{};
    for (const auto& [name, value] : state_.special_tokens) {
      if (value.is_null() || (value.is_array() && value.array().empty())) continue;
      map.set(name, as_saved(value, false));
    }
    return sorted(map);
  }

  void write_chat_templates() {
    const auto write_default = [&](const Json& text) { files_.push_back(write("chat_template.jinja", text.string())); };
    if (state_.chat_template.is_string()) write_default(state_.chat_template);
    if (!state_.chat_template.is_object()) return;
    for (const auto& [name, text] : state_.chat_template.object()) {
      if (name == "default") {
        write_default(text);
        continue;
      }
      // A name is to be a file's, and nothing else.
      if (name.empty() || name.find_first_of("/\\") != std::string::npos || name.front() == '.') {
        throw Error(ErrorKind::OutputFailed, "the chat template's name " + quote_json(name) + " is no file name");
      }
      const fs::path folder = "additional_chat_templates";
      fs::create_directories(directory_ / folder);
      files_.push_back(write(folder / (name + ".jinja"), text.string()));
    }
  }

  void write_added_tokens() {
    const std::size_t vocabulary_size = state_.tokenizer.vocabulary_size(false);
    Json added = Json::Object{};
    for (const AddedToken& token : state_.tokenizer.added_tokens()) {
      if (token.id >= vocabulary_size) added.set(token.content, Json(static_cast<std::int64_t>(token.id)));
    }
    if (!added.object().empty()) write("added_tokens.json", python_json(sorted(added)));
  }

  void copy_vocabulary(const fs::path& source, const fs::path& name) {
    const fs::path target = directory_ / name;
    std::error_code error;
    if (!fs::equivalent(source, target, error)) {
      fs::copy_file(source, target, fs::copy_options::overwrite_existing, error);
      if (error) throw Error(ErrorKind::OutputFailed, "cannot write " + target.string() + ": " + error.message());
    }
    files_.push_back(target);
  }

  void write_slow_only_files() {
    write_added_tokens();
    for (const fs::path& file : state_.vocabulary_files) copy_vocabulary(file, file.filename());
    files_.push_back(directory_ / "added_tokens.json");
  }

  void write_slow_files() {
    write_added_tokens();
    const std::string& vocab_file = state_.pretrained_class->vocab_file;
    if (vocab_file.ends_with(".model")) {
      copy_vocabulary(state_.vocab_file, vocab_file);
    } else {
      write_model_files();
    }
    if (state_.class_name == "WhisperTokenizer") {
      files_.push_back(directory_ / "normalizer.json");
      if (!state_.whisper_normalizer.is_null()) {
        write("normalizer.json", python_json(sorted(state_.whisper_normalizer)));
      }
    }
    files_.push_back(directory_ / "added_tokens.json");
  }

  /// What the real library's model.save() writes: vocab.txt, or vocab.json and merges.txt.
  void write_model_files() {
    const Json document = parse_json(state_.tokenizer.to_json(false), "tokenizer.json");
    const Json& model = *document.find("model");
    const Json* type = model.find("type");
    std::string lines;
    if (*type == Json("WordPiece")) {
      for (const auto& [token, unused] : state_.tokenizer.vocabulary(false)) lines += token + "\n";
      files_.push_back(write("vocab.txt", lines));
      return;
    }
    if (*type == Json("Unigram")) {
      files_.push_back(write("unigram.json", dump_json(model, 2)));
      return;
    }
    std::string vocab = "{";
    for (const auto& [token, id] : state_.tokenizer.vocabulary(false)) {
      vocab += (vocab.size() == 1 ? "" : ",") + quote_json(token) + ":" + std::to_string(id);
    }
    files_.push_back(write("vocab.json", vocab + "}"));
    if (*type != Json("BPE")) return;
    lines = "#version: 0.2\n";
    for (const Json& merge : model.find("merges")->array()) {
      lines += merge.is_string() ? merge.string() : merge.array()[0].string() + " " + merge.array()[1].string();
      lines += "\n";
    }
    files_.push_back(write("merges.txt", lines));
  }

  const PretrainedState& state_;
  fs::path directory_;
  std::vector<fs::path> files_;
};

}  // namespace

std::vector<fs::path> save_pretrained(const PretrainedState& state, const fs::path& directory) {
  return Saver(state, directory).save();
}

}  // namespace onnxport::tokenizers
