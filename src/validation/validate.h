#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/evaluate.h"
#include "onnxport/data_type.h"
#include "onnxport/exporter.h"
#include "runtime/session.h"

namespace onnxport {

/// Inputs, and what a reference computed from them.
struct ReferenceCase {
  std::string description;  ///< of the inputs
  NamedArrays inputs;
  NamedArrays outputs;  ///< float32
};

/// Cases of a safetensors file: "input.<name>" and "output.<name>", or "<case>.input.<name>" for several.
/// Throws Error(InvalidCheckpoint).
std::vector<ReferenceCase> read_reference(const std::filesystem::path& path);

struct ValidationTarget {
  std::string file;        ///< "model.onnx"
  std::string shown_path;  ///< "output/model.onnx", for the log
  const Session* session = nullptr;
  double atol = 1e-4;
};

/// Runs a model on the cases, compares as numpy.allclose does (atol, and 1e-5 relative), and logs what Optimum logs of
/// the first case; of the others only what differs.
std::vector<OutputValidation> validate(const ValidationTarget& target, const std::vector<ReferenceCase>& cases,
                                       const std::function<void(std::string_view)>& log);

}  // namespace onnxport
