#include "export/companion_files.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// Every file that a tokenizer, processor or generation config of transformers is saved as.
constexpr std::string_view companions[] = {
    "generation_config.json",
    // tokenizers
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "bpe.codes", "dict.txt", "entity_vocab.json", "vocab.model", "spiece.model",
    "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model", "source.spm", "target.spm",
    "target_vocab.json", "normalizer.json", "emoji.json", "char_vocab.json", "prophetnet.tokenizer",
    // chat templates
    "chat_template.jinja", "chat_template.json",
    // processors
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "feature_extractor.json",
    // sentence-transformers
    "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"};

[[noreturn]] void fail(const fs::path& path, std::string_view reason) {
  throw Error(ErrorKind::OutputFailed, "cannot write " + path.string() + ": " + std::string(reason));
}

void copy_companion(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  // A file of a hub's cache is a link: what it points to is copied.
  if (!error) fs::copy_file(fs::canonical(from), to, fs::copy_options::overwrite_existing, error);
  if (error) fail(to, error.message());
}

/// The configs of sentence-transformers' modules (1_Pooling/config.json); their weights are in the graph.
void copy_module_configs(const fs::path& from, const fs::path& to, std::vector<fs::path>& written) {
  if (!fs::exists(from / "modules.json")) return;
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path config = entry.path() / "config.json";
    if (!entry.is_directory() || !fs::is_regular_file(config)) continue;
    const fs::path name = entry.path().filename() / "config.json";
    copy_companion(config, to / name);
    written.push_back(name);
  }
}

}  // namespace

std::vector<fs::path> write_companion_files(const fs::path& from, const Json& config, const fs::path& to) {
  std::vector<fs::path> written{"config.json"};
  std::ofstream file(to / "config.json", std::ios::binary);
  file << dump_json(config, 2) << "\n";
  if (!file.flush()) fail(to / "config.json", "the disk is full or the directory read-only");
  for (std::string_view name : companions) {
    if (!fs::is_regular_file(from / name)) continue;
    copy_companion(from / name, to / name);
    written.emplace_back(name);
  }
  copy_module_configs(from, to, written);
  return written;
}

}  // namespace onnxport
