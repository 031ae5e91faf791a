#include "onnx/reader.h"

#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/protobuf_cases.h"
#include "onnx/proto_fields.h"
#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;
using protozero::data_view;

using protobuf::as_bytes;
using protobuf::as_fixed32;
using protobuf::as_fixed64;
using protobuf::as_varint;
using protobuf::Message;

/// Protobuf's limit for a message.
constexpr std::size_t kLargestModelFile = std::numeric_limits<std::int32_t>::max();

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidModel, message); }

std::string text(const data_view& view) { return {view.data(), view.size()}; }

std::span<const std::byte> bytes_of(const data_view& view) {
  return {reinterpret_cast<const std::byte*>(view.data()), view.size()};
}

/// ai.onnx is the full name of the default domain.
std::string domain_of(const data_view& view) {
  std::string domain = text(view);
  return domain == "ai.onnx" ? std::string() : domain;
}

int narrow(std::int64_t value, std::string_view what) {
  if (value < 0 || value > std::numeric_limits<int>::max()) {
    fail(std::string(what) + " " + std::to_string(value) + " is out of range");
  }
  return static_cast<int>(value);
}

DataType data_type_of(std::int32_t code, const std::string& value_name) {
  if (const auto type = data_type_from_onnx(code)) return *type;
  fail("'" + value_name + "' has the element type " + std::to_string(code) +
       " of onnx.TensorProto.DataType, which onnxport does not support");
}

std::pair<std::string, std::string> read_entry(Message<StringStringEntryProto> message) {
  std::pair<std::string, std::string> entry;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case as_bytes(StringStringEntryProto::key):
        entry.first = message.get_string();
        break;
      case as_bytes(StringStringEntryProto::value):
        entry.second = message.get_string();
        break;
      default:
        message.skip();
    }
  }
  return entry;
}

// ---- Tensors ------------------------------------------------------------------------------------------------------

/// What a TensorProto says, before its parts are checked against each other.
struct TensorFields {
  std::string name;
  std::vector<std::int64_t> dims;
  std::int32_t data_type = 0;
  std::optional<data_view> raw_data;
  bool is_external = false;
  std::map<std::string, std::string> external_data;

  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<std::int32_t> int32s;
  std::vector<std::int64_t> int64s;
  std::vector<std::uint64_t> uint64s;
};

template <typename Value, typename Range>
void append(std::vector<Value>& values, const Range& range) {
  values.insert(values.end(), range.begin(), range.end());
}

TensorFields read_tensor_fields(Message<TensorProto> message) {
  TensorFields tensor;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case as_varint(TensorProto::dims):
        tensor.dims.push_back(message.get_int64());
        break;
      case as_bytes(TensorProto::dims):
        append(tensor.dims, message.get_packed_int64());
        break;
      case as_varint(TensorProto::data_type):
        tensor.data_type = message.get_int32();
        break;
      case as_bytes(TensorProto::name):
        tensor.name = message.get_string();
        break;
      case as_bytes(TensorProto::raw_data):
        tensor.raw_data = message.get_view();
        break;
      case as_fixed32(TensorProto::float_data):
        tensor.floats.push_back(message.get_float());
        break;
      case as_bytes(TensorProto::float_data):
        append(tensor.floats, message.get_packed_float());
        break;
      case as_fixed64(TensorProto::double_data):
        tensor.doubles.push_back(message.get_double());
        break;
      case as_bytes(TensorProto::double_data):
        append(tensor.doubles, message.get_packed_double());
        break;
      case as_varint(TensorProto::int32_data):
        tensor.int32s.push_back(message.get_int32());
        break;
      case as_bytes(TensorProto::int32_data):
        append(tensor.int32s, message.get_packed_int32());
        break;
      case as_varint(TensorProto::int64_data):
        tensor.int64s.push_back(message.get_int64());
        break;
      case as_bytes(TensorProto::int64_data):
        append(tensor.int64s, message.get_packed_int64());
        break;
      case as_varint(TensorProto::uint64_data):
        tensor.uint64s.push_back(message.get_uint64());
        break;
      case as_bytes(TensorProto::uint64_data):
        append(tensor.uint64s, message.get_packed_uint64());
        break;
      case as_bytes(TensorProto::external_data):
        tensor.external_data.insert(read_entry(message.get_message()));
        break;
      case as_varint(TensorProto::data_location):
        tensor.is_external = message.get_int32() == static_cast<std::int32_t>(DataLocation::External);
        break;
      default:
        message.skip();
    }
  }
  return tensor;
}

