#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/data_type.h"

/// What a session of ONNX Runtime is told when it is made, and what it tells of a model.
namespace onnxport {

enum class GraphOptimizationLevel { Disabled, Basic, Extended, All };

/// Options of an ONNX Runtime session, named as onnxruntime.SessionOptions names them.
struct SessionOptions {
  int intra_op_num_threads = 0;  ///< 0: ONNX Runtime's choice, one for each core
  int inter_op_num_threads = 0;  ///< above 1: also runs independent nodes of the graph at once
  GraphOptimizationLevel graph_optimization_level = GraphOptimizationLevel::All;
  std::map<std::string, std::string> config_entries{};  ///< add_session_config_entry
};

/// Which hardware runs the model: "CPUExecutionProvider", "CUDAExecutionProvider", ... Options are the provider's own.
struct ExecutionProvider {
  std::string name = "CPUExecutionProvider";
  std::map<std::string, std::string> options{};
  /// Runs through an IoBinding whose outputs are bound to the host's memory. Absent: with CUDA, as in Optimum. On the
  /// CPU it gains nothing.
  std::optional<bool> use_io_binding{};
};

/// An input or output of a model, as onnxruntime.NodeArg.
struct ModelInput {
  std::string name;
  DataType data_type = DataType::Float32;
  std::vector<std::int64_t> shape;      ///< -1 for a dynamic axis
  std::vector<std::string> axis_names;  ///< "" for a fixed axis
};

}  // namespace onnxport
