// --plugin: architectures in shared libraries. The one that is loaded is examples/plugin, whose model is BERT under
// other names: what transformers computed of the fixtures of bert holds for it, too.
#include <algorithm>

#include "checkpoint/checkpoint.h"
#include "cli_test.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

std::string plugin(const std::string& name) { return std::string(ONNXPORT_TEST_PLUGINS) + "/lib" + name + ".so"; }

std::string acme_name(std::string name) {
  const std::pair<std::string_view, std::string_view> parts[] = {{"bert.", "acme."},
                                                                 {"encoder.layer.", "blocks."},
                                                                 {"word_embeddings", "tokens"},
                                                                 {"position_embeddings", "positions"},
                                                                 {"token_type_embeddings", "segments"},
                                                                 {"attention.self.", "attention."},
                                                                 {"attention.output.dense", "attention.out"},
                                                                 {"attention.output.LayerNorm", "attention.norm"},
                                                                 {"embeddings.LayerNorm", "embeddings.norm"},
                                                                 {"intermediate.dense", "mlp.up"},
                                                                 {"output.dense", "mlp.down"},
                                                                 {"output.LayerNorm", "mlp.norm"}};
  for (const auto& [from, to] : parts)
    if (const std::size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  return name;
}

class CliPlugin : public CliTest {
 protected:
  /// A fixture of bert as a checkpoint of acme, in `checkpoint`.
  void make_acme(std::string_view task) const {
    make_checkpoint("bert", task, "bert");
    const Checkpoint bert = open_checkpoint(path("bert"));
    Json config;
    config.set("model_type", "acme");
    config.set("architectures", Json::Array{"AcmeForSequenceClassification"});
    for (const auto& [from, to] : {std::pair{"num_hidden_layers", "depth"},
                                   {"num_attention_heads", "heads"},
                                   {"hidden_size", "width"},
                                   {"vocab_size", "vocab_size"}})
      config.set(to, *bert.config.find(from));
    if (const Json* labels = bert.config.find("id2label")) config.set("id2label", *labels);
    write_file(path("checkpoint/config.json"), dump_json(config, 2));
    std::map<std::string, TensorSource, std::less<>> tensors;
    for (const auto& [name, source] : bert.tensors) tensors.emplace(acme_name(name), source);
    write_safetensors(path("checkpoint/model.safetensors"), tensors);
  }
};

TEST_F(CliPlugin, ExportsItsArchitecture) {
  for (const char* task : {"feature-extraction", "text-classification", "token-classification"}) {
    make_acme(task);
    const ProcessResult result = export_checkpoint(
        {"--plugin", plugin("acme"), "--task", task, "--json", "--reference", reference_file("bert", task).string()});
    ASSERT_TRUE(succeeded(result)) << task;
    const Json report = parse_json(result.output, "stdout");
    EXPECT_EQ(at(report, "model_type").string(), "acme");
    EXPECT_TRUE(at(report, "validated").boolean());
    EXPECT_EQ(dump_json(at(report, "unused_tensors")), "[]");
  }
  EXPECT_TRUE(failed(export_checkpoint(), 1, {"model_type \"acme\" of config.json is not supported"}))
      << "only where it is named";
}

TEST_F(CliPlugin, MapsNamesOntoItsArchitecture) {
  make_checkpoint("bert", "text-classification");
  const ProcessResult result = export_checkpoint(
      {"--plugin", plugin("acme"), "--as", "acme", "--json", "--reference",
       reference_file("bert", "text-classification").string(), "--config-map",
       R"({"num_hidden_layers": "depth", "num_attention_heads": "heads", "hidden_size": "width"})", "--weights-map",
       R"({"bert.embeddings.word_embeddings.weight": "acme.embeddings.tokens.weight",
           "bert.embeddings.position_embeddings.weight": "acme.embeddings.positions.weight",
           "bert.embeddings.token_type_embeddings.weight": "acme.embeddings.segments.weight",
           "bert.embeddings.LayerNorm.*": "acme.embeddings.norm.*",
           "bert.encoder.layer.*.attention.self.*": "acme.blocks.*.attention.*",
           "bert.encoder.layer.*.attention.output.dense.*": "acme.blocks.*.attention.out.*",
           "bert.encoder.layer.*.attention.output.LayerNorm.*": "acme.blocks.*.attention.norm.*",
           "bert.encoder.layer.*.intermediate.dense.*": "acme.blocks.*.mlp.up.*",
           "bert.encoder.layer.*.output.dense.*": "acme.blocks.*.mlp.down.*",
           "bert.encoder.layer.*.output.LayerNorm.*": "acme.blocks.*.mlp.norm.*",
           "bert.*": "acme.*"})"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(at(parse_json(result.output, "stdout"), "task").string(), "text-classification");
}

TEST_F(CliPlugin, ListAndInspectShowIt) {
  const ProcessResult listed = run({"list", "--json", "--plugin", plugin("acme"), "--plugin", plugin("acme")});
  ASSERT_TRUE(succeeded(listed)) << "the same library twice is the same library";
  EXPECT_TRUE(contains(listed.output, "\"acme\""));
  EXPECT_TRUE(contains(listed.output, "\"AcmeForTokenClassification\""));
  EXPECT_TRUE(contains(listed.output, "\"bert\""));
  const ProcessResult table = run({"list", "--plugin", plugin("acme")});
  EXPECT_TRUE(contains(table.output, " acme\n")) << table.output;
  EXPECT_FALSE(contains(run({"list"}).output, "acme"));

  make_acme("text-classification");
  const ProcessResult inspected = run({"inspect", "checkpoint", "--plugin", plugin("acme")});
  ASSERT_TRUE(succeeded(inspected));
  EXPECT_TRUE(contains(inspected.output, "✓  text-classification")) << inspected.output;
}

TEST_F(CliPlugin, ItsOutputsAreKnown) {
  make_acme("text-classification");
  const ProcessResult result = run({"inspect", "--outputs", "checkpoint", "--plugin", plugin("acme")});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, "logits")) << result.output;
  EXPECT_TRUE(contains(result.output, "hidden_states.0")) << result.output;
}

