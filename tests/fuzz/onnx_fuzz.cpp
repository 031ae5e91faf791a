#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor_source.h"
#include "onnx/reader.h"
#include "onnxport/error.h"

namespace {

using onnxport::onnx::Node;

/// Looks into subgraphs as deep as a parser of protobuf would.
void visit(const std::vector<Node>& nodes, int depth) {
  if (depth == 0) return;
  for (const Node& node : nodes) {
    for (const auto& attribute : node.attributes) visit(onnxport::onnx::subgraph_nodes(attribute), depth - 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    // No external data exists in this directory, whatever the input names.
    const auto model = onnxport::onnx::parse_model(std::as_bytes(std::span(data, size)), "/nonexistent/model.onnx");
    visit(model.nodes, 32);
    for (const auto& initializer : model.initializers) {
      if (!initializer.source.bytes.empty()) onnxport::materialize(initializer.source);
    }
  } catch (const onnxport::Error&) {
    // What malformed input is answered with.
  }
  return 0;
}
