// Exports a checkpoint with the C++ API: export_checkpoint CHECKPOINT OUTPUT [TASK]
#include <iostream>

#include <onnxport/error.h>
#include <onnxport/exporter.h>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: export_checkpoint CHECKPOINT OUTPUT [TASK]\n";
    return 2;
  }
  try {
    const onnxport::ExportResult result = onnxport::export_onnx({
        .model = argv[1],
        .output = argv[2],
        .task = argc > 3 ? argv[3] : "auto",
        .log = [](std::string_view line) { std::cout << line << "\n"; },
        .warn = [](std::string_view line) { std::cerr << line << "\n"; },
    });
    std::cout << result.model_type << " for " << result.task << ", opset " << result.opset << ":\n";
    for (const auto& file : result.files) std::cout << "  " << file.string() << "\n";
    for (const auto& output : result.validations)
      std::cout << "  " << output.output << " (" << output.inputs << "): largest difference " << output.max_difference
                << "\n";
    for (const auto& [stage, seconds] : result.seconds) std::cout << "  " << stage << " " << seconds << " s\n";
    std::cout << "  peak memory " << result.peak_memory_bytes / (1 << 20) << " MiB\n";
  } catch (const onnxport::Error& error) {
    std::cerr << onnxport::to_string(error.kind()) << ": " << error.what() << "\n";
    return 1;
  }
}
