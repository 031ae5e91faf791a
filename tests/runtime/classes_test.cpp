// Every ORTModelForXXX against the values that transformers computed: the golden fixtures' tasks, exported by
// from_pretrained itself.
#include <set>

#include "core/tensor_source.h"
#include "model_test.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

/// What an output struct holds, by the names that the graph has.
NamedArrays fields(const BaseModelOutput& output) { return {{"last_hidden_state", output.last_hidden_state}}; }
NamedArrays fields(const QuestionAnsweringModelOutput& output) {
  return {{"start_logits", output.start_logits}, {"end_logits", output.end_logits}};
}
template <typename Output>
NamedArrays fields(const Output& output) {
  return {{"logits", output.logits}};
}

void expect_outputs(const NamedArrays& actual, const FixtureCase& example, double atol) {
  ASSERT_EQ(actual.size(), example.outputs.size());
  for (const auto& [name, expected] : example.outputs) {
    const Array* array = find(actual, name);
    ASSERT_NE(array, nullptr) << name;
    expect_close(*array, expected, atol, name);
  }
}

template <typename Model>
void expect_values(const fs::path& checkpoint, const FixtureFile& file) {
  const Model model =
      Model::from_pretrained(checkpoint, {.session_options = {.intra_op_num_threads = 1}, .export_ = true});
  EXPECT_EQ(model.provider(), "CPUExecutionProvider");
  for (const FixtureCase& example : read_cases(file)) expect_outputs(fields(model(example.inputs)), example, 1e-4);
}

const std::map<std::string, void (*)(const fs::path&, const FixtureFile&)> classes{
    {"feature-extraction", expect_values<ORTModelForFeatureExtraction>},
    {"fill-mask", expect_values<ORTModelForMaskedLM>},
    {"question-answering", expect_values<ORTModelForQuestionAnswering>},
    {"text-classification", expect_values<ORTModelForSequenceClassification>},
    {"token-classification", expect_values<ORTModelForTokenClassification>},
    {"multiple-choice", expect_values<ORTModelForMultipleChoice>}};

/// One fixture of every model type, each with all tasks that have a class.
std::vector<FixtureFile> files() {
  std::vector<FixtureFile> result;
  for (const FixtureFile& file : fixture_files())
    if (file.fixture.find('.') == std::string::npos && file.submodel == "model" && classes.contains(file.task))
      result.push_back(file);
  return result;
}

class ModelClasses : public ModelTest, public ::testing::WithParamInterface<FixtureFile> {};

