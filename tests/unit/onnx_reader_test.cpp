#include <array>
#include <functional>
#include <limits>

#include <protozero/pbf_builder.hpp>
#include <sys/stat.h>

#include "onnx/proto_fields.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnx_test_support.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

template <typename Message>
using Builder = protozero::pbf_builder<Message>;

/// A message as bytes, made by `fill`.
template <typename Message>
std::string encode(const std::function<void(Builder<Message>&)>& fill) {
  std::string bytes;
  Builder<Message> message(bytes);
  fill(message);
  return bytes;
}

/// A model whose graph is made by `fill`.
std::string encode_model(const std::function<void(Builder<GraphProto>&)>& fill) {
  return encode<ModelProto>([&](auto& model) {
    model.add_int64(ModelProto::ir_version, 8);
    model.add_message(ModelProto::graph, encode<GraphProto>(fill));
  });
}

/// A model with one initializer, "w".
std::string encode_tensor(const std::function<void(Builder<TensorProto>&)>& fill) {
  return encode_model([&](auto& graph) {
    graph.add_message(GraphProto::initializer, encode<TensorProto>([&](auto& tensor) {
                        tensor.add_string(TensorProto::name, "w");
                        fill(tensor);
                      }));
  });
}

/// A model with one node that has one attribute.
std::string encode_attribute(const std::string& attribute) {
  return encode_model([&](auto& graph) {
    graph.add_message(GraphProto::node,
                      encode<NodeProto>([&](auto& node) { node.add_message(NodeProto::attribute, attribute); }));
  });
}

class OnnxReaderTest : public TemporaryDirectoryTest {
 protected:
  Model parse(const std::string& bytes) { return parse_model(as_byte_span(bytes), directory_ / "model.onnx"); }

  TensorSource parse_initializer(const std::string& bytes) { return parse(bytes).graph.initializers.at(0).source; }

  std::string refuse(const std::string& bytes) {
    const std::string message = message_of(ErrorKind::InvalidModel, [&] { parse(bytes); });
    EXPECT_NE(message.find("model.onnx"), std::string::npos) << message;
    return message;
  }

  /// A float tensor with 4 elements in an external file.
  static std::string external_tensor(const std::string& location, const std::string& offset = "0",
                                     const std::string& length = "16") {
    return encode_tensor([&](auto& tensor) {
      tensor.add_int64(TensorProto::dims, 4);
      tensor.add_int32(TensorProto::data_type, 1);
      const std::array<std::pair<std::string, std::string>, 3> entries = {
          std::pair{"location", location}, {"offset", offset}, {"length", length}};
      for (const auto& [key, value] : entries) {
        tensor.add_message(TensorProto::external_data, encode<StringStringEntryProto>([&](auto& entry) {
                             entry.add_string(StringStringEntryProto::key, key);
                             entry.add_string(StringStringEntryProto::value, value);
                           }));
      }
      tensor.add_int32(TensorProto::data_location, 1);
    });
  }
};

