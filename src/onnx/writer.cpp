#include "onnx/writer.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <protozero/pbf_builder.hpp>

#include "core/tensor_regions.h"
#include "onnx/output_file.h"
#include "onnx/proto_fields.h"
#include "onnx/weight_plan.h"
#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

template <typename Message>
using Builder = protozero::pbf_builder<Message>;

/// Protobuf's limit for a message, less some room for tools that add metadata to the file.
constexpr std::uint64_t kLargestModelFile = std::numeric_limits<std::int32_t>::max() - (std::uint64_t{1} << 20);

/// A run of the model file: bytes, then the elements of a tensor.
struct Piece {
  std::string bytes;
  const TensorSource* payload = nullptr;

  std::uint64_t size() const { return bytes.size() + (payload ? payload->byte_size() : 0); }
};

using Pieces = std::vector<Piece>;

std::uint64_t total_size(const Pieces& pieces) {
  std::uint64_t size = 0;
  for (const Piece& piece : pieces) size += piece.size();
  return size;
}

void append(Pieces& pieces, Pieces more) {
  pieces.insert(pieces.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// Tag and length of a field whose content follows in other pieces; protozero's writers want the content at once.
template <typename Field>
void append_field_header(std::string& buffer, Field field, std::uint64_t length) {
  using protozero::pbf_wire_type;
  protozero::add_varint_to_buffer(&buffer, protozero::tag_and_type(field, pbf_wire_type::length_delimited));
  protozero::add_varint_to_buffer(&buffer, length);
}

/// The pieces as the content of a field.
template <typename Field>
Pieces as_field(Field field, Pieces content) {
  Piece header;
  append_field_header(header.bytes, field, total_size(content));
  Pieces pieces{std::move(header)};
  append(pieces, std::move(content));
  return pieces;
}

/// Optional strings are left out when empty, as protobuf's own writers do for fields that were never set.
template <typename Message>
void add_optional(Builder<Message>& message, Message field, const std::string& value) {
  if (!value.empty()) message.add_string(field, value);
}

template <typename Message>
void add_entry(Builder<Message>& message, Message field, std::string_view key, std::string_view value) {
  Builder<StringStringEntryProto> entry(message, field);
  entry.add_string(StringStringEntryProto::key, key.data(), key.size());
  entry.add_string(StringStringEntryProto::value, value.data(), value.size());
}

/// As add_bytes, which writes a message even if it is empty; a Builder of protozero would leave it out.
template <typename Message>
void add_opaque(Builder<Message>& message, Message field, const Opaque& opaque) {
  message.add_message(field, reinterpret_cast<const char*>(opaque.serialized.data()), opaque.serialized.size());
}

std::string encode_dimension(const Dimension& dimension) {
  std::string buffer;
  Builder<DimensionProto> message(buffer);
  if (const auto* size = std::get_if<std::int64_t>(&dimension)) {
    message.add_int64(DimensionProto::dim_value, *size);
  } else {
    add_optional(message, DimensionProto::dim_param, std::get<std::string>(dimension));
  }
  return buffer;
}

std::string encode_shape(const std::vector<Dimension>& shape) {
  std::string buffer;
  Builder<TensorShapeProto> message(buffer);
  for (const Dimension& dimension : shape) message.add_message(TensorShapeProto::dim, encode_dimension(dimension));
  return buffer;
}

void add_value_info(Builder<GraphProto>& graph, GraphProto field, const ValueInfo& value) {
  Builder<ValueInfoProto> message(graph, field);
  message.add_string(ValueInfoProto::name, value.name);
  Builder<TypeProto> type(message, ValueInfoProto::type);
  Builder<TensorTypeProto> tensor(type, TypeProto::tensor_type);
  tensor.add_int32(TensorTypeProto::elem_type, onnx_data_type(value.data_type));
  // A scalar's shape is an empty message; without the message, the rank would be unknown.
  if (value.has_shape) tensor.add_message(TensorTypeProto::shape, encode_shape(value.shape));
}

void add_tensor_header(Builder<TensorProto>& tensor, DataType type, const std::vector<std::int64_t>& shape,
                       const std::string& name) {
  for (const std::int64_t size : shape) tensor.add_int64(TensorProto::dims, size);
  tensor.add_int32(TensorProto::data_type, onnx_data_type(type));
  add_optional(tensor, TensorProto::name, name);
}

AttributeType add_value(Builder<AttributeProto>& attribute, std::int64_t value) {
  attribute.add_int64(AttributeProto::i, value);
  return AttributeType::Int;
}

AttributeType add_value(Builder<AttributeProto>& attribute, float value) {
  attribute.add_float(AttributeProto::f, value);
  return AttributeType::Float;
}

AttributeType add_value(Builder<AttributeProto>& attribute, const std::string& value) {
  attribute.add_bytes(AttributeProto::s, value);
  return AttributeType::String;
}

AttributeType add_value(Builder<AttributeProto>& attribute, const std::vector<std::int64_t>& values) {
  for (const std::int64_t value : values) attribute.add_int64(AttributeProto::ints, value);
  return AttributeType::Ints;
}

AttributeType add_value(Builder<AttributeProto>& attribute, const std::vector<float>& values) {
  for (const float value : values) attribute.add_float(AttributeProto::floats, value);
  return AttributeType::Floats;
}

AttributeType add_value(Builder<AttributeProto>& attribute, const Array& value) {
  Builder<TensorProto> tensor(attribute, AttributeProto::t);
  add_tensor_header(tensor, value.data_type(), value.shape(), "");
  const auto bytes = value.bytes();
  tensor.add_bytes(TensorProto::raw_data, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return AttributeType::Tensor;
}

template <typename Value>
void add_attribute(Builder<NodeProto>& node, const std::string& name, const Value& value) {
  Builder<AttributeProto> attribute(node, NodeProto::attribute);
  attribute.add_string(AttributeProto::name, name);
  const AttributeType type = add_value(attribute, value);
  attribute.add_int32(AttributeProto::type, static_cast<std::int32_t>(type));
}

void add_attribute(Builder<NodeProto>& node, const std::string&, const Opaque& value) {
  add_opaque(node, NodeProto::attribute, value);
}

Pieces encode_graph(const Graph& graph, const WeightPlan& plan);

Pieces encode_attribute(const std::string& name, const Subgraph& subgraph, const WeightPlan& plan) {
  Pieces pieces(1);
  Builder<AttributeProto>(pieces.back().bytes).add_string(AttributeProto::name, name);
  append(pieces, as_field(AttributeProto::g, encode_graph(*subgraph, plan)));
  Builder<AttributeProto>(pieces.emplace_back().bytes)
      .add_int32(AttributeProto::type, static_cast<std::int32_t>(AttributeType::Graph));
  return pieces;
}

Pieces encode_node(const Node& node, const WeightPlan& plan) {
  Pieces pieces(1);
  {
    Builder<NodeProto> message(pieces.back().bytes);
    for (const std::string& input : node.inputs) message.add_string(NodeProto::input, input);
    for (const std::string& output : node.outputs) message.add_string(NodeProto::output, output);
    add_optional(message, NodeProto::name, node.name);
    message.add_string(NodeProto::op_type, node.op_type);
  }
  for (const Attribute& attribute : node.attributes) {
    if (const auto* subgraph = std::get_if<Subgraph>(&attribute.value)) {
      append(pieces, as_field(NodeProto::attribute, encode_attribute(attribute.name, *subgraph, plan)));
      pieces.emplace_back();
      continue;
    }
    Builder<NodeProto> message(pieces.back().bytes);
    std::visit(
        [&](const auto& value) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, Subgraph>)
            add_attribute(message, attribute.name, value);
        },
        attribute.value);
  }
  Builder<NodeProto> tail(pieces.back().bytes);
  add_optional(tail, NodeProto::domain, node.domain);
  return pieces;
}

Piece encode_inline_initializer(const Initializer& initializer) {
  const TensorSource& source = initializer.source;
  std::string tensor;
  Builder<TensorProto> message(tensor);
  add_tensor_header(message, source.data_type, source.shape, initializer.name);
  append_field_header(tensor, TensorProto::raw_data, source.byte_size());

  Piece piece;
  append_field_header(piece.bytes, GraphProto::initializer, tensor.size() + source.byte_size());
  piece.bytes += tensor;
  piece.payload = &source;
  return piece;
}

void add_external_initializer(Builder<GraphProto>& graph, const Initializer& initializer,
                              const ExternalLocation& location) {
  const TensorSource& source = initializer.source;
  Builder<TensorProto> tensor(graph, GraphProto::initializer);
  add_tensor_header(tensor, source.data_type, source.shape, initializer.name);
  add_entry(tensor, TensorProto::external_data, "location", location.file_name);
  add_entry(tensor, TensorProto::external_data, "offset", std::to_string(location.offset));
  add_entry(tensor, TensorProto::external_data, "length", std::to_string(source.byte_size()));
  tensor.add_int32(TensorProto::data_location, static_cast<std::int32_t>(DataLocation::External));
}

Piece encode_external_initializer(const Initializer& initializer, const ExternalLocation& location) {
  Piece piece;
  Builder<GraphProto> graph(piece.bytes);
  add_external_initializer(graph, initializer, location);
  return piece;
}

/// The fields of GraphProto in the order of their numbers, as protobuf's own writers put them.
Pieces encode_graph(const Graph& graph, const WeightPlan& plan) {
  Pieces pieces;
  for (const Node& node : graph.nodes) append(pieces, as_field(GraphProto::node, encode_node(node, plan)));
  Builder<GraphProto>(pieces.emplace_back().bytes).add_string(GraphProto::name, graph.name);

  for (const Initializer& initializer : graph.initializers) {
    const auto location = plan.locations.find(&initializer);
    pieces.push_back(location == plan.locations.end() ? encode_inline_initializer(initializer)
                                                      : encode_external_initializer(initializer, location->second));
  }

  Builder<GraphProto> tail(pieces.emplace_back().bytes);
  add_optional(tail, GraphProto::doc_string, graph.doc_string);
  for (const ValueInfo& value : graph.inputs) add_value_info(tail, GraphProto::input, value);
  for (const ValueInfo& value : graph.outputs) add_value_info(tail, GraphProto::output, value);
  for (const ValueInfo& value : graph.value_infos) add_value_info(tail, GraphProto::value_info, value);
  return pieces;
}

Piece encode_model_head(const Model& model) {
  Piece piece;
  Builder<ModelProto> message(piece.bytes);
  message.add_int64(ModelProto::ir_version, model.ir_version);
  add_optional(message, ModelProto::producer_name, model.producer_name);
  add_optional(message, ModelProto::producer_version, model.producer_version);
  add_optional(message, ModelProto::doc_string, model.doc_string);
  return piece;
}

Piece encode_model_tail(const Model& model) {
  Piece piece;
  Builder<ModelProto> message(piece.bytes);
  for (const auto& [domain, version] : model.opset_imports) {
    Builder<OperatorSetIdProto> import(message, ModelProto::opset_import);
    import.add_string(OperatorSetIdProto::domain, domain);
    import.add_int64(OperatorSetIdProto::version, version);
  }
  for (const auto& [key, value] : model.metadata) add_entry(message, ModelProto::metadata_props, key, value);
  for (const Opaque& function : model.functions) add_opaque(message, ModelProto::functions, function);
  return piece;
}

Pieces encode_model(const Model& model, const WeightPlan& plan) {
  Pieces pieces{encode_model_head(model)};
  append(pieces, as_field(ModelProto::graph, encode_graph(model.graph, plan)));
  pieces.push_back(encode_model_tail(model));
  return pieces;
}

/// A model and where its weights go, ready to be written.
struct EncodedModel {
  WeightPlan plan;
  Pieces pieces;
};

EncodedModel encode(const Model& model, WeightPlan plan) {
  Pieces pieces = encode_model(model, plan);
  return {std::move(plan), std::move(pieces)};
}

EncodedModel encode(const Model& model, const fs::path& path, const WriteOptions& options) {
  if (options.weights == WeightStorage::Reference) return encode(model, plan_reference(model, path, options));
  if (options.weights == WeightStorage::Automatic) {
    EncodedModel encoded = encode(model, WeightPlan{});
    if (total_size(encoded.pieces) <= kLargestModelFile) return encoded;
  }
  return encode(model, plan_external(model, path));
}

void check_source(const Initializer& initializer) {
  const TensorSource& source = initializer.source;
  const bool is_computed = source.bytes.empty() && source.compute;
  if (is_computed || source.bytes.size() == source.byte_size()) return;
  throw Error(ErrorKind::InvalidArgument,
              "Initializer " + initializer.name + " has " + std::to_string(source.bytes.size()) + " bytes where " +
                  std::to_string(source.byte_size()) +
                  " are needed. If the model was read from a file, its external data is missing or too short");
}

void check_sources(const Model& model) {
  for_each_graph(model.graph, [](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers) check_source(initializer);
  });
}

