#include "support/fixture.h"

#include <algorithm>
#include <fstream>

#include "onnxport/json.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return hash;
}

std::uint64_t splitmix64(std::uint64_t x) {
  std::uint64_t z = x + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

Array tensor_of(const Json& entry) {
  std::vector<std::int64_t> shape;
  for (const Json& size : entry.find("shape")->array()) shape.push_back(size.integer());
  Array array(DataType::Float32, shape);
  const std::uint64_t seed = fnv1a64(entry.find("name")->string());
  const double scale = entry.find("scale")->number();
  const double offset = entry.find("offset")->number();
  for (std::int64_t i = 0; i < array.element_count(); ++i) {
    const std::uint64_t bits = splitmix64(seed + static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15U) >> 40;
    array.mutable_data<float>()[i] =
        static_cast<float>(offset + scale * (2.0 * (static_cast<double>(bits) * 0x1p-24) - 1.0));
  }
  return array;
}

}  // namespace

fs::path fixtures_directory() { return source_directory() / "tests/golden/fixtures"; }

namespace {

/// The strings of "__metadata__", with which the header of a fixture begins: the tensors behind them are not read, as
/// every start of a test program lists a thousand files.
std::map<std::string, std::string> read_metadata(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t header_size = 0;
  file.read(reinterpret_cast<char*>(&header_size), sizeof header_size);
  std::string header(header_size, '\0');
  if (!file.read(header.data(), static_cast<std::streamsize>(header.size())))
    throw std::runtime_error("cannot read " + path.string());
  const std::string_view start = R"({"__metadata__":)";
  if (!header.starts_with(start)) throw std::runtime_error(path.string() + " does not begin with __metadata__");
  std::size_t end = start.size();
  for (bool in_string = false; header.at(end) != '}' || in_string; ++end) {
    if (header[end] == '"') in_string = !in_string;
    if (header[end] == '\\') ++end;
  }
  std::map<std::string, std::string> metadata;
  const Json strings = parse_json(std::string_view(header).substr(start.size(), end + 1 - start.size()), path.string());
  for (const auto& [name, value] : strings.object()) metadata.emplace(name, value.string());
  return metadata;
}

std::vector<FixtureFile> list_fixture_files() {
  std::vector<FixtureFile> files;
  for (const auto& directory : fs::directory_iterator(fixtures_directory())) {
    for (const auto& entry : fs::directory_iterator(directory.path())) {
      const std::string name = entry.path().filename().string();
      if (!name.ends_with(".safetensors") || name.starts_with("constants.")) continue;
      FixtureFile file{entry.path(), directory.path().filename().string(), {}, {}, {}};
      file.metadata = read_metadata(entry.path());
      file.task = file.metadata.at("task");
      file.submodel = file.metadata.at("submodel");
      files.push_back(std::move(file));
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace

const std::vector<FixtureFile>& fixture_files() {
  static const std::vector<FixtureFile> files = list_fixture_files();
  return files;
}

std::vector<FixtureCase> read_cases(const FixtureFile& file) {
  std::map<int, FixtureCase> cases;
  for (const auto& [name, source] : read_safetensors(file.path)) {
    const std::size_t first = name.find('.');
    const std::size_t second = name.find('.', first + 1);
    FixtureCase& target = cases[std::stoi(name.substr(0, first))];
    const bool input = name.substr(first + 1, second - first - 1) == "input";
    (input ? target.inputs : target.outputs).emplace_back(name.substr(second + 1), materialize(source));
  }
  std::vector<FixtureCase> result;
  for (auto& [index, value] : cases) result.push_back(std::move(value));
  return result;
}

Checkpoint materialize_checkpoint(const FixtureFile& file) {
  const fs::path directory = file.path.parent_path();
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  checkpoint.config = parse_json(read_text_file(directory / file.metadata.at("config")), "config.json");
  checkpoint.config.set("architectures", Json::Array{file.metadata.at("checkpoint_architecture")});
  const Json weights = parse_json(read_text_file(directory / file.metadata.at("weights")), file.metadata.at("weights"));
  for (const Json& entry : weights.array())
    checkpoint.tensors.emplace(entry.find("name")->string(), from_array(tensor_of(entry)));
  if (const std::string& constants = file.metadata.at("constants"); !constants.empty())
    for (auto& [name, source] : read_safetensors(directory / constants)) checkpoint.tensors.emplace(name, source);
  return checkpoint;
}

void write_checkpoint(const FixtureFile& file, const fs::path& directory) {
  const Checkpoint checkpoint = materialize_checkpoint(file);
  fs::create_directories(directory);
  write_safetensors(directory / "model.safetensors", checkpoint.tensors, {{"format", "pt"}});
  std::ofstream(directory / "config.json") << dump_json(checkpoint.config, 2) << "\n";
  for (const auto& entry : fs::directory_iterator(file.path.parent_path())) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with("_config.json"))
      fs::copy_file(entry.path(), directory / name, fs::copy_options::overwrite_existing);
  }
}

}  // namespace onnxport::testing