TEST_P(ModelClasses, GiveTheValuesOfTransformers) { classes.at(GetParam().task)(checkpoint(GetParam()), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Fixtures, ModelClasses, ::testing::ValuesIn(files()), [](const auto& file) {
  std::string name = file.param.fixture + "__" + file.param.task;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_F(ModelTest, EveryClassHasFixtures) {
  std::set<std::string> tasks;
  for (const FixtureFile& file : files()) tasks.insert(file.task);
  EXPECT_EQ(tasks.size(), classes.size());
}

TEST_F(ModelTest, AnyInputsAndOutputsByName) {
  const FixtureFile file = fixture("vit", "image-classification");
  const ORTModelForCustomTasks model = ORTModelForCustomTasks::from_pretrained(exported(file));
  ASSERT_EQ(model.inputs().size(), 1U);
  EXPECT_EQ(model.inputs().front().name, "pixel_values");
  EXPECT_EQ(model.inputs().front().shape.size(), 4U);
  EXPECT_EQ(model.inputs().front().axis_names.front(), "batch_size");
  for (const FixtureCase& example : read_cases(file)) expect_outputs(model(example.inputs), example, 1e-4);
}

TEST_F(ModelTest, SomeOutputsInTheOrderAskedFor) {
  const FixtureFile file = fixture("bert", "question-answering");
  const ORTModel model = ORTModel::from_pretrained(exported(file));
  const FixtureCase example = read_cases(file).front();
  const NamedArrays all = model(example.inputs);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all.front().first, "start_logits");
  const std::vector<std::string> names{"end_logits"};
  const NamedArrays end = model.run(example.inputs, names);
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end.front().first, "end_logits");
  expect_close(end.front().second, *find(example.outputs, "end_logits"), 1e-4, "end_logits");

  const std::vector<std::string> unknown{"logits"};
  expect_message(message_of(ErrorKind::InvalidArgument, [&] { model.run(example.inputs, unknown); }),
                 {"no output \"logits\"", "start_logits, end_logits"});
}

TEST_F(ModelTest, SentenceTransformers) {
  const fs::path directory = source_directory() / "tests/sentence_transformers/fixtures/bert.mean";
  const auto model = ORTModelForSentenceTransformers::from_pretrained(directory, {.export_ = true});
  std::map<std::string, FixtureCase> cases;
  for (const auto& [name, source] : read_safetensors(directory / "cases.safetensors")) {
    const std::size_t first = name.find('.'), second = name.find('.', first + 1);
    FixtureCase& example = cases[name.substr(0, first)];
    (name.substr(first + 1, second - first - 1) == "input" ? example.inputs : example.outputs)
        .emplace_back(name.substr(second + 1), materialize(source));
  }
  ASSERT_GE(cases.size(), 3U);
  for (const auto& [index, example] : cases) {
    const SentenceTransformerOutput output = model(example.inputs);
    expect_close(output.token_embeddings, *find(example.outputs, "token_embeddings"), 1e-5, "token_embeddings");
    expect_close(output.sentence_embedding, *find(example.outputs, "sentence_embedding"), 1e-5, "sentence_embedding");
  }
  // The class for features takes such a graph, too, and exports the transformer alone.
  const auto embeddings = ORTModelForFeatureExtraction(ORTModel::from_pretrained(directory, {.export_ = true}));
  const auto features = ORTModelForFeatureExtraction::from_pretrained(directory, {.export_ = true});
  EXPECT_EQ(features.outputs().size(), 1U);
  const FixtureCase& example = cases.begin()->second;
  for (const ORTModelForFeatureExtraction* either : {&embeddings, &features})
    expect_close((*either)(example.inputs).last_hidden_state, *find(example.outputs, "token_embeddings"), 1e-5, "");
}

TEST_F(ModelTest, TheClassIsChosenByOutputsAndArchitecture) {
  const std::map<std::string, std::size_t> index{{"feature-extraction", 0},   {"fill-mask", 1},
                                                 {"question-answering", 2},   {"text-classification", 3},
                                                 {"token-classification", 4}, {"multiple-choice", 5}};
  for (const auto& [task, expected] : index)
    EXPECT_EQ(AutoORTModel::from_pretrained(exported(fixture("bert", task), task)).index(), expected) << task;
  const fs::path sentence_transformer = source_directory() / "tests/sentence_transformers/fixtures/bert.mean";
  EXPECT_EQ(AutoORTModel::from_pretrained(sentence_transformer, {.export_ = true}).index(), 6U);
  expect_message(message_of(ErrorKind::InvalidModel,
                            [&] { AutoORTModel::from_pretrained(exported("vit", "image-classification")); }),
                 {"no class fits the outputs logits", "ORTModelForCustomTasks"});
}

TEST_F(ModelTest, AModelOfAnotherTaskIsRefused) {
  const fs::path directory = exported("bert", "text-classification");
  expect_message(message_of(ErrorKind::InvalidModel, [&] { ORTModelForQuestionAnswering::from_pretrained(directory); }),
                 {"model.onnx has no output start_logits, which ORTModelForQuestionAnswering needs", "it has logits"});
}

TEST_F(ModelTest, HiddenStatesAndAttentionsOfTheGraph) {
  const FixtureFile file = fixture("bert", "question-answering");
  const fs::path directory = exported(file);
  const FixtureCase example = read_cases(file).front();
  const QuestionAnsweringModelOutput plain = ORTModelForQuestionAnswering::from_pretrained(directory)(example.inputs);
  EXPECT_TRUE(plain.hidden_states.empty());
  EXPECT_TRUE(plain.attentions.empty());

  // The same model with copies of its outputs under the names of hidden states and attentions.
  onnx::Model model = onnx::read_model(directory / "model.onnx");
  const std::vector<onnx::ValueInfo> outputs = model.graph.outputs;
  const auto add_copy = [&](const onnx::ValueInfo& output, const std::string& name) {
    onnx::Node copy;
    copy.op_type = "Identity";
    copy.name = name;
    copy.inputs = {output.name};
    copy.outputs = {name};
    model.graph.nodes.push_back(std::move(copy));
    model.graph.outputs.push_back(output);
    model.graph.outputs.back().name = name;
  };
  add_copy(outputs.at(1), "hidden_states.1");
  add_copy(outputs.at(0), "hidden_states.0");
  add_copy(outputs.at(1), "attentions.0");
  onnx::write_model(model, directory / "model.onnx", {});

  const QuestionAnsweringModelOutput output = ORTModelForQuestionAnswering::from_pretrained(directory)(example.inputs);
  ASSERT_EQ(output.hidden_states.size(), 2U);
  ASSERT_EQ(output.attentions.size(), 1U);
  expect_close(output.start_logits, plain.start_logits, 1e-6, "start_logits");
  expect_close(output.hidden_states[0], plain.start_logits, 1e-6, "hidden_states.0");
  expect_close(output.hidden_states[1], plain.end_logits, 1e-6, "hidden_states.1");
  expect_close(output.attentions[0], plain.end_logits, 1e-6, "attentions.0");
}

}  // namespace
}  // namespace onnxport::testing
