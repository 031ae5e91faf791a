#include "onnx/inspect.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/text_table.h"
#include "onnx/reader.h"
#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

// ---- Gathering ----------------------------------------------------------------------------------------------------

/// Length of the well-formed UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t utf8_sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool is_no_character = (lead == 0xed && byte(1) > 0x9f) || (lead == 0xf4 && byte(1) > 0x8f);
  return is_overlong || is_no_character ? 0 : length;
}

/// Text of the model as JSON can hold it: a model's strings may be any bytes.
Json utf8(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string result;
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    result += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

Json integer(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Json describe_shape(const ValueInfo& value) {
  if (!value.has_shape) return nullptr;
  Json::Array shape;
  for (const Dimension& dimension : value.shape) {
    if (const auto* size = std::get_if<std::int64_t>(&dimension)) {
      shape.emplace_back(*size);
    } else {
      const std::string& name = std::get<std::string>(dimension);
      shape.push_back(name.empty() ? Json() : utf8(name));
    }
  }
  return shape;
}

Json describe_values(const std::vector<ValueInfo>& values) {
  Json::Array result;
  for (const ValueInfo& value : values) {
    Json entry;
    entry.set("name", utf8(value.name));
    entry.set("data_type", to_string(value.data_type));
    entry.set("shape", describe_shape(value));
    result.push_back(std::move(entry));
  }
  return result;
}

/// Counts the operators of a graph and of the graphs inside.
class OperatorCounter {
 public:
  explicit OperatorCounter(const Graph& main_graph) {
    for_each_graph(main_graph, [&](const Graph& graph) {
      for (const Node& node : graph.nodes) ++counts_[{node.op_type, node.domain}];
      total_ += static_cast<std::int64_t>(graph.nodes.size());
    });
    in_subgraphs_ = total_ - static_cast<std::int64_t>(main_graph.nodes.size());
  }

  Json describe() const {
    std::vector<std::pair<OperatorName, std::int64_t>> sorted(counts_.begin(), counts_.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    Json::Array operators;
    for (const auto& [name, count] : sorted) {
      Json entry;
      entry.set("op_type", utf8(name.first));
      entry.set("domain", utf8(name.second));
      entry.set("count", count);
      operators.push_back(std::move(entry));
    }
    Json result;
    result.set("count", total_);
    result.set("in_subgraphs", in_subgraphs_);
    result.set("operators", std::move(operators));
    return result;
  }

 private:
  using OperatorName = std::pair<std::string, std::string>;  ///< op_type, domain
  std::map<OperatorName, std::int64_t> counts_;
  std::int64_t total_ = 0;
  std::int64_t in_subgraphs_ = 0;
};

Json describe_nodes(const Model& model) {
  Json result = OperatorCounter(model.graph).describe();
  result.set("functions", integer(model.functions.size()));
  return result;
}

bool is_missing(const TensorSource& source) { return source.bytes.empty() && source.byte_size() > 0; }

Json describe_location(const TensorSource& source, const fs::path& model_path) {
  if (is_missing(source)) return nullptr;
  if (!source.file || source.file->path() == model_path) return "model";
  return utf8(source.file->path().lexically_relative(model_path.parent_path()).string());
}

Json describe_initializer(const Initializer& initializer, const fs::path& model_path) {
  const TensorSource& source = initializer.source;
  Json result;
  result.set("name", utf8(initializer.name));
  result.set("data_type", to_string(source.data_type));
  result.set("shape", Json::Array(source.shape.begin(), source.shape.end()));
  result.set("bytes", integer(source.byte_size()));
  result.set("location", describe_location(source, model_path));
  return result;
}

/// Tensors whose external data is missing may claim any size.
std::int64_t saturating_sum(std::int64_t sum, std::uint64_t more) {
  std::int64_t result = 0;
  return __builtin_add_overflow(sum, more, &result) ? std::numeric_limits<std::int64_t>::max() : result;
}

Json describe_initializers(const Model& model, const fs::path& path) {
  std::vector<const Initializer*> sorted;
  for (const Initializer& initializer : model.graph.initializers) sorted.push_back(&initializer);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Initializer* a, const Initializer* b) {
    return a->source.byte_size() > b->source.byte_size();
  });
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
  std::int64_t missing = 0;
  Json::Array tensors;
  for (const Initializer* initializer : sorted) {
    elements = saturating_sum(elements, static_cast<std::uint64_t>(initializer->source.element_count()));
    bytes = saturating_sum(bytes, initializer->source.byte_size());
    missing += is_missing(initializer->source) ? 1 : 0;
    tensors.push_back(describe_initializer(*initializer, path));
  }
  Json result;
  result.set("count", integer(sorted.size()));
  result.set("elements", elements);
  result.set("bytes", bytes);
  result.set("missing", missing);
  result.set("tensors", std::move(tensors));
  return result;
}

Json describe_external_files(const Model& model, const fs::path& path) {
  std::map<fs::path, std::uint64_t> files;
  for (const Initializer& initializer : model.graph.initializers) {
    const auto& file = initializer.source.file;
    if (file && file->path() != path) files[file->path()] = file->bytes().size();
  }
  Json::Array result;
  for (const auto& [file, size] : files) {
    Json entry;
    entry.set("name", utf8(file.lexically_relative(path.parent_path()).string()));
    entry.set("size", integer(size));
    result.push_back(std::move(entry));
  }
  return result;
}

// ---- Drawing ------------------------------------------------------------------------------------------------------

constexpr std::size_t kShownTensors = 15;
constexpr std::size_t kLongestText = 96;

/// Text that moves no cursor and starts no escape sequence, on one line and not too long.
std::string printable(std::string_view text) {
  std::string result;
  std::size_t columns = 0;
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(utf8_sequence_length(text), 1);
    const auto lead = static_cast<unsigned char>(text[0]);
    const bool is_control = lead < 0x20 || lead == 0x7f || (lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
    if (++columns > kLongestText) return result + "…";
    result += is_control ? std::string_view(" ") : text.substr(0, length);
    text.remove_prefix(length);
  }
  return result;
}

const Json& member(const Json& object, std::string_view key) {
  if (const Json* value = object.find(key)) return *value;
  throw Error(ErrorKind::InvalidArgument, "An inspection lacks '" + std::string(key) + "'");
}

std::string text_of(const Json& object, std::string_view key) { return printable(member(object, key).string()); }

std::string format_shape(const Json& shape) {
  if (shape.is_null()) return "of unknown rank";
  std::string result;
  for (const Json& dimension : shape.array()) {
    if (!result.empty()) result += ", ";
    if (dimension.is_integer()) {
      result += std::to_string(dimension.integer());
    } else {
      result += dimension.is_string() ? printable(dimension.string()) : "?";
    }
  }
  return "[" + result + "]";
}

std::string format_opsets(const Json& opsets) {
  std::string result;
  for (const auto& [domain, version] : opsets.object()) {
    if (!result.empty()) result += ", ";
    result += (domain.empty() ? "ai.onnx" : printable(domain)) + " " + std::to_string(version.integer());
  }
  return result;
}

std::string format_header(const Json& inspection) {
  TextTable table;
  const auto add_unless_empty = [&](const std::string& label, const std::string& value) {
    if (!value.empty()) table.add({label, value});
  };
  const std::string version = text_of(inspection, "producer_version");
  add_unless_empty("producer", text_of(inspection, "producer") + (version.empty() ? "" : " " + version));
  table.add({"IR version", std::to_string(member(inspection, "ir_version").integer())});
  add_unless_empty("opsets", format_opsets(member(inspection, "opsets")));
  add_unless_empty("graph", text_of(inspection, "graph"));
  add_unless_empty("description", text_of(inspection, "doc_string"));
  for (const Json& file : member(inspection, "external_files").array()) {
    table.add({"external data", text_of(file, "name") + "  " + format_bytes(member(file, "size").integer())});
  }
  for (const auto& [key, value] : member(inspection, "metadata").object()) {
    table.add({printable(key), printable(value.string())});
  }
  return text_of(inspection, "file") + "  " + format_bytes(member(inspection, "file_size").integer()) + "\n" +
         table.draw();
}

std::string format_values(const std::string& title, const Json& values) {
  TextTable table;
  for (const Json& value : values.array()) {
    table.add({text_of(value, "name"), text_of(value, "data_type"), format_shape(member(value, "shape"))});
  }
  return title + "\n" + table.draw();
}

std::string format_operators(const Json& nodes) {
  TextTable table({1});
  const Json::Array& operators = member(nodes, "operators").array();
  const std::int64_t most = operators.empty() ? 0 : member(operators.front(), "count").integer();
  for (const Json& entry : operators) {
    const std::int64_t count = member(entry, "count").integer();
    const std::string domain = text_of(entry, "domain");
    table.add({(domain.empty() ? "" : domain + ".") + text_of(entry, "op_type"), format_count(count),
               draw_bar(fraction_of(count, most))});
  }
  std::string title = "Operators: " + format_count(member(nodes, "count").integer(), "node") + " of " +
                      format_count(static_cast<std::int64_t>(operators.size()), "kind");
  const std::int64_t in_subgraphs = member(nodes, "in_subgraphs").integer();
  if (in_subgraphs > 0) title += ", " + format_count(in_subgraphs) + " of them in subgraphs";
  const std::int64_t functions = member(nodes, "functions").integer();
  if (functions > 0) title += ", " + format_count(functions, "function");
  return title + "\n" + table.draw();
}

std::string format_initializers(const Json& initializers) {
  TextTable table({3, 4});
  const Json::Array& tensors = member(initializers, "tensors").array();
  const std::int64_t total = member(initializers, "bytes").integer();
  const std::size_t shown = tensors.size() <= kShownTensors + 1 ? tensors.size() : kShownTensors;
  const auto add = [&](const std::string& name, const std::string& type, const std::string& shape, std::int64_t bytes) {
    table.add({name, type, shape, format_bytes(bytes), format_percentage(fraction_of(bytes, total)),
               draw_bar(fraction_of(bytes, total))});
  };
  std::int64_t rest = total;
  for (std::size_t i = 0; i < shown; ++i) {
    const Json& tensor = tensors[i];
    const std::int64_t bytes = member(tensor, "bytes").integer();
    const std::string missing = member(tensor, "location").is_null() ? " (missing)" : "";
    add(text_of(tensor, "name") + missing, text_of(tensor, "data_type"), format_shape(member(tensor, "shape")), bytes);
    rest -= bytes;
  }
  if (shown < tensors.size()) {
    add("… and " + format_count(static_cast<std::int64_t>(tensors.size() - shown)) + " smaller ones", "", "", rest);
  }
  std::string title = "Weights: " + format_count(member(initializers, "count").integer(), "initializer") + ", " +
                      format_count(member(initializers, "elements").integer(), "element") + ", " + format_bytes(total);
  const std::int64_t missing = member(initializers, "missing").integer();
  if (missing > 0) title += "; the external data of " + format_count(missing) + " is missing or too short";
  return title + "\n" + table.draw();
}

}  // namespace

