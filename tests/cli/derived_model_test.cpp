// Models that are derived from a supported one: --as, --config-map, --weights-map.
#include <functional>

#include "checkpoint/checkpoint.h"
#include "cli_test.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

using Rename = std::function<std::string(const std::string&)>;

class CliDerivedModel : public CliTest {
 protected:
  /// Writes a fixture to `original/checkpoint`, and the same with other names to `derived/checkpoint`: directories of
  /// one name, since an exported model says which checkpoint it is of. Returns the map for the config.
  Json make_derived(std::string_view fixture, std::string_view task, const Rename& member, const Rename& tensor) const {
    make_checkpoint(fixture, task, "original/checkpoint");
    make_checkpoint(fixture, task, "derived/checkpoint");
    const Checkpoint original = open_checkpoint(path("original/checkpoint"));
    std::map<std::string, TensorSource, std::less<>> tensors;
    for (const auto& [name, source] : original.tensors) tensors.emplace(tensor(name), source);
    write_safetensors(path("derived/checkpoint/model.safetensors"), tensors);
    Json config{Json::Object{}};
    Json map{Json::Object{}};
    for (const auto& [name, value] : original.config.object()) {
      config.set(member(name), name == "model_type" ? Json("acme") : value);
      if (member(name) != name) map.set(member(name), name);
    }
    write_file(path("derived/checkpoint/config.json"), dump_json(config, 2));
    return map;
  }

  ProcessResult export_derived(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command{"export", "onnx", "-m", "derived/checkpoint", "derived/out", "--no-validate"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command);
  }

  void expect_same_models(const std::string& task) const {
    ASSERT_TRUE(succeeded(run(
        {"export", "onnx", "-m", "original/checkpoint", "original/out", "--task", task, "--quiet", "--no-validate"})));
    ASSERT_EQ(files("derived/out"), files("original/out"));
    for (const std::string& name : files("original/out")) {
      if (!name.ends_with(".onnx")) continue;
      EXPECT_EQ(read_file(path("derived/out/" + name)), read_file(path("original/out/" + name))) << name;
    }
  }

  /// A model of BERT's whose authors had names of their own.
  void make_acme() const {
    make_derived(
        "bert", "fill-mask",
        [](const std::string& name) {
          return name == "num_hidden_layers" ? "depth" : name == "hidden_size" ? "width" : name;
        },
        [](const std::string& name) {
          constexpr std::string_view layer = "bert.encoder.layer.";
          return name.starts_with(layer) ? "blocks." + name.substr(layer.size()) : name;
        });
  }

  static constexpr const char* acme_config = R"({"depth": "num_hidden_layers", "width": "hidden_size"})";
  static constexpr const char* acme_weights = R"({"blocks.*": "bert.encoder.layer.*"})";
};

struct Derivation {
  const char* model_type;
  const char* fixture_task;
  const char* task;
};

void PrintTo(const Derivation& derivation, std::ostream* out) { *out << derivation.model_type; }

class CliDerivedModels : public CliDerivedModel, public ::testing::WithParamInterface<Derivation> {};

TEST_P(CliDerivedModels, ExportAsTheSameModel) {
  const auto [model_type, fixture_task, task] = GetParam();
  const Json config_map = make_derived(
      model_type, fixture_task,
      [](const std::string& name) {
        const bool is_kept = name == "model_type" || name == "architectures" || name == "transformers_version";
        return is_kept ? name : "acme_" + name;
      },
      [](const std::string& name) {
        for (const auto& [end, other] : {std::pair{".weight", ".w"}, std::pair{".bias", ".b"}})
          if (name.ends_with(end)) return "acme.model." + name.substr(0, name.size() - std::string(end).size()) + other;
        return "acme.model." + name;
      });
  write_file(path("config map.json"), dump_json(config_map));
  write_file(path("weights.json"), R"({"acme.*.*.w": "*.weight", "acme.model.*.b": "*.bias", "acme.model.*": "*"})");
  EXPECT_TRUE(failed(export_derived({"--as", model_type, "--task", task, "--config-map", "config map.json",
                                     "--weights-map", "weights.json"}),
                     1, {"weights.json: \"acme.*.*.w\"", "different numbers of *"}));
  std::string rules = R"({"acme.model.*.w": "*.weight", "acme.model.*.b": "*.bias"})";
  write_file(path("weights.json"), rules);
  ASSERT_TRUE(succeeded(export_derived({"--as", model_type, "--task", task, "--config-map", "config map.json",
                                        "--weights-map", "weights.json", "--quiet"})));
  expect_same_models(task);
}