/// The size of the elements that a tensor claims to have.
std::uint64_t claimed_size(const TensorFields& tensor, DataType type) try {
  TensorSource source;
  source.data_type = type;
  source.shape = tensor.dims;
  return source.byte_size();
} catch (const Error& error) {
  fail("Tensor '" + tensor.name + "': " + error.what());
}

void check_size(const TensorFields& tensor, std::uint64_t expected, std::uint64_t actual) {
  if (expected == actual) return;
  fail("Tensor '" + tensor.name + "' of shape " + shape_to_string(tensor.dims) + " needs " + std::to_string(expected) +
       " bytes, but has " + std::to_string(actual));
}

/// Elements that a typed field holds in wider integers or in the same floating-point type.
template <typename Element, typename Value>
Array narrowed(const TensorFields& tensor, DataType type, const std::vector<Value>& values) {
  check_size(tensor, claimed_size(tensor, type), values.size() * sizeof(Element));
  Array array(type, tensor.dims);
  auto* elements = array.mutable_data<Element>();
  for (std::size_t i = 0; i < values.size(); ++i) elements[i] = static_cast<Element>(values[i]);
  return array;
}

/// The elements in the typed field that onnx.proto prescribes for the type.
Array read_typed_data(const TensorFields& tensor, DataType type) {
  switch (type) {
    case DataType::Float32:
      return narrowed<float>(tensor, type, tensor.floats);
    case DataType::Float64:
      return narrowed<double>(tensor, type, tensor.doubles);
    case DataType::Int64:
      return narrowed<std::int64_t>(tensor, type, tensor.int64s);
    case DataType::UInt64:
      return narrowed<std::uint64_t>(tensor, type, tensor.uint64s);
    case DataType::UInt32:
      return narrowed<std::uint32_t>(tensor, type, tensor.uint64s);
    case DataType::Int32:
      return narrowed<std::int32_t>(tensor, type, tensor.int32s);
    case DataType::Int16:
    case DataType::UInt16:
    case DataType::Float16:
    case DataType::BFloat16:
      return narrowed<std::uint16_t>(tensor, type, tensor.int32s);
    case DataType::Int8:
    case DataType::UInt8:
    case DataType::Bool:
    case DataType::Float8E4M3FN:
    case DataType::Float8E5M2:
    case DataType::Int4:  // pairs, packed as in raw_data
    case DataType::UInt4:
    case DataType::Float4E2M1:
      return narrowed<std::uint8_t>(tensor, type, tensor.int32s);
  }
  fail("Tensor '" + tensor.name + "' has an unknown element type");
}

/// A tensor inside the model: of an attribute, so small that a copy with aligned elements costs nothing.
Array read_attribute_tensor(const TensorFields& tensor, DataType type) {
  if (!tensor.raw_data) return read_typed_data(tensor, type);
  check_size(tensor, claimed_size(tensor, type), tensor.raw_data->size());
  Array array(type, tensor.dims);
  if (tensor.raw_data->size() > 0) {
    std::memcpy(array.mutable_bytes().data(), tensor.raw_data->data(), tensor.raw_data->size());
  }
  return array;
}

// ---- External data ------------------------------------------------------------------------------------------------

std::uint64_t parse_entry(const TensorFields& tensor, const std::string& key, std::uint64_t otherwise) {
  const auto entry = tensor.external_data.find(key);
  if (entry == tensor.external_data.end()) return otherwise;
  const std::string& digits = entry->second;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    fail("Tensor '" + tensor.name + "' has the external data " + key + " '" + digits + "', which is not a number");
  }
  return value;
}

/// Throws unless `location` stays inside the model's directory, whatever it is appended to.
void check_location(const TensorFields& tensor, const std::string& location) {
  const fs::path path(location);
  bool stays_inside = !path.empty() && path.is_relative() && location.find('\0') == std::string::npos;
  for (const fs::path& part : path) stays_inside = stays_inside && part != "..";
  if (stays_inside) return;
  fail("Tensor '" + tensor.name + "' has its data in '" + location + "', which is not inside the model's directory");
}

/// The external data files of a model, each mapped once.
class ExternalFiles {
 public:
  explicit ExternalFiles(fs::path directory) : directory_(std::move(directory)) {}

  /// nullptr if there is no such file.
  std::shared_ptr<const MappedFile> open(const std::string& location) {
    const auto [entry, is_new] = files_.try_emplace(location);
    if (is_new) entry->second = map(directory_ / location);
    return entry->second;
  }

