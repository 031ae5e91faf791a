// What a model makes of the inputs that it is given: dropped, made, converted, or refused with a message that says what
// is wrong before ONNX Runtime does.
#include "core/tensor_source.h"
#include "model_test.h"

namespace onnxport::testing {
namespace {

Array converted(const Array& array, DataType type) { return materialize(cast(from_array(array), type)); }

NamedArrays without(NamedArrays arrays, std::string_view name) {
  std::erase_if(arrays, [&](const auto& item) { return item.first == name; });
  return arrays;
}

NamedArrays with(NamedArrays arrays, std::string_view name, Array array) {
  arrays = without(std::move(arrays), name);
  arrays.emplace_back(name, std::move(array));
  return arrays;
}

Array same_shape(const Array& array, std::int64_t value) {
  const std::vector<std::int64_t> values(static_cast<std::size_t>(array.element_count()), value);
  return Array::int64(array.shape(), values);
}

/// BERT's inputs are input_ids, attention_mask, token_type_ids; its config is small enough to be left.
class ModelInputs : public ModelTest {
 protected:
  void SetUp() override {
    ModelTest::SetUp();
    const FixtureFile file = fixture("bert", "text-classification");
    directory_ = exported(file);
    inputs_ = read_cases(file).front().inputs;
    expected_ = *find(read_cases(file).front().outputs, "logits");
  }

  ORTModelForSequenceClassification load() const {
    return ORTModelForSequenceClassification::from_pretrained(directory_);
  }
  std::string refusal(const NamedArrays& inputs) const {
    return message_of(ErrorKind::InvalidArgument, [&] { load()(inputs); });
  }
  Array input(std::string_view name) const { return *find(inputs_, name); }