INSTANTIATE_TEST_SUITE_P(All, CliDerivedModels,
                         ::testing::Values(Derivation{"bert", "question-answering", "question-answering"},
                                           Derivation{"gpt2", "text-generation-with-past", "text-generation-with-past"},
                                           Derivation{"distilbert", "fill-mask", "fill-mask"}),
                         [](const auto& test) { return std::string(test.param.model_type); });

TEST_F(CliDerivedModel, MapsMayStandOnTheCommandLine) {
  make_acme();
  // Which task: by the class of config.json, whose head is BertForMaskedLM's.
  const ProcessResult result =
      export_derived({"--as", "bert", "--config-map", acme_config, "--weights-map", acme_weights, "--json"});
  ASSERT_TRUE(succeeded(result));
  const Json report = parse_json(result.output, "stdout");
  EXPECT_EQ(at(report, "model_type").string(), "bert");
  EXPECT_EQ(at(report, "task").string(), "fill-mask");
  expect_same_models("fill-mask");
  const Json config = parse_json(read_file(path("derived/out/config.json")), "config.json");
  EXPECT_EQ(at(config, "model_type").string(), "bert") << "who loads the model needs the names that it has now";
  EXPECT_EQ(config.find("width"), nullptr);
  EXPECT_NE(config.find("hidden_size"), nullptr);
}

TEST_F(CliDerivedModel, TheLibraryHasTheSameOptions) {
  make_acme();
  ExportOptions options;
  options.model = path("derived/checkpoint");
  options.output = path("derived/out");
  options.validate = false;
  options.architecture = {.model_type = "bert", .config_map = acme_config, .weights_map = acme_weights};
  EXPECT_EQ(export_onnx(options).task, "fill-mask");
  expect_same_models("fill-mask");
}

TEST_F(CliDerivedModel, UnusedTensorsHaveTheNamesOfTheFiles) {
  make_acme();
  const std::vector<std::string> maps{
      "--as",      "bert",          "--config-map",
      acme_config, "--weights-map", R"({"blocks.*": "bert.encoder.layer.*", "cls.predictions.bias": "odd.one"})"};
  std::vector<std::string> command{"inspect", "derived/checkpoint", "--json"};
  command.insert(command.end(), maps.begin(), maps.end());
  const ProcessResult result = run(command);
  ASSERT_TRUE(succeeded(result));
  const Json inspection = parse_json(result.output, "stdout");
  EXPECT_EQ(at(inspection, "model_type").string(), "bert");
  bool is_listed = false;
  for (const Json& tensor : at(inspection, "tensors", "tensors").array())
    is_listed |= at(tensor, "name").string() == "blocks.0.output.dense.weight";
  EXPECT_TRUE(is_listed) << "as the file has it";
  for (const Json& task : at(inspection, "tasks").array()) {
    if (at(task, "task").string() == "fill-mask") {
      EXPECT_TRUE(contains(at(task, "problem").string(), "cls.predictions.bias")) << "it is called odd.one now";
    }
    if (at(task, "task").string() != "feature-extraction") continue;
    EXPECT_TRUE(contains(dump_json(at(task, "unused_tensors")), "\"cls.predictions.bias\"")) << dump_json(task);
    EXPECT_FALSE(contains(dump_json(at(task, "unused_tensors")), "odd.one"));
  }
}