 private:
  static std::shared_ptr<const MappedFile> map(const fs::path& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return nullptr;
    try {
      return MappedFile::open(path);
    } catch (const Error& open_error) {
      fail(open_error.what());
    }
  }

  fs::path directory_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

void point_into(TensorSource& source, std::shared_ptr<const MappedFile> file, std::uint64_t offset,
                std::uint64_t size) {
  source.bytes = file->bytes().subspan(offset, size);
  source.file_offset = offset;
  source.file = std::move(file);
}

void read_external_data(const TensorFields& tensor, ExternalFiles& files, TensorSource& source) {
  const auto location = tensor.external_data.find("location");
  if (location == tensor.external_data.end()) fail("Tensor '" + tensor.name + "' has external data without a location");
  check_location(tensor, location->second);
  const std::uint64_t size = claimed_size(tensor, source.data_type);
  check_size(tensor, size, parse_entry(tensor, "length", size));
  const std::uint64_t offset = parse_entry(tensor, "offset", 0);

  std::shared_ptr<const MappedFile> file = files.open(location->second);
  if (!file || offset > file->bytes().size() || size > file->bytes().size() - offset) return;
  point_into(source, std::move(file), offset, size);
}

// ---- Attributes -----------------------------------------------------------------------------------------

/// What an AttributeProto says, before it is known which of its fields counts.
struct AttributeFields {
  std::string name;
  std::int32_t type = 0;
  float f = 0;
  std::int64_t i = 0;
  std::string s;
  std::optional<data_view> t;
  std::optional<data_view> g;
  std::vector<float> floats;
  std::vector<std::int64_t> ints;
};

AttributeFields read_attribute_fields(Message<AttributeProto> message) {
  AttributeFields attribute;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case as_bytes(AttributeProto::name):
        attribute.name = message.get_string();
        break;
      case as_varint(AttributeProto::type):
        attribute.type = message.get_int32();
        break;
      case as_fixed32(AttributeProto::f):
        attribute.f = message.get_float();
        break;
      case as_varint(AttributeProto::i):
        attribute.i = message.get_int64();
        break;
      case as_bytes(AttributeProto::s):
        attribute.s = message.get_string();
        break;
      case as_bytes(AttributeProto::t):
        attribute.t = message.get_view();
        break;
      case as_bytes(AttributeProto::g):
        attribute.g = message.get_view();
        break;
      case as_fixed32(AttributeProto::floats):
        attribute.floats.push_back(message.get_float());
        break;
      case as_bytes(AttributeProto::floats):
        append(attribute.floats, message.get_packed_float());
        break;
      case as_varint(AttributeProto::ints):
        attribute.ints.push_back(message.get_int64());
        break;
      case as_bytes(AttributeProto::ints):
        append(attribute.ints, message.get_packed_int64());
        break;
      default:
        message.skip();
    }
  }
  return attribute;
}

/// The tensor's value; nullopt for one that an Array cannot hold, such as strings.
std::optional<Array> read_tensor_attribute(const AttributeFields& attribute) {
  if (!attribute.t) return std::nullopt;
  const TensorFields tensor = read_tensor_fields(Message<TensorProto>(*attribute.t));
  const auto type = data_type_from_onnx(tensor.data_type);
  if (!type || tensor.is_external) return std::nullopt;
  return read_attribute_tensor(tensor, *type);
}

// ---- Values -------------------------------------------------------------------------------------------------------

Dimension read_dimension(Message<DimensionProto> message) {
  Dimension dimension = std::string();
  while (message.next()) {
    switch (message.tag_and_type()) {
      case as_varint(DimensionProto::dim_value):
        // Some exporters write -1 for an unknown size.
        if (const std::int64_t size = message.get_int64(); size >= 0) dimension = size;
        break;
      case as_bytes(DimensionProto::dim_param):
        dimension = message.get_string();
        break;
      default:
        message.skip();
    }
  }
  return dimension;
}

std::vector<Dimension> read_shape(Message<TensorShapeProto> message) {
  std::vector<Dimension> shape;
  while (message.next()) {
    if (message.tag_and_type() == as_bytes(TensorShapeProto::dim)) {
      shape.push_back(read_dimension(message.get_message()));
    } else {
      message.skip();
    }
  }
  return shape;
}

/// A value's name and type, as far as it is a tensor's.
struct ValueFields {
  ValueInfo value;
  std::optional<std::int32_t> element_type;
};