template <typename T>
std::vector<T> values_of(const TensorSource& source) {
  const Array array = materialize(source);
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

TEST_F(OnnxReaderTest, ReadsTypedFields) {
  struct Case {
    int type;
    TensorProto field;
    std::vector<std::int32_t> values;
    std::string expected;
  };
  const auto bytes = [](auto... values) {
    std::string result;
    (result.append(reinterpret_cast<const char*>(&values), sizeof(values)), ...);
    return result;
  };
  const std::vector<Case> cases = {
      {6, TensorProto::int32_data, {1, -2}, bytes(std::int32_t{1}, std::int32_t{-2})},
      {5, TensorProto::int32_data, {1, -2}, bytes(std::int16_t{1}, std::int16_t{-2})},
      {3, TensorProto::int32_data, {1, -2}, bytes(std::int8_t{1}, std::int8_t{-2})},
      {2, TensorProto::int32_data, {1, 255}, bytes(std::uint8_t{1}, std::uint8_t{255})},
      {4, TensorProto::int32_data, {1, 65535}, bytes(std::uint16_t{1}, std::uint16_t{65535})},
      {9, TensorProto::int32_data, {1, 0}, bytes(true, false)},
      {10, TensorProto::int32_data, {0x3c00, 0xc000}, bytes(std::uint16_t{0x3c00}, std::uint16_t{0xc000})},
      {16, TensorProto::int32_data, {0x3f80, 0xc000}, bytes(std::uint16_t{0x3f80}, std::uint16_t{0xc000})},
      {17, TensorProto::int32_data, {0x38, 0xb8}, bytes(std::uint8_t{0x38}, std::uint8_t{0xb8})},
      {7, TensorProto::int64_data, {1, -2}, bytes(std::int64_t{1}, std::int64_t{-2})},
      {12, TensorProto::uint64_data, {1, 2}, bytes(std::uint32_t{1}, std::uint32_t{2})},
      {13, TensorProto::uint64_data, {1, 2}, bytes(std::uint64_t{1}, std::uint64_t{2})},
  };
  for (const Case& c : cases) {
    for (const bool is_packed : {true, false}) {
      const TensorSource source = parse_initializer(encode_tensor([&](auto& tensor) {
        tensor.add_int64(TensorProto::dims, 2);
        tensor.add_int32(TensorProto::data_type, c.type);
        if (is_packed) {
          tensor.add_packed_int32(c.field, c.values.begin(), c.values.end());
        } else {
          for (const std::int32_t value : c.values) tensor.add_int32(c.field, value);
        }
      }));
      EXPECT_EQ(content(source), c.expected) << "type " << c.type << (is_packed ? " packed" : "");
    }
  }
}

TEST_F(OnnxReaderTest, ReadsTypedFloatingPointFields) {
  const std::vector<float> floats = {1.5F, -2};
  const std::vector<double> doubles = {1.5, -2};
  for (const bool is_packed : {true, false}) {
    const TensorSource single = parse_initializer(encode_tensor([&](auto& tensor) {
      tensor.add_int64(TensorProto::dims, 2);
      tensor.add_int32(TensorProto::data_type, 1);
      if (is_packed) tensor.add_packed_float(TensorProto::float_data, floats.begin(), floats.end());
      for (const float value : floats) {
        if (!is_packed) tensor.add_float(TensorProto::float_data, value);
      }
    }));
    EXPECT_EQ(values_of<float>(single), floats);
    const TensorSource twice = parse_initializer(encode_tensor([&](auto& tensor) {
      tensor.add_int64(TensorProto::dims, 2);
      tensor.add_int32(TensorProto::data_type, 11);
      if (is_packed) tensor.add_packed_double(TensorProto::double_data, doubles.begin(), doubles.end());
      for (const double value : doubles) {
        if (!is_packed) tensor.add_double(TensorProto::double_data, value);
      }
    }));
    EXPECT_EQ(values_of<double>(twice), doubles);
  }
}

TEST_F(OnnxReaderTest, WeightsStayInTheFile) {
  write_model(small_model(from_array(counting({4}))), directory_ / "model.onnx", {});
  const Model model = read_model(directory_ / "model.onnx");
  const TensorSource& source = model.graph.initializers.at(0).source;
  ASSERT_NE(source.file, nullptr);
  EXPECT_EQ(source.bytes.data(), source.file->bytes().data() + source.file_offset);
  EXPECT_EQ(values_of<float>(source), (std::vector<float>{0, 1, 2, 3}));
}

TEST_F(OnnxReaderTest, EveryTruncationIsAnError) {
  const fs::path path = directory_ / "model.onnx";
  Model model = small_model(from_array(counting({4})));
  model.opset_imports.clear();  // else the model without its last field is a model again
  write_model(model, path, {});
  const std::string bytes = read_file(path);
  parse(bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) refuse(bytes.substr(0, size));
}

TEST_F(OnnxReaderTest, OtherFilesAreRefused) {
  refuse("");
  refuse("{\"not\": \"a model\"}");
  refuse(std::string(100, '\xff'));
  EXPECT_NE(refuse(encode<ModelProto>([](auto& m) { m.add_int64(ModelProto::ir_version, 8); })).find("no graph"),
            std::string::npos);
  message_of(ErrorKind::InvalidModel, [&] { read_model(directory_ / "missing.onnx"); });
  message_of(ErrorKind::InvalidModel, [&] { read_model(directory_); });
}

TEST_F(OnnxReaderTest, FieldsOfAnotherWireTypeAreSkipped) {
  // Protobuf's own parsers treat them as unknown fields.
  const std::string bytes = encode<ModelProto>([](auto& model) {
    model.add_string(ModelProto::ir_version, "text");
    model.add_fixed64(ModelProto::producer_name, 1);
    model.add_message(ModelProto::graph, encode<GraphProto>([](auto& graph) {
                        graph.add_int64(GraphProto::node, 1);
                        graph.add_string(GraphProto::name, "g");
                      }));
  });
  const Model model = parse(bytes);
  EXPECT_EQ(model.graph.name, "g");
  EXPECT_TRUE(model.graph.nodes.empty());
}

TEST_F(OnnxReaderTest, SizesThatContradictAreRefused) {
  const auto tensor_of = [](std::vector<std::int64_t> dims, std::size_t raw_size) {
    return encode_tensor([&](auto& tensor) {
      for (const std::int64_t size : dims) tensor.add_int64(TensorProto::dims, size);
      tensor.add_int32(TensorProto::data_type, 1);
      tensor.add_bytes(TensorProto::raw_data, std::string(raw_size, 'x'));
    });
  };
  parse(tensor_of({2, 2}, 16));
  EXPECT_NE(refuse(tensor_of({2, 2}, 15)).find("'w'"), std::string::npos);
  refuse(tensor_of({2, 2}, 17));
  refuse(tensor_of({-2, -2}, 16));
  refuse(tensor_of({std::int64_t{1} << 62, 4}, 0));
  refuse(tensor_of({std::numeric_limits<std::int64_t>::max()}, 0));
  parse(tensor_of({0, 5}, 0));
  // No elements at all, and elements in a field that belongs to another type
  const std::vector<float> values = {1, 2};
  refuse(encode_tensor([](auto& tensor) {
    tensor.add_int64(TensorProto::dims, std::int64_t{1} << 40);
    tensor.add_int32(TensorProto::data_type, 1);
  }));
  refuse(encode_tensor([&](auto& tensor) {
    tensor.add_int64(TensorProto::dims, 2);
    tensor.add_int32(TensorProto::data_type, 7);
    tensor.add_packed_float(TensorProto::float_data, values.begin(), values.end());
  }));
}

TEST_F(OnnxReaderTest, UnknownElementTypesAreRefusedByName) {
  for (const int type : {0, 8, 14, 22, 99, -1}) {
    const std::string message =
        refuse(encode_tensor([&](auto& tensor) { tensor.add_int32(TensorProto::data_type, type); }));
    EXPECT_NE(message.find("'w'"), std::string::npos) << message;
  }
}

TEST_F(OnnxReaderTest, ExternalDataIsMapped) {
  write_file(directory_ / "sub/data", "....0123456789abcdef");
  const TensorSource source = parse_initializer(external_tensor("sub/data", "4"));
  EXPECT_EQ(content(source), "0123456789abcdef");
  EXPECT_EQ(source.file->path(), directory_ / "sub/data");
  EXPECT_EQ(source.file_offset, 4U);
}

TEST_F(OnnxReaderTest, MissingOrShortExternalDataLeavesASourceWithoutBytes) {
  write_file(directory_ / "data", "0123456789abcdef");
  fs::create_directory(directory_ / "directory");
  ASSERT_EQ(::mkfifo((directory_ / "pipe").c_str(), 0600), 0);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"missing", "0"}, {"data", "1"}, {"data", "18446744073709551615"}, {"directory", "0"}, {"pipe", "0"}};
  for (const auto& [location, offset] : cases) {
    const TensorSource source = parse_initializer(external_tensor(location, offset));
    EXPECT_TRUE(source.bytes.empty()) << location;
    EXPECT_EQ(source.file, nullptr) << location;
    EXPECT_EQ(source.shape, std::vector<std::int64_t>{4});
  }
}

