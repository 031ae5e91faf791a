#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"

/// What transformers knows of a tokenizer by its class alone.
namespace onnxport::tokenizers {

/// Arguments of a constructor (__init__) of a tokenizer class.
struct ClassConstructor {
  Json defaults;                      ///< object: those that become init_kwargs, with their defaults
  std::vector<std::string> consumed;  ///< those that do not
  Json wrapped;                       ///< object: flags of the AddedToken that a string given for a name becomes
};

/// A tokenizer class that has a fast version, or one of those of slow_only.h (update "slow_only").
struct PretrainedClass {
  std::string name;                         ///< without "Fast": "BertTokenizer"
  std::string vocab_file;                   ///< "vocab.txt"; empty if the class has none
  std::string merges_file;                  ///< "merges.txt"
  std::vector<std::string> file_arguments;  ///< keys of vocab_files_names, which tokenizer_config.json never holds
  std::vector<std::string> model_input_names;
  bool pads_left = false;
  std::int64_t pad_token_type_id = 0;
  std::vector<std::string> updates;  ///< ways of the class that follow from its code, see make_class_table.py
  ClassConstructor fast;
  std::optional<ClassConstructor> slow;  ///< absent if there is nothing to convert from

  bool has_update(std::string_view update) const;
};

/// The class by its name, with or without "Fast". nullptr if there is none with a fast version.
const PretrainedClass* find_pretrained_class(std::string_view name);
/// Whether transformers has the class, but without a fast version.
bool is_slow_only_class(std::string_view name);
/// The class that AutoTokenizer takes for config.json's model_type.
std::optional<std::string> tokenizer_class_of_model_type(std::string_view model_type);
/// Names of all classes with a fast version.
std::vector<std::string> pretrained_class_names();

/// Language codes in the order of their ids: of MBartTokenizer, MBart50Tokenizer, NllbTokenizer, WhisperTokenizer.
const std::vector<std::string>& class_languages(std::string_view name);
/// Whisper's code of a language given by name or code, in lower case; nothing if unknown.
std::optional<std::string> whisper_language_code(std::string_view language);

/// The table behind all this as JSON; a file of its own, as a script makes it.
std::string_view pretrained_class_table();

}  // namespace onnxport::tokenizers