void check_size(const Pieces& pieces, const fs::path& path) {
  if (const std::uint64_t size = total_size(pieces); size > kLargestModelFile) {
    throw Error(ErrorKind::OutputFailed, "Cannot write " + path.string() + ": without its weights the graph has " +
                                             std::to_string(size) + " bytes, more than protobuf's limit of 2 GB");
  }
}

void write_weight(OutputFile& file, std::uint64_t offset, const TensorSource& source, const fs::path& path,
                  std::vector<DeferredWeight>* deferred) {
  if (deferred == nullptr || regions_of(source).empty()) return file.write(source);
  deferred->push_back({path, offset, source});
  file.leave_out(source.byte_size());
}

void write_model_file(const fs::path& path, const Pieces& pieces, const OutputFile::Progress& progress,
                      const WriteOptions& options) {
  OutputFile file(path, progress, options.mapped_files);
  std::uint64_t offset = 0;
  for (const Piece& piece : pieces) {
    file.write(std::as_bytes(std::span(piece.bytes)));
    if (piece.payload != nullptr) {
      write_weight(file, offset + piece.bytes.size(), *piece.payload, path, options.deferred);
    }
    offset += piece.size();
  }
  file.close();
}

void write_data_file(const fs::path& path, const WeightPlan& plan, const OutputFile::Progress& progress,
                     const WriteOptions& options) {
  OutputFile file(path, progress, options.mapped_files);
  for (const auto& [offset, source] : plan.data) {
    file.skip_to(offset);
    write_weight(file, offset, *source, path, options.deferred);
  }
  file.close();
}