TEST_F(OnnxReaderTest, ExternalDataOutsideTheDirectoryIsRefused) {
  write_file(directory_ / "data", "0123456789abcdef");
  for (const std::string location : {"/etc/passwd", "../data", "a/../../data", "..", "", "a/..", "//data"}) {
    EXPECT_NE(refuse(external_tensor(location)).find("inside"), std::string::npos) << location;
  }
  refuse(external_tensor(std::string("data\0../../x", 12)));
}

TEST_F(OnnxReaderTest, MalformedExternalDataIsRefused) {
  write_file(directory_ / "data", "0123456789abcdef");
  refuse(external_tensor("data", "-1"));
  refuse(external_tensor("data", "1x"));
  refuse(external_tensor("data", ""));
  refuse(external_tensor("data", "99999999999999999999"));
  refuse(external_tensor("data", "0", "15"));
  refuse(encode_tensor([](auto& tensor) {
    tensor.add_int32(TensorProto::data_type, 1);
    tensor.add_int32(TensorProto::data_location, 1);
  }));
}

TEST_F(OnnxReaderTest, SubgraphsAreReadAndWritten) {
  const std::string branch = encode<GraphProto>([](auto& graph) {
    graph.add_message(GraphProto::node,
                      encode<NodeProto>([](auto& node) { node.add_string(NodeProto::op_type, "Mul"); }));
  });
  const std::string attribute = encode<AttributeProto>([&](auto& message) {
    message.add_string(AttributeProto::name, "then_branch");
    message.add_message(AttributeProto::g, branch);
    message.add_int32(AttributeProto::type, 5);
  });
  const std::string bytes = encode_attribute(attribute);
  const Model model = parse(bytes);
  const Attribute& read = model.graph.nodes.at(0).attributes.at(0);
  EXPECT_EQ(read.name, "then_branch");
  ASSERT_EQ(std::get<Subgraph>(read.value)->nodes.size(), 1U);
  EXPECT_EQ(std::get<Subgraph>(read.value)->nodes[0].op_type, "Mul");

  write_model(model, directory_ / "again.onnx", {});
  const Model again = read_model(directory_ / "again.onnx");
  const auto& subgraph = std::get<Subgraph>(again.graph.nodes.at(0).attributes.at(0).value);
  ASSERT_EQ(subgraph->nodes.size(), 1U);
  EXPECT_EQ(subgraph->nodes[0].op_type, "Mul");
}

