// Dynamic quantization against what Optimum's ORTQuantizer made of the same models (make_fixtures.py): the same nodes
// with the same names, and initializers equal to the bit.
#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnxport/json.h"
#include "onnxport/quantizer.h"
#include "runtime/session.h"
#include "support/paths.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::read_file;
using onnx::write_file;

fs::path fixtures() { return testing::source_directory() / "tests/quantization/fixtures"; }

std::string fnv1a(const TensorSource& source) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char byte : onnx::content(source)) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001B3;
  return fmt::format("{:016x}", hash);
}

std::string joined(const std::vector<std::string>& words, const char* empty = "") {
  std::string text;
  for (const std::string& word : words) text += (&word == &words.front() ? "" : " ") + (word.empty() ? empty : word);
  return text;
}

std::string attribute_text(const onnx::Attribute& attribute) {
  const auto text = [](const auto& value) -> std::string {
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::int64_t> || std::is_same_v<Value, std::string>) {
      return fmt::format("{}", value);
    } else if constexpr (std::is_same_v<Value, float>) {
      return fmt::format("{:g}", value);
    } else if constexpr (std::is_same_v<Value, std::vector<std::int64_t>> ||
                         std::is_same_v<Value, std::vector<float>>) {
      return fmt::format("{}", fmt::join(value, ","));
    } else {
      return "tensor";
    }
  };
  return attribute.name + "=" + std::visit(text, attribute.value);
}

/// The graph as make_fixtures.py describes it.
void describe(const onnx::Graph& graph, const std::string& prefix, Json::Object& result) {
  std::vector<std::string> nodes;
  for (const onnx::Node& node : graph.nodes) {
    std::vector<std::string> attributes;
    for (const onnx::Attribute& attribute : node.attributes) {
      if (const auto* subgraph = std::get_if<onnx::Subgraph>(&attribute.value)) {
        describe(**subgraph, prefix + attribute.name + "/", result);
      } else {
        attributes.push_back(attribute_text(attribute));
      }
    }
    std::sort(attributes.begin(), attributes.end());
    nodes.push_back(fmt::format("{} | {} | {} | {} | {} | {}", node.op_type, node.domain, node.name,
                                joined(node.inputs, "-"), joined(node.outputs), joined(attributes)));
  }
  std::sort(nodes.begin(), nodes.end());
  std::map<std::string, std::string> initializers;
  for (const onnx::Initializer& initializer : graph.initializers) {
    initializers[initializer.name] = fmt::format("{} [{}] {}", to_string(initializer.source.data_type),
                                                 fmt::join(initializer.source.shape, ", "), fnv1a(initializer.source));
  }
  Json::Object tensors(initializers.begin(), initializers.end());
  result.emplace_back(
      prefix, Json::Object{{"nodes", Json::Array(nodes.begin(), nodes.end())}, {"initializers", std::move(tensors)}});
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fixtures()))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

class DynamicFixture : public onnx::TemporaryDirectoryTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(DynamicFixture, IsWhatOnnxruntimeMakes) {
  const std::string& name = GetParam();
  const Json fixture = parse_json(read_file(fixtures() / (name + ".json")), name);
  write_file(directory_ / "config.json",
             "{\"quantization\": " + dump_json(*fixture.find("config")->find("quantization")) + "}");
  QuantizeOptions options{.model = fixtures() / (name.substr(0, name.find('.')) + ".onnx"),
                          .output = directory_ / "out",
                          .config = quantization_config_from_file(directory_ / "config.json")};
  const QuantizationResult result = quantize_models(options);
  EXPECT_EQ(parse_json(read_file(directory_ / "out" / "ort_config.json"), "ours"), *fixture.find("config"));

  const onnx::Model model = onnx::read_model(result.models.at(0).path);
  Json::Object graphs;
  describe(model.graph, "/", graphs);
  for (const auto& [prefix, expected] : fixture.find("graphs")->object()) {
    const auto actual = std::find_if(graphs.begin(), graphs.end(),
                                     [&, &path = prefix](const auto& graph) { return graph.first == path; });
    ASSERT_NE(actual, graphs.end()) << prefix;
    for (const char* part : {"nodes", "initializers"})
      EXPECT_EQ(dump_json(*actual->second.find(part), 1), dump_json(*expected.find(part), 1)) << prefix << part;
  }
  EXPECT_EQ(graphs.size(), fixture.find("graphs")->object().size());
  // The contrib model's attention has no mask, which the quantized operator does not take; the others run.
  if (!name.starts_with("contrib")) {
    EXPECT_NO_THROW(Session(result.models.at(0).path));
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, DynamicFixture, ::testing::ValuesIn(case_names()), test_name);

}  // namespace
}  // namespace onnxport