Json inspect_model(const fs::path& path) {
  const Model model = read_model(path);
  Json::Object opsets;
  for (const auto& [domain, version] : model.opset_imports) opsets.emplace_back(utf8(domain).string(), version);
  Json::Object metadata;
  for (const auto& [key, value] : model.metadata) metadata.emplace_back(utf8(key).string(), utf8(value));

  Json result;
  result.set("file", utf8(path.string()));
  std::error_code error;
  result.set("file_size", integer(fs::file_size(path, error)));
  result.set("ir_version", model.ir_version);
  result.set("producer", utf8(model.producer_name));
  result.set("producer_version", utf8(model.producer_version));
  result.set("doc_string", utf8(model.doc_string));
  result.set("graph", utf8(model.graph.name));
  result.set("opsets", std::move(opsets));
  result.set("metadata", std::move(metadata));
  result.set("inputs", describe_values(model.graph.inputs));
  result.set("outputs", describe_values(model.graph.outputs));
  result.set("nodes", describe_nodes(model));
  result.set("initializers", describe_initializers(model, path));
  result.set("external_files", describe_external_files(model, path));
  return result;
}

std::string format_inspection(const Json& inspection) {
  return format_header(inspection) + "\n" + format_values("Inputs", member(inspection, "inputs")) + "\n" +
         format_values("Outputs", member(inspection, "outputs")) + "\n" +
         format_operators(member(inspection, "nodes")) + "\n" + format_initializers(member(inspection, "initializers"));
}

}  // namespace onnxport::onnx
