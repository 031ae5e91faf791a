#include "support/weight_models.h"

#include <algorithm>
#include <stdexcept>

#include "core/tensor_source.h"
#include "onnxport/exporter.h"

namespace onnxport::testing {

namespace fs = std::filesystem;

FixtureFile export_fixture(const std::string& fixture, const std::string& task, const fs::path& directory) {
  for (const FixtureFile& file : fixture_files()) {
    if (file.fixture != fixture || file.task != task) continue;
    write_checkpoint(file, directory / "checkpoint");
    ExportOptions export_options;
    export_options.model = (directory / "checkpoint").string();
    export_options.task = task;
    export_options.output = directory / "model";
    export_options.validate = false;
    export_onnx(export_options);
    return file;
  }
  throw std::runtime_error("there is no fixture " + fixture + " of " + task);
}

// ---- Dequantization -------------------------------------------------------------------------------------------------

namespace {

std::vector<int> unpack(const std::uint8_t* bytes, std::int64_t count, int bits) {
  std::vector<int> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t bit = i * bits;
    values.push_back((bytes[bit / 8] >> (bit % 8)) & ((1 << bits) - 1));
  }
  return values;
}

}  // namespace

Dequantizer::Dequantizer(const onnx::Model& model) {
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Initializer& initializer : graph.initializers)
      tensors_.emplace(initializer.name, materialize(initializer.source));
  });
}

Array Dequantizer::blocks(const onnx::Node& node) const {
  const Array& packed = tensors_.at(node.inputs[0]);
  const Array& scales = tensors_.at(node.inputs[1]);
  const bool is_signed = packed.data_type() == DataType::Int4 || packed.data_type() == DataType::Int8;
  const int bits = packed.data_type() == DataType::Int4 || packed.data_type() == DataType::UInt4 ? 4 : 8;
  const auto integers = [&](const Array& array) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(array.bytes().data());
    std::vector<int> values = unpack(bytes, array.element_count(), bits);
    if (is_signed)
      for (int& value : values) value -= value >= 1 << (bits - 1) ? 1 << bits : 0;
    return values;
  };
  const std::vector<int> values = integers(packed);
  std::vector<int> zero_points(static_cast<std::size_t>(scales.element_count()));
  if (node.inputs.size() > 2) zero_points = integers(tensors_.at(node.inputs[2]));
  const std::int64_t block_size = onnx::integer_attribute(node, "block_size", 0);
  const bool is_along_rows = onnx::integer_attribute(node, "axis", 1) == 1;
  const std::int64_t columns = packed.shape()[1];
  Array result(DataType::Float32, packed.shape());
  for (std::int64_t i = 0; i < result.element_count(); ++i) {
    const std::int64_t row = is_along_rows ? i / columns : i / columns / block_size;
    const std::int64_t column = is_along_rows ? i % columns / block_size : i % columns;
    const std::int64_t block = row * scales.shape()[1] + column;
    result.mutable_data<float>()[i] =
        scales.data<float>()[block] *
        static_cast<float>(values[static_cast<std::size_t>(i)] - zero_points[static_cast<std::size_t>(block)]);
  }
  return result;
}

std::vector<float> Dequantizer::rows(const onnx::Node& node, std::int64_t count, std::int64_t size) const {
  const bool is_gather = node.op_type == "GatherBlockQuantized";
  std::string packed_name = node.inputs[is_gather ? 0 : 1];
  if (const std::size_t rows_suffix = packed_name.rfind("_rows"); rows_suffix != std::string::npos)
    packed_name.resize(rows_suffix);
  const auto bits = static_cast<int>(onnx::integer_attribute(node, "bits", 4));
  const std::int64_t block_size = onnx::integer_attribute(node, "block_size", 0);
  const std::int64_t blocks = (size + block_size - 1) / block_size;
  const Array& packed = tensors_.at(packed_name);
  const Array& scales = tensors_.at(node.inputs[2]);
  const std::int64_t row_bytes = packed.element_count() / count;
  const bool has_zero_points = node.inputs.size() > 3 && !node.inputs[3].empty();
  std::vector<float> result;
  for (std::int64_t row = 0; row < count; ++row) {
    const std::vector<int> integers = unpack(packed.data<std::uint8_t>() + row * row_bytes, size, bits);
    std::vector<float> zero_points(static_cast<std::size_t>(blocks), static_cast<float>(1 << (bits - 1)));
    if (has_zero_points) {
      const Array& stored = tensors_.at(node.inputs[3]);
      const std::int64_t first = row * (stored.element_count() / count);
      if (stored.data_type() == DataType::Float32) {
        std::copy_n(stored.data<float>() + first, blocks, zero_points.begin());
      } else {
        const std::vector<int> unpacked = unpack(stored.data<std::uint8_t>() + first, blocks, bits);
        zero_points.assign(unpacked.begin(), unpacked.end());
      }
    }
    for (std::int64_t i = 0; i < size; ++i) {
      const float scale = scales.data<float>()[row * blocks + i / block_size];
      result.push_back(scale * (static_cast<float>(integers[static_cast<std::size_t>(i)]) -
                                zero_points[static_cast<std::size_t>(i / block_size)]));
    }
  }
  return result;
}

onnx::Model dequantize(onnx::Model model) {
  const Dequantizer dequantizer(model);
  std::vector<onnx::Initializer> weights;
  onnx::for_each_graph(model.graph, [&](onnx::Graph& graph) {
    std::vector<onnx::Node> nodes;
    for (onnx::Node& node : graph.nodes) {
      const std::string weight = node.outputs.front() + "_dequantized";
      if (node.op_type == "MatMulNBits") {
        const std::int64_t vectors = onnx::integer_attribute(node, "N", 0);
        const std::int64_t size = onnx::integer_attribute(node, "K", 0);
        const std::vector<float> rows = dequantizer.rows(node, vectors, size);
        weights.push_back({weight, transpose(from_array(Array::float32({vectors, size}, rows)), {1, 0})});
        const bool has_bias = node.inputs.size() > 5;
        const std::string product = has_bias ? node.outputs.front() + "_product" : node.outputs.front();
        nodes.push_back({"MatMul", "", "", {node.inputs[0], weight}, {product}, {}});
        if (has_bias) nodes.push_back({"Add", "", "", {product, node.inputs[5]}, node.outputs, {}});
      } else if (node.op_type == "GatherBlockQuantized") {
        const std::int64_t vectors = dequantizer.tensor(node.inputs[2]).shape()[0];
        // No fixture has an embedding that does not fill its blocks.
        const std::int64_t size =
            dequantizer.tensor(node.inputs[2]).shape()[1] * onnx::integer_attribute(node, "block_size", 0);
        weights.push_back({weight, from_array(Array::float32({vectors, size}, dequantizer.rows(node, vectors, size)))});
        nodes.push_back({"Gather", "", "", {weight, node.inputs[1]}, node.outputs, {}});
      } else if (node.op_type == "DequantizeLinear") {
        weights.push_back({node.outputs.front(), from_array(dequantizer.blocks(node))});
      } else {
        nodes.push_back(std::move(node));
      }
    }
    graph.nodes = std::move(nodes);
  });
  for (onnx::Initializer& weight : weights) model.graph.initializers.push_back(std::move(weight));
  return model;
}

}  // namespace onnxport::testing
