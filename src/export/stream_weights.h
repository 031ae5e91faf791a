#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/tensor_regions.h"
#include "core/tensor_source.h"
#include "graph/graph.h"
#include "hub/weight_stream.h"
#include "onnx/model.h"
#include "onnx/writer.h"

namespace onnxport {

using TensorMap = std::map<std::string, TensorSource, std::less<>>;

/// Fills the gaps of written models with weights while they arrive. Each run of a tensor is written when what it is
/// made of is there, and the room of every byte that no run needs any more is given back at once: besides the models,
/// the disk holds the stream's window, what tensors are made of that a transform reads as a whole, and `kept`. Throws
/// what WeightStream::run throws, and Error(OutputFailed).
void stream_weights(const std::vector<onnx::DeferredWeight>& weights, const std::vector<FileRegion>& kept,
                    hub::WeightStream& stream);

/// What of the checkpoint a graph's parameters are made of that read_back() cannot find in the model that the graph was
/// lowered to: parameters that are no tensors of the checkpoint themselves (parts of them, several as one), and those
/// that fused operators take in a form of their own.
std::vector<FileRegion> unreadable_regions(const Graph& graph, const TensorMap& tensors, const onnx::Model& lowered);

/// Takes tensors of the checkpoint from the model that was written of a graph. They have the values that were written:
/// rounded, if the model's type is narrower.
void read_back(const Graph& graph, const std::filesystem::path& model_file, TensorMap& tensors);

}  // namespace onnxport
