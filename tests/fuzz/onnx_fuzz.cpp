#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor_source.h"
#include "onnx/reader.h"
#include "onnxport/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    // No external data exists in this directory, whatever the input names.
    const auto model = onnxport::onnx::parse_model(std::as_bytes(std::span(data, size)), "/nonexistent/model.onnx");
    onnxport::onnx::for_each_graph(model.graph, [](const onnxport::onnx::Graph& graph) {
      for (const auto& initializer : graph.initializers) {
        if (!initializer.source.bytes.empty()) onnxport::materialize(initializer.source);
      }
    });
  } catch (const onnxport::Error&) {
    // What malformed input is answered with.
  }
  return 0;
}
