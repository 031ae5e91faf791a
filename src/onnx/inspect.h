#pragma once

#include <filesystem>
#include <string>

#include "onnxport/json.h"

namespace onnxport::onnx {

/// What is in an ONNX file, without reading a weight:
///
///     file, file_size, ir_version, producer, producer_version, doc_string, graph, opsets {domain: version}, metadata
///     {key: value}
///     inputs, outputs    [{name, data_type, shape: [number, name of a dynamic axis, or null]}]; shape is null if
///     unknown nodes              {count, in_subgraphs, functions, operators: [{op_type, domain, count}]}, frequent
///     ones first initializers       {count, elements, bytes, missing, tensors: [{name, data_type, shape, bytes,
///     location}]}, large
///                        ones first; location is "model", the name of an external file, or null if that is missing
///     external_files     [{name, size}]
///
/// Throws Error(InvalidModel) as read_model does, and for subgraphs nested too deep.
Json inspect_model(const std::filesystem::path& path);

/// The result of inspect_model for people: aligned columns, bars for operators and weights.
std::string format_inspection(const Json& inspection);

}  // namespace onnxport::onnx
