#include "export/rewrite.h"

#include <algorithm>
#include <memory>
#include <set>
#include <system_error>

#include "checkpoint/checkpoint.h"
#include "core/mapped_file.h"
#include "export/companion_files.h"
#include "onnx/external_data.h"
#include "onnx/reader.h"
#include "onnx/staged_directory.h"
#include "onnx/writer.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidModel, message); }

bool is_onnx_file(const fs::path& path) {
  std::error_code error;
  return path.extension() == ".onnx" && fs::is_regular_file(path, error);
}

/// An exported directory as Hub repositories have it keeps its models in a folder.
std::string hint(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.is_directory(error))
      for (const auto& inner : fs::directory_iterator(entry.path(), error))
        if (is_onnx_file(inner.path())) return ". There are some in " + entry.path().string();
  return ". Export the checkpoint first: onnxport export onnx";
}

void check_output(const fs::path& directory, const fs::path& output) {
  if (output.empty()) throw Error(ErrorKind::InvalidArgument, "no output directory is given");
  std::error_code error;
  if (fs::equivalent(directory.empty() ? "." : directory, output, error))
    throw Error(ErrorKind::InvalidArgument, "the output " + output.string() +
                                                " is the directory of the models themselves: choose another one, so "
                                                "that they are kept as they are");
}

fs::path renamed(const fs::path& file, const std::string& suffix) {
  if (suffix.empty()) return file.filename();
  return file.stem().string() + "_" + suffix + file.extension().string();
}

/// The files that a model's weights lie in, itself included.
std::set<std::shared_ptr<const MappedFile>> mapped_files(const onnx::Model& model) {
  std::set<std::shared_ptr<const MappedFile>> files;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Initializer& initializer : graph.initializers)
      if (initializer.source.file) files.insert(initializer.source.file);
  });
  return files;
}

std::uint64_t size_of_files(const std::vector<fs::path>& files) {
  std::uint64_t size = 0;
  for (const fs::path& file : files)
    if (std::error_code error; fs::is_regular_file(file, error)) size += fs::file_size(file, error);
  return size;
}

std::uint64_t size_with_data(const onnx::Model& model, const fs::path& file) {
  std::set<fs::path> files{file};
  for (const auto& mapped : mapped_files(model)) files.insert(mapped->path());
  return size_of_files({files.begin(), files.end()});
}

class Rewriter {
 public:
  explicit Rewriter(const RewriteOptions& options)
      : options_(options),
        directory_(fs::is_directory(options.model) ? options.model : options.model.parent_path()),
        files_(find_onnx_files(options.model, options.file_names)) {
    check_output(directory_, options.output);
  }

  template <typename Edit>
  RewriteResult run(const Edit& edit) {
    onnx::StagedDirectory staged(options_.output);
    for (const fs::path& file : files_) {
      onnx::Model model = onnx::read_model(file);
      onnx::check_external_data(model, file);
      RewrittenModel entry{file, options_.output / renamed(file, options_.suffix), size_with_data(model, file)};
      const auto mapped = mapped_files(model);
      edit(model, file);
      entry.bytes = write(model, {mapped.begin(), mapped.end()}, staged.path() / entry.path.filename());
      result_.models.push_back(std::move(entry));
    }
    write_others(staged.path());
    if (is_accepted(staged.path())) {
      staged.commit();
    } else {
      result_.files.clear();
    }
    return std::move(result_);
  }

 private:
  std::uint64_t write(const onnx::Model& model, std::vector<std::shared_ptr<const MappedFile>> mapped,
                      const fs::path& path) {
    onnx::WriteOptions write_options;
    write_options.weights = options_.external_data ? onnx::WeightStorage::External : onnx::WeightStorage::Automatic;
    write_options.mapped_files = std::move(mapped);
    const std::string stage = "Writing " + path.filename().string();
    if (options_.progress)
      write_options.progress = [&](std::uint64_t done, std::uint64_t total) { options_.progress(stage, done, total); };
    const std::vector<fs::path> written = onnx::write_model(model, path, write_options);
    for (const fs::path& file : written) result_.files.push_back(options_.output / file.filename());
    return size_of_files(written);
  }

  void write_others(const fs::path& staged) {
    if (const fs::path config = directory_ / "config.json"; fs::is_regular_file(config)) {
      const Json json = parse_json(read_text_file(config), config.string());
      for (const fs::path& name : write_companion_files(directory_.empty() ? "." : directory_, json, staged))
        result_.files.push_back(options_.output / name);
    }
    if (!options_.documents) return;
    for (const auto& [name, document] : options_.documents()) {
      write_json_file(document, staged / name);
      result_.files.push_back(options_.output / name);
    }
  }

  bool is_accepted(const fs::path& staged) const {
    if (!options_.accept) return true;
    std::vector<RewrittenModel> models = result_.models;
    for (RewrittenModel& model : models) model.path = staged / model.path.filename();
    return options_.accept(models);
  }

  const RewriteOptions& options_;
  fs::path directory_;
  std::vector<fs::path> files_;
  RewriteResult result_;
};

}  // namespace

std::vector<fs::path> find_onnx_files(const fs::path& model, const std::vector<std::string>& file_names) {
  std::error_code error;
  if (!fs::exists(model, error)) fail(model.string() + " does not exist");
  if (!fs::is_directory(model, error)) return {model};
  std::vector<fs::path> files;
  for (const std::string& name : file_names) {
    if (!is_onnx_file(model / name)) fail(model.string() + " has no ONNX file " + quote_json(name));
    files.push_back(model / name);
  }
  if (!files.empty()) return files;
  for (const auto& entry : fs::directory_iterator(model, error))
    if (is_onnx_file(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) fail(model.string() + " has no ONNX file" + hint(model));
  return files;
}

RewriteResult rewrite_models(const RewriteOptions& options,
                             const std::function<void(onnx::Model&, const fs::path&)>& edit) {
  return Rewriter(options).run(edit);
}

}  // namespace onnxport
