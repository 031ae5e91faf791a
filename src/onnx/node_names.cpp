#include "onnx/node_names.h"

#include <vector>

#include "core/nearest.h"
#include "onnx/reader.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::onnx {

void for_each_node(std::span<const std::filesystem::path> files, const std::function<void(const Node&)>& visit) {
  for (const std::filesystem::path& file : files) {
    const Model model = read_model(file);
    for_each_graph(model.graph, [&](const Graph& graph) {
      for (const Node& node : graph.nodes) visit(node);
    });
  }
}

void check_known(std::span<const std::string> names, const std::set<std::string>& known, std::string_view what,
                 std::span<const std::filesystem::path> files) {
  for (const std::string& name : names) {
    if (known.contains(name)) continue;
    throw Error(ErrorKind::InvalidArgument,
                "no " + std::string(what) + " " + quote_json(name) + " in " + files.front().filename().string() +
                    (files.size() > 1 ? " and the other models" : "") +
                    describe_nearest(name, std::vector<std::string>(known.begin(), known.end())));
  }
}

}  // namespace onnxport::onnx
