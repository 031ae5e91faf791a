// Directories of sentence-transformers: every kind of module, against the values of the real library; what is written
// beside the model; what is refused. tests/golden/make_sentence_transformers.py made the fixtures.
#include "architectures/sentence_transformers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "core/temporary_directory.h"
#include "graph/evaluate.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "support/paths.h"
#include "validation/validate.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

constexpr double tolerance = 1e-5;

fs::path fixtures() { return source_directory() / "tests/sentence_transformers/fixtures"; }

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fixtures())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// A directory of the test's own.
class SentenceTransformersTest : public ::testing::Test {
 protected:
  fs::path path(std::string_view name) const { return directory_ / name; }

  /// A copy of a fixture, to be spoilt.
  fs::path checkpoint(const std::string& fixture) const {
    fs::copy(fixtures() / fixture, path("checkpoint"), fs::copy_options::recursive);
    return path("checkpoint");
  }

 private:
  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

// ---- Values ---------------------------------------------------------------------------------------------------------

void expect_close(const Array& actual, const Array& expected, const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  for (std::int64_t i = 0; i < expected.element_count(); ++i)
    ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], tolerance) << what << ", element " << i;
}

class SentenceTransformersFixture : public SentenceTransformersTest, public ::testing::WithParamInterface<std::string> {
 protected:
  fs::path fixture() const { return fixtures() / GetParam(); }
  fs::path cases() const { return fixture() / "cases.safetensors"; }
};

TEST_P(SentenceTransformersFixture, ExportReproducesTheLibrary) {
  const ExportResult result =
      export_onnx({.model = fixture(), .output = path("output"), .atol = tolerance, .reference = cases()});
  EXPECT_TRUE(result.validated);
  EXPECT_EQ(result.task, "feature-extraction");
  ASSERT_EQ(result.validations.size(), 6U);  // three cases of two outputs
  for (const OutputValidation& output : result.validations) EXPECT_LE(output.max_difference, 2 * tolerance);
}

