#include "architectures/plugin.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include <dlfcn.h>
#include <link.h>

#include "architectures/plugin_entry.h"
#include "core/mapped_file.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& plugin, const std::string& problem) {
  throw Error(ErrorKind::InvalidArgument, "the plugin " + plugin.string() + " " + problem);
}

/// Without the mark.
std::string described(std::string_view interface) {
  return std::string(interface.substr(std::string_view(ONNXPORT_PLUGIN_MARK).size()));
}

void check_interface(const fs::path& plugin, std::string_view interface) {
  if (interface != ONNXPORT_PLUGIN_INTERFACE)
    fail(plugin, "was compiled for " + described(interface) + "; this is " + described(ONNXPORT_PLUGIN_INTERFACE) +
                     ": compile it against the headers that came with this program");
}

/// The dynamic loader maps what the header says, and touches it: of a file that is cut short it would die.
bool is_complete(std::string_view file) {
  ElfW(Ehdr) header;
  if (file.size() < sizeof header) return false;
  std::memcpy(&header, file.data(), sizeof header);
  ElfW(Phdr) segment;
  if (header.e_phentsize != sizeof segment || header.e_phoff > file.size() ||
      header.e_phnum > (file.size() - header.e_phoff) / sizeof segment)
    return false;
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    std::memcpy(&segment, file.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_LOAD) continue;
    if (segment.p_offset > file.size() || segment.p_filesz > file.size() - segment.p_offset) return false;
  }
  return true;
}

/// What a library was made for, as it stands in its file. Loading it would run code of it, and one of another version
/// would fail for a missing symbol first.
void check_file(const fs::path& plugin) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(plugin);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (!text.starts_with("\177ELF")) fail(plugin, "is no shared library");
  if (!is_complete(text)) fail(plugin, "is cut short");
  const std::size_t begin = text.find(ONNXPORT_PLUGIN_MARK);
  if (begin == std::string_view::npos)
    fail(plugin, "is no plugin of onnxport: ONNXPORT_PLUGIN is not in it (docs/add-an-architecture.md)");
  constexpr std::size_t longest = 256;
  const std::string_view interface = text.substr(begin, longest);
  check_interface(plugin, interface.substr(0, interface.find('\0')));
}

const PluginEntry& load(const fs::path& plugin) {
  void* library = ::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const std::string problem = ::dlerror();
    const bool lacks_symbols = problem.find("undefined symbol") != std::string::npos;
    fail(plugin, "cannot be loaded: " + problem +
                     (lacks_symbols ? "; a program that loads plugins is linked with onnxport_enable_plugins()" : ""));
  }
  const auto* entry = static_cast<const PluginEntry*>(::dlsym(library, "onnxport_plugin"));
  if (entry == nullptr) fail(plugin, "is no plugin of onnxport: it exports no onnxport_plugin");
  check_interface(plugin, entry->interface);
  return *entry;
}

/// A registry of its own for each, so that one that fails leaves nothing behind.
Registry architectures_of(const fs::path& plugin) {
  const PluginEntry& entry = load(plugin);
  Registry registered;
  try {
    entry.register_architectures(registered);
  } catch (const std::exception& error) {
    fail(plugin, std::string("cannot be used: ") + error.what());
  }
  if (registered.architectures().empty()) fail(plugin, "registers no architecture");
  return registered;
}

}  // namespace

std::shared_ptr<const Registry> registry_with(std::span<const fs::path> plugins) {
  if (plugins.empty()) return {std::shared_ptr<void>(), &registry()};
  const auto all = std::make_shared<Registry>(registry());
  std::map<std::string, fs::path> origins;
  std::set<fs::path> loaded;
  for (const fs::path& plugin : plugins) {
    std::error_code error;
    const fs::path file = fs::canonical(plugin, error);
    if (error) fail(plugin, "cannot be opened: " + error.message());
    if (!loaded.insert(file).second) continue;
    if (!fs::is_regular_file(file)) fail(plugin, "is not a file");
    check_file(file);
    const Registry added = architectures_of(file);
    for (const auto& [model_type, architecture] : added.architectures()) {
      if (all->find(model_type) != nullptr) {
        const auto origin = origins.find(model_type);
        fail(plugin, "registers the model type " + model_type + ", which " +
                         (origin == origins.end() ? "onnxport" : "the plugin " + origin->second.string()) +
                         " has already");
      }
      origins.emplace(model_type, plugin);
      all->add(architecture);
    }
  }
  return all;
}

}  // namespace onnxport
