#include "quantization/graph_description.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <type_traits>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

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

}  // namespace

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

void expect_graphs(const std::filesystem::path& model, const Json& graphs) {
  Json::Object actual;
  describe(onnx::read_model(model).graph, "/", actual);
  EXPECT_EQ(actual.size(), graphs.object().size());
  for (const auto& [prefix, expected] : graphs.object()) {
    const auto found = std::find_if(actual.begin(), actual.end(),
                                    [&, &path = prefix](const auto& graph) { return graph.first == path; });
    ASSERT_NE(found, actual.end()) << prefix;
    for (const char* part : {"nodes", "initializers"})
      EXPECT_EQ(dump_json(*found->second.find(part), 1), dump_json(*expected.find(part), 1)) << prefix << part;
  }
}

std::vector<std::string> case_names(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace onnxport
