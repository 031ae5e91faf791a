#include "onnx/external_data.h"

#include <system_error>

#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

void check_initializer(const Initializer& initializer, const fs::path& file) {
  if (initializer.location.empty()) return;
  const fs::path data = file.parent_path() / initializer.location;
  if (std::error_code error; !fs::is_regular_file(data, error))
    throw Error(ErrorKind::InvalidModel, file.string() + " has its weights in " + quote_json(initializer.location) +
                                             ", which is missing: it belongs into the same directory");
  if (initializer.source.bytes.size() != initializer.source.byte_size())
    throw Error(ErrorKind::InvalidModel, data.string() + " is too short: it lacks the end of the weights of " +
                                             file.filename().string() + ". Copy or download it anew");
}

}  // namespace

std::set<std::string> external_locations(const Model& model) {
  std::set<std::string> locations;
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers)
      if (!initializer.location.empty()) locations.insert(initializer.location);
  });
  return locations;
}

void check_external_data(const Model& model, const fs::path& file) {
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers) check_initializer(initializer, file);
  });
}

}  // namespace onnxport::onnx
