#pragma once

#include <utility>

#include "cli/command_line.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::cli {

/// An error with more to tell in JSON than its kind and message.
struct ReportedError : Error {
  ReportedError(const Error& error, Json details) : Error(error), report(std::move(details)) {}
  Json report;  ///< the object that the error becomes a member of
};

/// One file each.
Command export_onnx_command();
Command inspect_command();
Command list_command();
Command run_pipeline_command();
Command tokenize_command();
Command quantize_command();
Command onnxruntime_optimize_command();
Command onnxruntime_quantize_command();
Command env_command();
Command transformers_onnx_command();
Command new_architecture_command();

}  // namespace onnxport::cli