TEST_F(CliDerivedModel, TensorsMayBeDropped) {
  make_acme();
  const ProcessResult result =
      export_derived({"--as", "bert", "--task", "feature-extraction", "--config-map", acme_config, "--weights-map",
                      R"({"blocks.*": "bert.encoder.layer.*", "cls.*": null})", "--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(dump_json(at(parse_json(result.output, "stdout"), "unused_tensors")), "[]");
}

TEST_F(CliDerivedModel, MembersMaySwapNamesAndMoveBetweenSections) {
  make_acme();
  Json config = parse_json(read_file(path("derived/checkpoint/config.json")), "config.json");
  Json text;
  text.set("depth", *config.find("depth"));
  text.set("heads", *config.find("num_attention_heads"));
  config.erase("depth");
  config.erase("num_attention_heads");
  config.set("text", text);
  const Json intermediate = *config.find("intermediate_size");
  config.set("intermediate_size", *config.find("vocab_size"));
  config.set("vocab_size", intermediate);
  write_file(path("derived/checkpoint/config.json"), dump_json(config));
  ASSERT_TRUE(succeeded(export_derived(
      {"--as", "bert", "--quiet", "--weights-map", acme_weights, "--config-map",
       R"({"width": "hidden_size", "text.depth": "num_hidden_layers", "text.heads": "num_attention_heads",
           "vocab_size": "intermediate_size", "intermediate_size": "vocab_size"})"})));
  expect_same_models("fill-mask");
}

TEST_F(CliDerivedModel, WrongMapsAreRefusedByTheRule) {
  make_acme();
  const auto refused = [&](const std::string& option, const std::string& map, std::vector<std::string> parts) {
    const ProcessResult result = export_derived({"--as", "bert", option, map});
    EXPECT_TRUE(failed(result, 1, parts)) << map;
    EXPECT_TRUE(files("derived/out").empty());
  };
  refused("--as", "brt", {"model_type \"brt\" of --as is not supported", "nearest: bert"});

  refused("--config-map", "nowhere.json", {"--config-map: ", "nowhere.json"});
  refused("--config-map", R"({"depth": )", {"--config-map:1:", "invalid JSON"});
  refused("--config-map", R"({"depth": 3})", {"--config-map: \"depth\" must be a string, is 3"});
  refused("--config-map", R"({"depth": null})", {"\"depth\" must be a string, is null"});
  refused("--config-map", R"({"depht": "num_hidden_layers"})",
          {"\"depht\" is no member of config.json", "nearest: depth"});
  refused("--config-map", R"({"depth": "vocab_size"})",
          {"\"depth\" cannot become \"vocab_size\"", "has such a member already"});
  refused("--config-map", R"({"depth": "x", "width": "x"})", {"\"width\" cannot become \"x\""});
  refused("--config-map", R"({"depth": "vocab_size.n"})", {"config.json has no section there"});
  refused("--config-map", R"({"depth.n": "x"})", {"\"depth.n\" is no member of config.json"});
  refused("--config-map", R"({"depth": "x..y"})", {"\"x..y\", which has an empty part"});

  write_file(path("map.json"), "[]");
  refused("--weights-map", "map.json", {"map.json: must be a JSON object"});
  write_file(path("map.json"), "{\n  \"blocks.*\": \"a.*\",\n  \"blocks.*\": \"b.*\"\n}");
  refused("--weights-map", "map.json", {"map.json:4:1: ", "two members \"blocks.*\""});
  refused("--weights-map", R"({"blocks.*": ["x"]})", {"\"blocks.*\" must be a string or null"});
  refused("--weights-map", R"({"blocks.*": ""})", {"\"blocks.*\" has an empty new name"});
  refused("--weights-map", R"({"": "x"})", {"\"\" is no name"});
  refused("--weights-map", R"({"blocks.*": "x"})", {"different numbers of *"});
  refused("--weights-map", R"({"cls.predictions.bais": "x"})",
          {"\"cls.predictions.bais\" fits no tensor", "nearest: cls.predictions.bias"});
  refused("--weights-map", R"({"blocks.*": "layer.*", "blocks.0.*": "first.*"})",
          {"\"blocks.0.*\" comes too late", "blocks.0."});
  refused("--weights-map", R"({"blocks.0.*": "layer.*", "blocks.1.*": "layer.*"})",
          {"the tensors \"blocks.0.", "and \"blocks.1.", "would both be called \"layer."});
}

TEST_F(CliDerivedModel, AModelOfOnnxHasNoArchitecture) {
  make_checkpoint();
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--no-validate"})));
  EXPECT_TRUE(failed(run({"inspect", "out/model.onnx", "--as", "bert"}), 2, {"--as", "for a checkpoint"}));
}

}  // namespace
}  // namespace onnxport::testing