TEST_P(SentenceTransformersFixture, EvaluationReproducesTheLibrary) {
  const Checkpoint checkpoint = open_checkpoint(transformer_directory(fixture()));
  const BuiltTask task = build_sentence_transformer(fixture(), checkpoint, architecture_of(Config(checkpoint.config)));
  for (const ReferenceCase& example : read_reference(cases())) {
    const NamedArrays outputs = evaluate_graph(*task.models.front().graph, example.inputs);
    for (const auto& [name, expected] : example.outputs) {
      const auto actual = std::find_if(outputs.begin(), outputs.end(), [&](const auto& o) { return o.first == name; });
      ASSERT_NE(actual, outputs.end()) << name;
      expect_close(actual->second, expected, name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, SentenceTransformersFixture, ::testing::ValuesIn(fixture_names()),
                         [](const auto& fixture) {
                           std::string name = fixture.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return c == '.' || c == '-'; }, '_');
                           return name;
                         });

TEST_F(SentenceTransformersTest, TheContractIsOptimums) {
  const fs::path directory = fixtures() / "roberta";
  const Checkpoint checkpoint = open_checkpoint(directory);
  const BuiltTask task = build_sentence_transformer(directory, checkpoint, architecture_of(Config(checkpoint.config)));
  ASSERT_EQ(task.models.size(), 1U);
  EXPECT_EQ(task.models.front().name, "model");
  const Graph& graph = *task.models.front().graph;
  std::vector<std::string> signature;
  for (ValueId input : graph.inputs())
    signature.push_back(graph.value(input).name + " " + to_string(graph.value(input).type.shape));
  for (const GraphOutput& output : graph.outputs())
    signature.push_back(output.name + " " + to_string(graph.value(output.value).type.shape));
  EXPECT_EQ(signature,
            (std::vector<std::string>{
                "input_ids (batch_size, sequence_length)", "attention_mask (batch_size, sequence_length)",
                "token_embeddings (batch_size, sequence_length, 16)", "sentence_embedding (batch_size, 16)"}));
}

TEST_F(SentenceTransformersTest, HalfPrecisionAndFixedAxes) {
  for (const char* fixture : {"bert.max", "bert.weightedmean", "bert.dense"}) {
    SCOPED_TRACE(fixture);
    EXPECT_TRUE(export_onnx({.model = fixtures() / fixture, .output = path("output"), .dtype = "fp16"}).validated);
    EXPECT_TRUE(
        export_onnx({.model = fixtures() / fixture, .output = path("output"), .dynamic_axes = false}).validated);
  }
}

TEST_F(SentenceTransformersTest, WeightsOfModulesCanStayInTheirFiles) {
  const ExportResult result =
      export_onnx({.model = checkpoint("bert.dense"), .output = path("output"), .weights = WeightsMode::Reference});
  EXPECT_TRUE(result.validated);
}

// ---- Files ----------------------------------------------------------------------------------------------------------

Json read_json(const fs::path& path) { return parse_json(read_text_file(path), path.string()); }

/// The tokenizer lies in 0_Transformer, and must lie beside model.onnx.
TEST_F(SentenceTransformersTest, ATransformersFolderIsFlattened) {
  const ExportResult result = export_onnx({.model = fixtures() / "bert.folder", .output = path("output")});
  std::set<std::string> files;
  for (const fs::path& file : result.files) {
    files.insert(file.lexically_relative(path("output")).string());
    EXPECT_TRUE(fs::is_regular_file(file)) << file;
  }
  EXPECT_EQ(files, (std::set<std::string>{"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
                                          "config.json", "config_sentence_transformers.json", "model.onnx",
                                          "modules.json", "sentence_bert_config.json", "special_tokens_map.json",
                                          "tokenizer.json", "tokenizer_config.json", "vocab.txt"}));
  EXPECT_EQ(files.size(), result.files.size());
  const Json modules = read_json(path("output/modules.json"));
  EXPECT_EQ(*modules.array().front().find("path"), Json(""));
  EXPECT_EQ(*modules.array().at(1).find("path"), Json("1_Pooling"));
}

/// SentenceTransformer(directory, backend="onnx") takes model.onnx for the transformer, and the modules from their
/// folders.
TEST_F(SentenceTransformersTest, TheTransformerAloneKeepsItsModules) {
  export_onnx({.model = fixtures() / "bert.dense",
               .output = path("output"),
               .task = "feature-extraction",
               .library_name = "transformers"});
  for (const char* file : {"modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
                           "3_Dense/config.json", "3_Dense/model.safetensors", "sentence_bert_config.json"})
    EXPECT_TRUE(fs::is_regular_file(path("output") / file)) << file;
}

// ---- What a directory is
// ---------------------------------------------------------------------------------------------

void write_json(const fs::path& path, const Json& json) { std::ofstream(path) << dump_json(json, 2); }

/// Sets a member of a JSON file.
void set_member(const fs::path& path, std::string_view name, Json value) {
  Json json = fs::exists(path) ? read_json(path) : Json(Json::Object{});
  json.set(name, std::move(value));
  write_json(path, json);
}

TEST_F(SentenceTransformersTest, FilesTellTheLibrary) {
  EXPECT_TRUE(is_sentence_transformer(fixtures() / "bert.mean"));
  EXPECT_TRUE(is_sentence_transformer(fixtures() / "bert.no_modules"));
  EXPECT_FALSE(is_sentence_transformer(fixtures() / "bert.mean/1_Pooling"));
  EXPECT_FALSE(is_sentence_transformer(path("missing")));
  const fs::path directory = checkpoint("bert.mean");
  set_member(directory / "config_sentence_transformers.json", "model_type", "CrossEncoder");
  EXPECT_FALSE(is_sentence_transformer(directory));
}

TEST_F(SentenceTransformersTest, TheTransformerMayLieInAFolder) {
  EXPECT_EQ(transformer_directory(fixtures() / "bert.mean"), fixtures() / "bert.mean");
  EXPECT_EQ(transformer_directory(fixtures() / "bert.no_modules"), fixtures() / "bert.no_modules");
  EXPECT_EQ(transformer_directory(fixtures() / "bert.folder"), fixtures() / "bert.folder/0_Transformer");
}

// ---- What is refused ------------------------------------------------------------------------------------------------

class SentenceTransformersRefusal : public SentenceTransformersTest {
 protected:
  /// Exporting the checkpoint fails with this kind of error, which names the part.
  void expect_refused(ErrorKind kind, const std::string& part, const std::string& task = "auto") const {
    try {
      export_onnx({.model = path("checkpoint"), .output = path("output"), .task = task});
      ADD_FAILURE() << "accepted, instead of an error about " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    EXPECT_FALSE(fs::exists(path("output/model.onnx")));
  }

  void set_module(std::size_t index, std::string_view member, Json value) const {
    Json modules = read_json(path("checkpoint/modules.json"));
    modules.array().at(index).set(member, std::move(value));
    write_json(path("checkpoint/modules.json"), modules);
  }

  void keep_modules(std::size_t count) const {
    Json modules = read_json(path("checkpoint/modules.json"));
    modules.array().resize(count);
    write_json(path("checkpoint/modules.json"), modules);
  }
};

TEST_F(SentenceTransformersRefusal, ModulesThatAreNotKnown) {
  checkpoint("bert.mean");
  for (const char* type : {"sentence_transformers.models.WordWeights", "custom_st.Pooling", "Pooling"}) {
    set_module(1, "type", type);
    expect_refused(ErrorKind::UnsupportedArchitecture, quote_json(type));
  }
}

TEST_F(SentenceTransformersRefusal, FirstModulesThatAreNoTransformer) {
  checkpoint("bert.mean");
  for (const char* type : {"sentence_transformers.models.StaticEmbedding", "custom_st.Transformer"}) {
    set_module(0, "type", type);
    expect_refused(ErrorKind::UnsupportedArchitecture, quote_json(type));
  }
}

TEST_F(SentenceTransformersRefusal, NoPooling) {
  checkpoint("bert.layer_norm");
  set_module(1, "type", "sentence_transformers.models.Dropout");
  expect_refused(ErrorKind::UnsupportedArchitecture, "no Pooling before LayerNorm");
  keep_modules(1);
  expect_refused(ErrorKind::UnsupportedArchitecture, "no Pooling");
}

TEST_F(SentenceTransformersRefusal, ModulesJsonThatIsNoListOfModules) {
  const fs::path file = checkpoint("bert.mean") / "modules.json";
  for (const char* text : {"{}", "[]", "[1]", "[{\"type\": \"Pooling\"}]", "[{\"type\": 1, \"path\": \"\"}]"}) {
    std::ofstream(file) << text;
    expect_refused(ErrorKind::InvalidCheckpoint, "modules.json: each module needs");
  }
  std::ofstream(file) << "[{";
  expect_refused(ErrorKind::InvalidCheckpoint, "modules.json");
}

TEST_F(SentenceTransformersRefusal, ModulesOutsideTheDirectory) {
  checkpoint("bert.mean");
  for (const char* outside : {"../1_Pooling", "1_Pooling/../../other", "/tmp"}) {
    set_module(1, "path", outside);
    expect_refused(ErrorKind::InvalidCheckpoint, "inside the directory");
  }
}

TEST_F(SentenceTransformersRefusal, PoolingModesThatAreNotKnown) {
  const fs::path config = checkpoint("bert.mean") / "1_Pooling/config.json";
  set_member(config, "pooling_mode", "attention");
  expect_refused(ErrorKind::UnsupportedArchitecture, "pooling_mode \"attention\"");
  set_member(config, "pooling_mode", Json::Array{"mean", "attention"});
  expect_refused(ErrorKind::UnsupportedArchitecture, "pooling_mode [\"mean\", \"attention\"]");
  write_json(config, Json::Object{{"word_embedding_dimension", 16}, {"pooling_mode_attention", true}});
  expect_refused(ErrorKind::UnsupportedArchitecture, "pooling_mode_attention true");
}

TEST_F(SentenceTransformersRefusal, DenseOptionsThatAreNotKnown) {
  const fs::path config = checkpoint("bert.dense") / "2_Dense/config.json";
  set_member(config, "activation_function", "my_code.Tanh");
  expect_refused(ErrorKind::UnsupportedArchitecture, "activation_function \"my_code.Tanh\"");
  set_member(config, "activation_function", Json());
  set_member(config, "module_input_name", "all_layer_embeddings");
  expect_refused(ErrorKind::UnsupportedArchitecture, "module_input_name \"all_layer_embeddings\"");
  set_member(config, "module_input_name", "sentence_embedding");
  set_member(config, "module_output_name", "projected");
  expect_refused(ErrorKind::UnsupportedArchitecture, "module_output_name \"projected\"");
}

TEST_F(SentenceTransformersRefusal, DenseWeightsThatDoNotFit) {
  const fs::path dense = checkpoint("bert.dense") / "3_Dense";
  set_member(dense / "config.json", "bias", true);
  expect_refused(ErrorKind::MissingTensor, "3_Dense.linear.bias");
  set_member(dense / "config.json", "out_features", 11);
  set_member(dense / "config.json", "bias", false);
  expect_refused(ErrorKind::ShapeMismatch, "3_Dense.linear.weight");
  fs::remove(dense / "model.safetensors");
  expect_refused(ErrorKind::InvalidCheckpoint, "3_Dense");
}

TEST_F(SentenceTransformersRefusal, OtherOutputsOfTheTransformer) {
  const fs::path config = checkpoint("bert.mean") / "sentence_bert_config.json";
  const Json original = read_json(config);
  set_member(config, "transformer_task", "fill-mask");
  expect_refused(ErrorKind::UnsupportedArchitecture, "transformer_task \"fill-mask\"");
  write_json(config, original);
  set_member(config, "modality_config",
             Json::Object{{"text", Json::Object{{"method", "forward"}, {"method_output_name", "pooler_output"}}}});
  expect_refused(ErrorKind::UnsupportedArchitecture, "method_output_name \"pooler_output\"");
}

TEST_F(SentenceTransformersRefusal, TasksWithAHead) {
  checkpoint("bert.mean");
  expect_refused(ErrorKind::UnsupportedTask, "sentence-similarity", "question-answering");
  EXPECT_TRUE(
      export_onnx({.model = path("checkpoint"), .output = path("output"), .task = "sentence-similarity"}).validated);
}

}  // namespace
}  // namespace onnxport::testing
