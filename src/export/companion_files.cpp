#include "export/companion_files.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include "architectures/sentence_transformers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/file_names.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr const char* modules_json = "modules.json";

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

/// Where the companions lie: the directory itself; of a sentence-transformers directory also that of its transformer.
std::vector<fs::path> sources(const fs::path& from) {
  std::vector<fs::path> directories{from};
  if (!fs::exists(from / modules_json)) return directories;
  const fs::path transformer = sentence_modules(from).front().path;
  if (!transformer.empty() && fs::is_directory(from / transformer)) directories.push_back(from / transformer);
  return directories;
}

void copy_companions(const fs::path& from, const fs::path& to, std::vector<fs::path>& written) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path name = entry.path().filename();
    if (!is_companion_file(name.string()) || !entry.is_regular_file()) continue;
    copy_companion(entry.path(), to / name);
    written.push_back(name);
  }
}

/// modules.json, in which the transformer lies where model.onnx does.
void write_modules_json(const fs::path& from, const fs::path& to, std::vector<fs::path>& written) {
  Json modules = parse_json(read_text_file(from / modules_json), (from / modules_json).string());
  modules.array().front().set("path", "");
  write_json_file(modules, to / modules_json);
  written.emplace_back(modules_json);
}

/// Configs and weights of the modules after the transformer (1_Pooling/config.json, 2_Dense/model.safetensors). The
/// graph of a sentence embedding holds them already; SentenceTransformer loads them when it takes model.onnx for its
/// transformer alone.
void copy_modules(const fs::path& from, const fs::path& to, std::vector<fs::path>& written) {
  if (!fs::exists(from / modules_json)) return;
  write_modules_json(from, to, written);
  const std::vector<SentenceModule> modules = sentence_modules(from);
  for (std::size_t i = 1; i < modules.size(); ++i) {
    if (modules[i].path.empty()) continue;
    for (std::string_view file : {"config.json", "model.safetensors", "pytorch_model.bin"}) {
      const fs::path name = modules[i].path / file;
      if (!fs::is_regular_file(from / name)) continue;
      copy_companion(from / name, to / name);
      written.push_back(name);
    }
  }
}

}  // namespace

std::vector<fs::path> write_companion_files(const fs::path& from, const Json& config, const fs::path& to) {
  std::vector<fs::path> written{"config.json"};
  write_json_file(config, to / "config.json");
  for (const fs::path& source : sources(from)) copy_companions(source, to, written);
  copy_modules(from, to, written);
  std::sort(written.begin() + 1, written.end());
  written.erase(std::unique(written.begin() + 1, written.end()), written.end());
  return written;
}

void write_json_file(const Json& json, const fs::path& path) {
  std::ofstream file(path, std::ios::binary);
  file << dump_json(json, 2) << "\n";
  if (!file.flush()) fail(path, "the disk is full or the directory read-only");
}

}  // namespace onnxport
