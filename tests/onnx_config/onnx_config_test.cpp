// OnnxConfig: the inputs and outputs that Optimum's config classes declare, and what a class of the user's own changes.
#include "onnxport/onnx_config.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "architectures/registry.h"
#include "checkpoint/checkpoint.h"
#include "onnx/inspect.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "support/fixture.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

/// {"input_ids": {"0": "batch_size"}} of a fixture's metadata.
std::vector<OnnxValue> declared(const std::string& text) {
  std::vector<OnnxValue> values;
  const Json json = parse_json(text, "metadata");
  for (const auto& [name, axes] : json.object()) {
    OnnxValue value{name, {}};
    for (const auto& [axis, symbol] : axes.object())
      // A length of one token, which Optimum declares as "1", is a size and no name.
      if (symbol.string() != "1") value.axes.emplace(std::stoi(axis), symbol.string());
    values.push_back(std::move(value));
  }
  return values;
}

std::string text_of(const std::vector<OnnxValue>& values) {
  std::string text;
  for (const OnnxValue& value : values) {
    text += value.name + "[";
    for (const auto& [axis, name] : value.axes) text += std::to_string(axis) + ":" + name + ",";
    text += "] ";
  }
  return text;
}

class Directory {
 public:
  Directory() : path_(fs::temp_directory_path() / ("onnxport-config-" + std::to_string(getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Directory() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// A graph tells of some fixed sizes what no config of Optimum's does: an axis may be fixed that is declared free.
void expect_same_or_fixed(const std::vector<OnnxValue>& actual, const std::vector<OnnxValue>& expected) {
  ASSERT_EQ(names_of(actual), names_of(expected));
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_EQ(text_of({actual[i]}), text_of({expected[i]}));
}

class OnnxConfigOfFixture : public ::testing::TestWithParam<FixtureFile> {};

TEST_P(OnnxConfigOfFixture, DeclaresWhatOptimumDeclares) {
  const FixtureFile& file = GetParam();
  const Directory scratch;
  write_checkpoint(file, scratch / "checkpoint");
  const std::vector<OnnxValue> inputs = declared(file.metadata.at("inputs"));
  const std::vector<OnnxValue> outputs = declared(file.metadata.at("outputs"));
  const OnnxConfig of_checkpoint(scratch / "checkpoint", file.task);
  EXPECT_EQ(of_checkpoint.task(), file.task);
  EXPECT_EQ(of_checkpoint.model_type(), file.metadata.at("model_type"));
  expect_same_or_fixed(of_checkpoint.inputs(file.submodel), inputs);
  expect_same_or_fixed(of_checkpoint.outputs(file.submodel), outputs);
  const OnnxConfig of_config(parse_json(read_text_file(scratch / "checkpoint" / "config.json"), "fixture"), file.task);
  EXPECT_EQ(of_config.files(), of_checkpoint.files());
  expect_same_or_fixed(of_config.inputs(file.submodel), inputs);
  expect_same_or_fixed(of_config.outputs(file.submodel), outputs);
}

std::vector<FixtureFile> plain_fixtures() {
  std::vector<FixtureFile> files = fixture_files();
  std::erase_if(files, [](const FixtureFile& file) { return file.fixture.find('.') != std::string::npos; });
  return files;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OnnxConfigOfFixture, ::testing::ValuesIn(plain_fixtures()), [](const auto& fixture) {
  std::string name = fixture.param.fixture + "__" + fixture.param.path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

// ---- optimum_io.tsv: all types and tasks, with the defaults of their config classes
// ----------------------------------

/// "input_ids[0:batch_size,1:sequence_length]; ..."
std::vector<OnnxValue> parse_values(const std::string& text) {
  std::vector<OnnxValue> values;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find("; ", begin), text.size());
    const std::string entry = text.substr(begin, end - begin);
    const std::size_t bracket = entry.find('[');
    OnnxValue value{entry.substr(0, bracket), {}};
    std::istringstream axes(entry.substr(bracket + 1, entry.size() - bracket - 2));
    for (std::string axis; std::getline(axes, axis, ',');)
      value.axes.emplace(std::stoi(axis), axis.substr(axis.find(':') + 1));
    values.push_back(std::move(value));
    begin = end + 2;
  }
  return values;
}

struct Row {
  std::string task, file;
  std::vector<OnnxValue> inputs, outputs;
};

std::multimap<std::string, Row> survey() {
  std::multimap<std::string, Row> rows;
  std::ifstream file(source_directory() / "tests/onnx_config/optimum_io.tsv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::istringstream columns(line);
    for (std::string cell; std::getline(columns, cell, '\t');) cells.push_back(cell);
    if (cells.size() < 5) continue;  // a type that could not be looked up
    const std::string part = cells[2] == "model" ? cells[2] : cells[2] + "_model";
    rows.emplace(cells[0], Row{cells[1], part, parse_values(cells[3]), parse_values(cells[4])});
  }
  return rows;
}

/// The rows have the cache of the first layer only.
std::vector<OnnxValue> first_layer(std::vector<OnnxValue> values) {
  std::erase_if(values, [](const OnnxValue& value) {
    for (const std::string_view cache : {"present.", "past_key_values."})
      if (value.name.starts_with(cache)) return value.name[cache.size()] != '0' || value.name[cache.size() + 1] != '.';
    return false;
  });
  return values;
}

/// Inputs as a map: the rows have them in the order of the config class, files in that of the model's arguments. Those
/// of a decoder are renamed in the file, and the encoder's states are not taken where the cache has them.
std::map<std::string, DynamicAxes> by_name(const std::vector<OnnxValue>& values, const std::string& file) {
  static const std::map<std::string, std::string> renamed{{"encoder_outputs", "encoder_hidden_states"},
                                                          {"attention_mask", "encoder_attention_mask"},
                                                          {"decoder_input_ids", "input_ids"}};
  std::map<std::string, DynamicAxes> result;
  for (const OnnxValue& value : values) {
    const auto other = file.starts_with("decoder") ? renamed.find(value.name) : renamed.end();
    const std::string& name = other == renamed.end() ? value.name : other->second;
    if (file != "decoder_with_past_model" || name != "encoder_hidden_states") result.emplace(name, value.axes);
  }
  return result;
}

TEST(OnnxConfigOfType, DeclaresWhatOptimumDeclares) {
  const auto rows = survey();
  int compared = 0;
  for (const auto& [model_type, architecture] : registry().architectures()) {
    for (const auto& [name, row] : rows) {
      if (name != model_type || !architecture.find(row.task)) continue;
      const OnnxConfig config(Json(Json::Object{{"model_type", model_type}}), row.task);
      const std::vector<std::string> files = config.files();
      if (std::find(files.begin(), files.end(), row.file) == files.end())
        continue;  // T5's feature-extraction is one file
      const std::string where = model_type + " " + row.task + " " + row.file;
      // The rows describe the first step of a text generator, which has no past.
      if (row.file != "model" || !row.task.ends_with("text-generation-with-past")) {
        EXPECT_EQ(by_name(first_layer(config.inputs(row.file)), ""), by_name(row.inputs, row.file)) << where;
      }
      std::vector<OnnxValue> outputs = row.outputs;
      for (OnnxValue& output : outputs) std::erase_if(output.axes, [](const auto& axis) { return axis.second == "1"; });
      EXPECT_EQ(text_of(first_layer(config.outputs(row.file))), text_of(outputs)) << where;
      ++compared;
    }
  }
  EXPECT_GT(compared, 100);
}

// ---- What users do with it ------------------------------------------------------------------------------------------

const FixtureFile& fixture(const std::string& name, const std::string& task) {
  const std::vector<FixtureFile>& files = fixture_files();
  for (const FixtureFile& file : files)
    if (file.fixture == name && file.task == task) return file;
  throw std::runtime_error("no fixture " + name + " " + task);
}

TEST(OnnxConfig, TheKeysOfThePage) {
  const OnnxConfig config(Json(Json::Object{{"model_type", "distilbert"}}), "feature-extraction");
  EXPECT_EQ(names_of(config.outputs()), std::vector<std::string>{"last_hidden_state"});
  EXPECT_EQ(names_of(config.inputs()), (std::vector<std::string>{"input_ids", "attention_mask"}));
  EXPECT_EQ(config.default_onnx_opset(), 18);
  EXPECT_EQ(config.atol_for_validation(), 1e-4);
}

TEST(OnnxConfig, TakesTheTaskOfTheCheckpointAndSynonyms) {
  const Json config = Json::Object{{"model_type", "bert"}, {"architectures", Json::Array{"BertForMaskedLM"}}};
  EXPECT_EQ(OnnxConfig(config).task(), "fill-mask");
  EXPECT_EQ(OnnxConfig(config, "sequence-classification").task(), "text-classification");
}

template <typename Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(OnnxConfig, WrongNamesAreErrorsThatListTheRightOnes) {
  const Json bert = Json::Object{{"model_type", "bert"}};
  EXPECT_NE(error_of([&] { OnnxConfig config(bert, "text-generation"); }).find("it has "), std::string::npos);
  EXPECT_NE(error_of([&] { OnnxConfig config(bert, "nonsense"); }).find("nonsense"), std::string::npos);
  EXPECT_NE(error_of([&] {
              OnnxConfig config(Json(Json::Object{{"model_type", "bret"}}));
            }).find("bert"),
            std::string::npos);
  const OnnxConfig config(bert, "fill-mask");
  EXPECT_NE(error_of([&] { static_cast<void>(config.outputs("decoder_model")); }).find("it has model"),
            std::string::npos);
}

/// The custom_onnx_configs of Optimum's documentation, as a class.
struct WithAttentions : OnnxConfig {
  using OnnxConfig::OnnxConfig;
  std::vector<OnnxValue> inputs(std::string_view file) const override {
    std::vector<OnnxValue> values = OnnxConfig::inputs(file);
    for (OnnxValue& value : values) value.axes[0] = "rows";
    return values;
  }
  std::vector<OnnxValue> outputs(std::string_view file) const override {
    std::vector<OnnxValue> values = OnnxConfig::outputs(file);
    values.push_back({"attentions.1", {{0, "rows"}, {2, "queries"}, {3, "keys"}}});
    values.push_back({"pooler_output", {}});
    return values;
  }
  double atol_for_validation() const override { return 1e-3; }
  int default_onnx_opset() const override { return 17; }
  Json values_override() const override { return Json::Object{{"layer_norm_eps", 1e-3}}; }
};

TEST(OnnxConfig, ADerivedClassDecidesAnExport) {
  const Directory scratch;
  write_checkpoint(fixture("bert", "feature-extraction"), scratch / "bert");
  const ExportResult result =
      export_onnx({.model = scratch / "bert",
                   .output = scratch / "out",
                   .config = std::make_shared<WithAttentions>(scratch / "bert", "feature-extraction")});
  EXPECT_EQ(result.task, "feature-extraction");
  EXPECT_EQ(result.opset, 17);
  EXPECT_EQ(result.atol, 1e-3);
  EXPECT_TRUE(result.validated);
  const Json written = parse_json(read_text_file(scratch / "out" / "config.json"), "config.json");
  EXPECT_EQ(written.find("layer_norm_eps")->number(), 1e-3);
  const std::string model = dump_json(onnx::inspect_model(scratch / "out" / "model.onnx"));
  for (const char* part : {"last_hidden_state", "attentions.1", "pooler_output", "rows", "queries", "keys"})
    EXPECT_NE(model.find(part), std::string::npos) << part;
  EXPECT_EQ(model.find("\"attentions.0\""), std::string::npos);
}

struct WrongAxis : OnnxConfig {
  using OnnxConfig::OnnxConfig;
  std::vector<OnnxValue> outputs(std::string_view) const override { return {{"last_hidden_state", {{7, "x"}}}}; }
};

struct WrongOutput : OnnxConfig {
  using OnnxConfig::OnnxConfig;
  std::vector<OnnxValue> outputs(std::string_view) const override { return {{"last_hidden_stat", {}}}; }
};

TEST(OnnxConfig, WhatADerivedClassGetsWrongIsAnError) {
  const Directory scratch;
  write_checkpoint(fixture("bert", "feature-extraction"), scratch / "bert");
  const auto export_with = [&](std::shared_ptr<const OnnxConfig> config) {
    return error_of(
        [&] { export_onnx({.model = scratch / "bert", .output = scratch / "out", .config = std::move(config)}); });
  };
  EXPECT_NE(export_with(std::make_shared<WrongAxis>(scratch / "bert")).find("index 7"), std::string::npos);
  EXPECT_NE(export_with(std::make_shared<WrongOutput>(scratch / "bert")).find("nearest: last_hidden_state"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(scratch / "out"));
}

}  // namespace
}  // namespace onnxport::testing