/// Sums up what is written, and tells the caller of write_model when it has become noticeably more.
class ProgressReporter {
 public:
  ProgressReporter(std::uint64_t total, const WriteOptions& options) : total_(total), report_(options.progress) {}

  void operator()(std::uint64_t bytes) {
    constexpr std::uint64_t kNoticeable = std::uint64_t{4} << 20;
    done_ += bytes;
    if (!report_ || (done_ - reported_ < kNoticeable && done_ < total_)) return;
    reported_ = done_;
    report_(done_, total_);
  }

 private:
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::uint64_t reported_ = 0;
  const std::function<void(std::uint64_t, std::uint64_t)>& report_;
};

std::uint64_t payload_size(const WeightPlan& plan) {
  std::uint64_t size = 0;
  for (const auto& [offset, source] : plan.data) size += source->byte_size();
  return size;
}

}  // namespace

std::vector<fs::path> write_model(const Model& model, const fs::path& path, const WriteOptions& options) {
  check_sources(model);
  const EncodedModel encoded = encode(model, path, options);
  check_size(encoded.pieces, path);

  const WeightPlan& plan = encoded.plan;
  ProgressReporter reporter(total_size(encoded.pieces) + payload_size(plan), options);
  const auto progress = [&](std::uint64_t bytes) { reporter(bytes); };

  std::vector<fs::path> files{path};
  for (const auto& [name, target] : plan.links) {
    files.push_back(path.parent_path() / name);
    link_weights(target, files.back());
  }
  if (!plan.data.empty()) {
    files.push_back(path.parent_path() / plan.data_file_name);
    write_data_file(files.back(), plan, progress, options);
  }
  write_model_file(path, encoded.pieces, progress, options);
  return files;
}

}  // namespace onnxport::onnx