void read_tensor_type(Message<TensorTypeProto> message, ValueFields& fields) {
  fields.element_type = 0;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case as_varint(TensorTypeProto::elem_type):
        fields.element_type = message.get_int32();
        break;
      case as_bytes(TensorTypeProto::shape):
        fields.value.shape = read_shape(message.get_message());
        fields.value.has_shape = true;
        break;
      default:
        message.skip();
    }
  }
}

void read_type(Message<TypeProto> message, ValueFields& fields) {
  while (message.next()) {
    if (message.tag_and_type() == as_bytes(TypeProto::tensor_type)) {
      read_tensor_type(message.get_message(), fields);
    } else {
      message.skip();
    }
  }
}

ValueFields read_value_fields(Message<ValueInfoProto> message) {
  ValueFields fields;
  fields.value.has_shape = false;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case as_bytes(ValueInfoProto::name):
        fields.value.name = message.get_string();
        break;
      case as_bytes(ValueInfoProto::type):
        read_type(message.get_message(), fields);
        break;
      default:
        message.skip();
    }
  }
  return fields;
}

/// An input or output of the graph, whose type matters.
ValueInfo read_graph_value(Message<ValueInfoProto> message) {
  ValueFields fields = read_value_fields(message);
  if (!fields.element_type) {
    fail("'" + fields.value.name + "' is not a tensor; onnxport does not support sequences, maps and optional values");
  }
  fields.value.data_type = data_type_of(*fields.element_type, fields.value.name);
  return fields.value;
}

/// What is known of a value inside the graph. Only a hint: left out if ValueInfo cannot express it.
std::optional<ValueInfo> read_inner_value(Message<ValueInfoProto> message) {
  ValueFields fields = read_value_fields(message);
  const auto type = data_type_from_onnx(fields.element_type.value_or(0));
  if (!type) return std::nullopt;
  fields.value.data_type = *type;
  return fields.value;
}

// ---- Graph and model ----------------------------------------------------------------------------------------------

/// Deeper subgraphs are an attack on the stack.
constexpr int kDeepestSubgraph = 32;

class ModelReader {
 public:
  ModelReader(const fs::path& directory, std::shared_ptr<const MappedFile> file)
      : file_(std::move(file)), external_files_(directory) {}