TEST_F(OnnxReaderTest, DeepNestingIsRefused) {
  std::string bytes;
  for (int depth = 0; depth < 2000; ++depth) {
    const std::string attribute = encode<AttributeProto>([&](auto& message) {
      message.add_message(AttributeProto::g, bytes);
      message.add_int32(AttributeProto::type, 5);
    });
    bytes = encode<GraphProto>([&](auto& graph) {
      graph.add_message(GraphProto::node,
                        encode<NodeProto>([&](auto& node) { node.add_message(NodeProto::attribute, attribute); }));
    });
  }
  const std::string model_bytes = encode<ModelProto>([&](auto& model) { model.add_message(ModelProto::graph, bytes); });
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { parse(model_bytes); }).find("deep"), std::string::npos);
}

TEST_F(OnnxReaderTest, RareAttributesAreKeptAsTheyAre) {
  const std::string strings = encode<AttributeProto>([](auto& message) {
    message.add_string(AttributeProto::name, "strings");
    message.add_int32(AttributeProto::type, 8);
  });
  const std::string string_tensor = encode<AttributeProto>([](auto& message) {
    message.add_string(AttributeProto::name, "value");
    message.add_message(AttributeProto::t,
                        encode<TensorProto>([](auto& tensor) { tensor.add_int32(TensorProto::data_type, 8); }));
    message.add_int32(AttributeProto::type, 4);
  });
  for (const std::string& attribute : {strings, string_tensor, std::string()}) {
    const std::string bytes = encode_attribute(attribute);
    const Model model = parse(bytes);
    const auto* opaque = std::get_if<Opaque>(&model.graph.nodes.at(0).attributes.at(0).value);
    ASSERT_NE(opaque, nullptr);
    EXPECT_EQ(opaque->serialized.size(), attribute.size());
  }
}

TEST_F(OnnxReaderTest, TheDefaultDomainHasOneName) {
  const std::string bytes = encode<ModelProto>([](auto& model) {
    model.add_message(ModelProto::opset_import, encode<OperatorSetIdProto>([](auto& import) {
                        import.add_string(OperatorSetIdProto::domain, "ai.onnx");
                        import.add_int64(OperatorSetIdProto::version, 18);
                      }));
    model.add_message(ModelProto::graph, encode<GraphProto>([](auto& graph) {
                        graph.add_message(GraphProto::node, encode<NodeProto>([](auto& node) {
                                            node.add_string(NodeProto::domain, "ai.onnx");
                                          }));
                      }));
  });
  const Model model = parse(bytes);
  EXPECT_EQ(model.opset_imports, (std::map<std::string, int>{{"", 18}}));
  EXPECT_EQ(model.graph.nodes.at(0).domain, "");
}

TEST_F(OnnxReaderTest, VersionsOutOfRangeAreRefused) {
  const std::string graph = encode<GraphProto>([](auto& message) { message.add_string(GraphProto::name, "g"); });
  for (const std::int64_t version : {std::int64_t{-1}, std::int64_t{1} << 40}) {
    refuse(encode<ModelProto>([&](auto& model) {
      model.add_message(ModelProto::graph, graph);
      model.add_int64(ModelProto::ir_version, version);
    }));
    refuse(encode<ModelProto>([&](auto& model) {
      model.add_message(ModelProto::graph, graph);
      model.add_message(ModelProto::opset_import, encode<OperatorSetIdProto>([&](auto& import) {
                          import.add_int64(OperatorSetIdProto::version, version);
                        }));
    }));
  }
}

TEST_F(OnnxReaderTest, NegativeDimensionsOfValuesAreUnknown) {
  Model model = small_model(from_array(counting({4})));
  model.graph.inputs[0].shape = {std::int64_t{-1}, std::int64_t{4}};
  write_model(model, directory_ / "model.onnx", {});
  const Model read = read_model(directory_ / "model.onnx");
  EXPECT_EQ(read.graph.inputs[0].shape, (std::vector<Dimension>{std::string(), std::int64_t{4}}));
}

TEST_F(OnnxReaderTest, InputsThatAreNoTensorsAreRefused) {
  const std::string message = refuse(encode_model([](auto& graph) {
    graph.add_message(GraphProto::input, encode<ValueInfoProto>([](auto& value) {
                        value.add_string(ValueInfoProto::name, "list");
                        value.add_message(ValueInfoProto::type, std::string("\x22\x00", 2));  // sequence_type
                      }));
  }));
  EXPECT_NE(message.find("'list'"), std::string::npos) << message;
}

}  // namespace
}  // namespace onnxport::onnx
