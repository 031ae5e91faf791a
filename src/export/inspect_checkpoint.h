#pragma once

#include <filesystem>
#include <string>

#include "onnxport/exporter.h"
#include "onnxport/json.h"

namespace onnxport {

/// What is in a checkpoint, without reading a weight:
///
///     directory, model_type, architectures [class name], data_type (of config.json, or null)
///     sentence_transformers   whether sentence-transformers wrote the directory
///     trained_task            what `--task auto` exports; null if the model_type is not supported
///     problem                 why nothing can be exported; null if something can
///     tasks     [{task, class, files [name], problem, unused_tensors [name]}]; `problem` says what is missing for the
///               task and is null if it can be exported
///     files     [{name, bytes}]
///     tensors   {count, elements, bytes, data_types: [{data_type, count, elements, bytes}],
///                tensors: [{name, data_type, shape, bytes, file}]}, large ones first
///
/// Names of tensors are the checkpoint's own, also where `options` rename them.
/// Throws Error(InvalidCheckpoint) as open_checkpoint does, and what adapt_checkpoint throws.
Json inspect_checkpoint(const std::filesystem::path& directory, const ArchitectureOptions& options = {});

/// The result of inspect_checkpoint for people: aligned columns, bars for sizes.
std::string format_checkpoint_inspection(const Json& inspection);

}  // namespace onnxport