  fs::path directory_;
  NamedArrays inputs_;
  Array expected_;
};

TEST_F(ModelInputs, OrderDoesNotMatterAndUnknownInputsAreDropped) {
  NamedArrays inputs(inputs_.rbegin(), inputs_.rend());
  inputs.emplace_back("special_tokens_mask", same_shape(input("input_ids"), 0));
  inputs.emplace_back("pixel_values", Array::float32({1}, std::vector<float>{0}));
  expect_close(load()(inputs).logits, expected_, 1e-4, "logits");
}

TEST_F(ModelInputs, MissingTokenTypesAreZerosAndAMissingMaskIsOnes) {
  const auto model = load();
  const NamedArrays zeros = with(inputs_, "token_type_ids", same_shape(input("input_ids"), 0));
  expect_close(model(without(inputs_, "token_type_ids")).logits, model(zeros).logits, 0, "token_type_ids");
  const NamedArrays ones = with(inputs_, "attention_mask", same_shape(input("input_ids"), 1));
  expect_close(model(without(inputs_, "attention_mask")).logits, model(ones).logits, 0, "attention_mask");
  EXPECT_GT(std::fabs(model(zeros).logits.data<float>()[0] - expected_.data<float>()[0]), 1e-4)
      << "zeros change nothing";
}

TEST_F(ModelInputs, MissingInputIdsAreNamed) {
  expect_message(refusal(without(inputs_, "input_ids")),
                 {"the input \"input_ids\" (batch_size, sequence_length) is missing", "\"attention_mask\""});
  expect_message(refusal({}), {"\"input_ids\"", "what was given is nothing"});
}

TEST_F(ModelInputs, IntegersAreConverted) {
  const auto model = load();
  for (const DataType type : {DataType::Int32, DataType::UInt32, DataType::Int16, DataType::UInt64}) {
    NamedArrays inputs = inputs_;
    for (auto& [name, array] : inputs) array = converted(array, type);
    expect_close(model(inputs).logits, expected_, 1e-4, std::string(to_string(type)));
  }
  const Array mask = converted(input("attention_mask"), DataType::Bool);
  expect_close(model(with(inputs_, "attention_mask", mask)).logits, expected_, 1e-4, "bool");
}

TEST_F(ModelInputs, FloatingPointIdsAreRefused) {
  expect_message(refusal(with(inputs_, "input_ids", converted(input("input_ids"), DataType::Float32))),
                 {"the input \"input_ids\" is of type float32; the model takes int64"});
}

TEST_F(ModelInputs, AnotherRankIsRefused) {
  const Array ids = input("input_ids");
  expect_message(refusal(with(inputs_, "input_ids", ids.reshaped({ids.element_count()}))),
                 {"the input \"input_ids\" has the shape (" + std::to_string(ids.element_count()) + ",)",
                  "the model takes (batch_size, sequence_length)"});
}

TEST_F(ModelInputs, SizesThatDifferBetweenInputsAreRefused) {
  const NamedArrays inputs{{"input_ids", rows({{2, 5, 3}, {2, 6, 3}})},
                           {"attention_mask", rows({{1, 1, 1}, {1, 1, 1}, {1, 1, 1}})}};
  expect_message(refusal(inputs), {"\"attention_mask\" has the batch_size 3, but \"input_ids\" has 2"});
  const NamedArrays lengths{{"input_ids", rows({{2, 5, 3}})}, {"attention_mask", rows({{1, 1}})}};
  expect_message(refusal(lengths), {"\"attention_mask\" has the sequence_length 2, but \"input_ids\" has 3"});
}

TEST_F(ModelInputs, EmptyInputIsRefused) {
  expect_message(refusal({{"input_ids", Array(DataType::Int64, {0, 7})}}), {"\"input_ids\" is empty", "(0, 7)"});
  expect_message(refusal({{"input_ids", Array(DataType::Int64, {2, 0})}}), {"\"input_ids\" is empty", "(2, 0)"});
  expect_message(refusal({{"input_ids", Array()}}), {"\"input_ids\""});
}

TEST_F(ModelInputs, IdsBeyondTheVocabularyAreRefused) {
  const std::int64_t size = load().config().find("vocab_size")->integer();
  EXPECT_NO_THROW(load()({{"input_ids", rows({{0, size - 1}})}}));
  expect_message(refusal({{"input_ids", rows({{1, 2, 3}, {1, size, 3}})}}),
                 {"\"input_ids\" has the id " + std::to_string(size) + " (row 1, position 1)",
                  "vocab_size is " + std::to_string(size)});
  expect_message(refusal({{"input_ids", rows({{1, 2, -1}})}}), {"has the id -1 (row 0, position 2)"});
  const std::int64_t types = load().config().find("type_vocab_size")->integer();
  expect_message(refusal({{"input_ids", rows({{1, 2}})}, {"token_type_ids", rows({{0, types}})}}),
                 {"\"token_type_ids\" has the id " + std::to_string(types), "type_vocab_size"});
}

TEST_F(ModelInputs, AWrongVocabularyOfTheConfigIsStillAnError) {
  // Without vocab_size nothing is known: what is said is ONNX Runtime's own, with the file's name.
  Json config = load().config();
  config.erase("vocab_size");
  std::ofstream(directory_ / "config.json") << dump_json(config);
  expect_message(message_of(ErrorKind::RuntimeFailed,
                            [&] {
                              load()({{"input_ids", rows({{1, 1000000}})}});
                            }),
                 {"model.onnx"});
  std::ofstream(directory_ / "config.json") << R"({"model_type": "bert", "vocab_size": "many"})";
  expect_message(message_of(ErrorKind::InvalidCheckpoint, [&] { load(); }), {"config.json", "vocab_size", "\"many\""});
}

/// A task of a fixture whose inputs are rows of tokens; variants have only some of their family's tasks.
FixtureFile any_task(const std::string& name) {
  for (const FixtureFile& file : fixture_files())
    if (file.fixture == name && file.submodel == "model" && file.task != "multiple-choice") return file;
  throw std::runtime_error("there is no fixture " + name);
}

/// Rows that are as long as the model's table of positions, and one longer.
void expect_limit(const ORTModel& model, std::int64_t limit, std::int64_t id) {
  ASSERT_EQ(model.max_length(), limit);
  const auto row = [&](std::int64_t length) {
    return NamedArrays{{"input_ids", rows({std::vector<std::int64_t>(static_cast<std::size_t>(length), id)})}};
  };
  EXPECT_NO_THROW(model(row(limit)));
  expect_message(message_of(ErrorKind::InvalidArgument, [&] { model(row(limit + 1)); }),
                 {"rows of " + std::to_string(limit + 1) + " tokens", "positions for " + std::to_string(limit),
                  "truncate the text to max_length " + std::to_string(limit)});
}

TEST_F(ModelTest, RowsLongerThanThePositionsAreRefused) {
  for (const char* name : {"bert", "bert.relative_key", "albert", "distilbert", "distilbert.sinusoidal", "electra",
                           "gpt2", "roformer", "xlm", "nystromformer", "squeezebert", "deberta-v2.position_biased"}) {
    SCOPED_TRACE(name);
    const ORTModel model = ORTModel::from_pretrained(exported(any_task(name), name));
    const Json* limit = model.config().find("max_position_embeddings");
    if (limit == nullptr) limit = model.config().find("n_positions");
    expect_limit(model, limit->integer(), 5);
  }
}

TEST_F(ModelTest, FamiliesOfRobertaHaveFewerPositionsThanTheTableHasRows) {
  for (const char* name : {"roberta", "roberta.untied_pad3", "xlm-roberta", "camembert", "data2vec-text", "ibert",
                           "mpnet", "mpnet.pad_elsewhere", "esm.absolute"}) {
    SCOPED_TRACE(name);
    const ORTModel model = ORTModel::from_pretrained(exported(any_task(name), name));
    const std::int64_t padding =
        std::string_view(name).starts_with("mpnet") ? 1 : model.config().find("pad_token_id")->integer();
    const std::int64_t limit = model.config().find("max_position_embeddings")->integer() - padding - 1;
    expect_limit(model, limit, 7);
    // Padding takes no position: a longer row is right if what is too much is padding.
    std::vector<std::int64_t> row(static_cast<std::size_t>(limit), 7);
    row.push_back(padding);
    std::vector<std::int64_t> mask(row.size(), 1);
    mask.back() = 0;
    EXPECT_NO_THROW(model({{"input_ids", rows({row})}, {"attention_mask", rows({mask})}}));
  }
}

TEST_F(ModelTest, RelativePositionsHaveNoLimit) {
  for (const char* name : {"deberta-v2", "esm", "modernbert"}) {
    SCOPED_TRACE(name);
    const ORTModel model = ORTModel::from_pretrained(exported(fixture(name, "feature-extraction"), name));
    EXPECT_EQ(model.max_length(), std::nullopt);
    const std::int64_t positions = model.config().find("max_position_embeddings")->integer();
    const std::vector<std::int64_t> row(static_cast<std::size_t>(2 * positions + 1), 5);
    EXPECT_NO_THROW(model({{"input_ids", rows({row})}}));
  }
}

TEST_F(ModelTest, PositionIdsAreCountedAlongTheMask) {
  const FixtureFile file = fixture("gpt2", "text-generation");
  const ORTModel model = ORTModel::from_pretrained(exported(file));
  for (const FixtureCase& example : read_cases(file)) {
    ASSERT_NE(find(example.inputs, "position_ids"), nullptr);
    const Array mask = *find(example.inputs, "attention_mask");
    std::vector<std::int64_t> positions;
    for (std::int64_t i = 0, count = 0; i < mask.element_count(); ++i) {
      if (i % mask.shape().back() == 0) count = 0;
      positions.push_back(mask.data<std::int64_t>()[i] != 0 ? count++ : 1);
    }
    const Array stated = Array::int64(mask.shape(), positions);
    const NamedArrays made = model(without(example.inputs, "position_ids"));
    const NamedArrays given = model(with(example.inputs, "position_ids", stated));
    expect_close(*find(made, "logits"), *find(given, "logits"), 0, "logits");
  }
}

TEST_F(ModelTest, FixedAxesAreStated) {
  const FixtureFile file = fixture("bert", "fill-mask");
  const ORTModel model = ORTModel::from_pretrained(exported(file, "model", [](ExportOptions& options) {
    options.dynamic_axes = false;
    options.shapes.batch_size = 2;
    options.shapes.sequence_length = 5;
  }));
  EXPECT_NO_THROW(model({{"input_ids", rows({{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}})}}));
  expect_message(message_of(ErrorKind::InvalidArgument,
                            [&] {
                              model({{"input_ids", rows({{1, 2, 3, 4, 5}})}});
                            }),
                 {"has the shape (1, 5); the model takes (2, 5)"});
}

TEST_F(ModelTest, AMaskWithAPastMustBeGivenAndFit) {
  const FixtureFile file = fixture("gpt2", "text-generation-with-past");
  const ORTModel model = ORTModel::from_pretrained(exported(file));
  bool has_past = false;
  for (const FixtureCase& example : read_cases(file)) {
    EXPECT_NO_THROW(model(example.inputs));
    const Array mask = *find(example.inputs, "attention_mask");
    const Array ids = *find(example.inputs, "input_ids");
    if (mask.shape() == ids.shape()) continue;
    has_past = true;
    expect_message(message_of(ErrorKind::InvalidArgument, [&] { model(without(example.inputs, "attention_mask")); }),
                   {"\"attention_mask\"", "is missing"});
    expect_message(message_of(ErrorKind::InvalidArgument,
                              [&] { model(with(example.inputs, "attention_mask", same_shape(ids, 1))); }),
                   {"\"attention_mask\" has " + std::to_string(ids.shape().back()) + " as its past_sequence_length",
                    "which is " + std::to_string(mask.shape().back())});
  }
  EXPECT_TRUE(has_past);
}

TEST_F(ModelTest, MultipleChoiceTakesThreeAxes) {
  const auto model = ORTModelForMultipleChoice::from_pretrained(exported("bert", "multiple-choice"));
  expect_message(message_of(ErrorKind::InvalidArgument,
                            [&] {
                              model({{"input_ids", rows({{1, 2}})}});
                            }),
                 {"(1, 2)", "(batch_size, num_choices, sequence_length)"});
  const Array one = model({{"input_ids", rows({{1, 2}, {1, 3}}).reshaped({1, 2, 2})}}).logits;
  EXPECT_EQ(one.shape(), (std::vector<std::int64_t>{1, 2}));
}

}  // namespace
}  // namespace onnxport::testing