TEST_F(CliPlugin, TheLibraryLoadsThem) {
  make_acme("text-classification");
  ExportOptions options;
  options.model = path("checkpoint");
  options.output = path("out");
  options.validate = false;
  options.architecture.plugins = {plugin("acme")};
  const ExportResult result = export_onnx(options);
  EXPECT_EQ(result.model_type, "acme");
  options.architecture.plugins = {};
  EXPECT_THROW(export_onnx(options), Error) << "another export does not know it";
}

TEST_F(CliPlugin, WhatIsNoneIsRefused) {
  const auto refused = [&](const std::string& library, std::vector<std::string> parts) {
    const ProcessResult result = run({"list", "--plugin", library});
    EXPECT_TRUE(failed(result, 1, parts)) << library;
    EXPECT_EQ(result.output, "");
  };
  refused("nowhere.so", {"the plugin nowhere.so cannot be opened: No such file"});
  refused(".", {"is not a file"});
  write_file(path("text.so"), "onnxport plugin for fun");
  refused("text.so", {"text.so is no shared library"});
  refused(plugin("not_a_plugin"), {"libnot_a_plugin.so is no plugin of onnxport"});
  EXPECT_FALSE(fs::exists(path("the-library-was-loaded"))) << "none of its code ran";
  refused(plugin("other_version"),
          {"was compiled for onnxport 0.0.1 (0123456789ab), libstdc++; this is onnxport " ONNXPORT_VERSION});
  refused(plugin("lacks_symbol"), {"cannot be loaded", "what_nobody_defines"});
  refused(plugin("registers_nothing"), {"registers no architecture"});
  refused(plugin("registers_bert"), {"registers the model type bert, which onnxport has already"});
  refused(plugin("registers_twice"), {"cannot be used: the model type emca is registered twice"});
  EXPECT_TRUE(failed(run({"list", "--plugin", plugin("acme"), "--plugin", plugin("registers_acme")}), 1,
                     {"libregisters_acme.so registers the model type acme, which the plugin", "libacme.so has"}));

  // What is cut short has the mark, but not all that is to be mapped.
  const std::string whole = read_file(plugin("acme"));
  const std::size_t mark = whole.find("onnxport plugin for ");
  ASSERT_NE(mark, std::string::npos);
  write_file(path("cut.so"), whole.substr(0, mark + 200));
  refused("cut.so", {"cut.so is cut short"});
}

TEST_F(CliPlugin, IsRefusedBeforeAnythingIsWritten) {
  make_acme("text-classification");
  EXPECT_TRUE(failed(export_checkpoint({"--plugin", plugin("not_a_plugin")}), 1, {"is no plugin of onnxport"}));
  EXPECT_TRUE(files("out").empty());
}

}  // namespace
}  // namespace onnxport::testing