  Model read(std::span<const std::byte> bytes) {
    Message<ModelProto> message(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    Model model;
    bool has_graph = false;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_varint(ModelProto::ir_version):
          model.ir_version = narrow(message.get_int64(), "The IR version");
          break;
        case as_bytes(ModelProto::producer_name):
          model.producer_name = message.get_string();
          break;
        case as_bytes(ModelProto::producer_version):
          model.producer_version = message.get_string();
          break;
        case as_bytes(ModelProto::doc_string):
          model.doc_string = message.get_string();
          break;
        case as_bytes(ModelProto::graph):
          has_graph = true;
          model.graph = read_graph(message.get_message(), 0);
          break;
        case as_bytes(ModelProto::opset_import):
          read_opset_import(message.get_message(), model);
          break;
        case as_bytes(ModelProto::metadata_props):
          model.metadata.insert(read_entry(message.get_message()));
          break;
        case as_bytes(ModelProto::functions):
          model.functions.push_back({bytes_of(message.get_view()), file_});
          break;
        default:
          message.skip();
      }
    }
    if (!has_graph) fail("it contains no graph");
    return model;
  }

 private:
  static void read_opset_import(Message<OperatorSetIdProto> message, Model& model) {
    std::string domain;
    std::int64_t version = 0;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_bytes(OperatorSetIdProto::domain):
          domain = domain_of(message.get_view());
          break;
        case as_varint(OperatorSetIdProto::version):
          version = message.get_int64();
          break;
        default:
          message.skip();
      }
    }
    model.opset_imports[domain] = narrow(version, "The opset version of domain '" + domain + "'");
  }

  Graph read_graph(Message<GraphProto> message, int depth) {
    if (depth > kDeepestSubgraph)
      fail("its subgraphs are nested more than " + std::to_string(kDeepestSubgraph) + " deep");
    Graph graph;
    graph.name.clear();
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_bytes(GraphProto::node):
          graph.nodes.push_back(read_node(message.get_message(), depth));
          break;
        case as_bytes(GraphProto::name):
          graph.name = message.get_string();
          break;
        case as_bytes(GraphProto::doc_string):
          graph.doc_string = message.get_string();
          break;
        case as_bytes(GraphProto::initializer):
          graph.initializers.push_back(read_initializer(message.get_message()));
          break;
        case as_bytes(GraphProto::sparse_initializer):
          fail("it has sparse initializers, which onnxport does not support");
        case as_bytes(GraphProto::input):
          graph.inputs.push_back(read_graph_value(message.get_message()));
          break;
        case as_bytes(GraphProto::output):
          graph.outputs.push_back(read_graph_value(message.get_message()));
          break;
        case as_bytes(GraphProto::value_info):
          if (auto value = read_inner_value(message.get_message())) graph.value_infos.push_back(std::move(*value));
          break;
        default:
          message.skip();
      }
    }
    return graph;
  }

  Node read_node(Message<NodeProto> message, int depth) {
    Node node;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_bytes(NodeProto::input):
          node.inputs.push_back(message.get_string());
          break;
        case as_bytes(NodeProto::output):
          node.outputs.push_back(message.get_string());
          break;
        case as_bytes(NodeProto::name):
          node.name = message.get_string();
          break;
        case as_bytes(NodeProto::op_type):
          node.op_type = message.get_string();
          break;
        case as_bytes(NodeProto::domain):
          node.domain = domain_of(message.get_view());
          break;
        case as_bytes(NodeProto::attribute):
          node.attributes.push_back(read_attribute(message.get_view(), depth));
          break;
        default:
          message.skip();
      }
    }
    return node;
  }

  Attribute read_attribute(const data_view& view, int depth) {
    AttributeFields fields = read_attribute_fields(Message<AttributeProto>(view));
    const auto with = [&](AttributeValue value) { return Attribute{std::move(fields.name), std::move(value)}; };
    switch (static_cast<AttributeType>(fields.type)) {
      case AttributeType::Float:
        return with(fields.f);
      case AttributeType::Int:
        return with(fields.i);
      case AttributeType::String:
        return with(std::move(fields.s));
      case AttributeType::Floats:
        return with(std::move(fields.floats));
      case AttributeType::Ints:
        return with(std::move(fields.ints));
      case AttributeType::Tensor:
        if (auto array = read_tensor_attribute(fields)) return with(std::move(*array));
        break;
      case AttributeType::Graph:
        if (fields.g) return with(Subgraph(read_graph(Message<GraphProto>(*fields.g), depth + 1)));
        break;
    }
    return with(Opaque{bytes_of(view), file_});
  }

  Initializer read_initializer(Message<TensorProto> message) {
    TensorFields tensor = read_tensor_fields(message);
    const DataType type = data_type_of(tensor.data_type, tensor.name);
    Initializer initializer;
    TensorSource& source = initializer.source;
    source.data_type = type;
    source.shape = tensor.dims;
    if (tensor.is_external) {
      read_external_data(tensor, external_files_, source);
      initializer.location = tensor.external_data.at("location");
    } else if (tensor.raw_data) {
      check_size(tensor, claimed_size(tensor, type), tensor.raw_data->size());
      point_to_raw_data(bytes_of(*tensor.raw_data), source);
    } else {
      source = from_array(read_typed_data(tensor, type));
    }
    initializer.name = std::move(tensor.name);
    return initializer;
  }

  void point_to_raw_data(std::span<const std::byte> raw_data, TensorSource& source) const {
    if (file_) {
      point_into(source, file_, static_cast<std::uint64_t>(raw_data.data() - file_->bytes().data()), raw_data.size());
    } else {
      source.bytes = raw_data;
    }
  }

  std::shared_ptr<const MappedFile> file_;  ///< null if the caller of parse_model keeps the bytes alive
  ExternalFiles external_files_;
};

/// Runs `parse` and begins the messages of its errors with `complaint`.
template <typename Parse>
auto complaining(const std::string& complaint, Parse parse) {
  try {
    return parse();
  } catch (const protozero::exception&) {
    fail(complaint + ": it is truncated or malformed");
  } catch (const Error& error) {
    fail(complaint + ": " + error.what());
  }
}

}  // namespace

Model read_model(const fs::path& path) {
  std::shared_ptr<const MappedFile> file;
  try {
    file = MappedFile::open(path);
  } catch (const Error& error) {
    fail(error.what());
  }
  return parse_model(file->bytes(), path, file);
}

Model parse_model(std::span<const std::byte> bytes, const fs::path& path, std::shared_ptr<const MappedFile> file) {
  return complaining(path.string() + " is not an ONNX model that onnxport can read", [&] {
    if (bytes.size() > kLargestModelFile) fail("it is larger than protobuf's limit of 2 GB");
    return ModelReader(path.parent_path(), std::move(file)).read(bytes);
  });
}

}  // namespace onnxport::onnx
