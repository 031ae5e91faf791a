// How models run: types, threads, providers, options, and whose memory results lie in.
#include "runtime/session.h"

#include <atomic>
#include <thread>
#include <type_traits>

#include "core/tensor_source.h"
#include "model_test.h"

namespace onnxport::testing {
namespace {

static_assert(!std::is_copy_constructible_v<ORTModelForMaskedLM>);
static_assert(std::is_nothrow_move_constructible_v<ORTModelForMaskedLM>);

Array as_float32(const Array& array) { return materialize(cast(from_array(array), DataType::Float32)); }

TEST_F(ModelTest, HalfPrecision) {
  const FixtureFile file = fixture("bert", "token-classification");
  const FixtureCase example = read_cases(file).front();
  const Array& expected = *find(example.outputs, "logits");
  const auto model = ORTModelForTokenClassification::from_pretrained(
      exported(file, "model", [](ExportOptions& options) { options.dtype = "fp16"; }));
  const Array logits = model(example.inputs).logits;
  EXPECT_EQ(logits.data_type(), DataType::Float16);
  expect_close(as_float32(logits), expected, 2e-2, "float16");
}

/// ONNX Runtime has no bfloat16 for CPUs: the model runs in float32.
TEST_F(ModelTest, BrainFloat) {
  const FixtureFile file = fixture("bert", "token-classification");
  const FixtureCase example = read_cases(file).front();
  const fs::path directory = exported(file, "model", [](ExportOptions& options) { options.dtype = "bf16"; });
  const auto model = ORTModelForTokenClassification::from_pretrained(directory);
  expect_close(as_float32(model(example.inputs).logits), *find(example.outputs, "logits"), 1e-1, "bfloat16");
  EXPECT_EQ(model.path(), directory / "model.onnx");
}

TEST_F(ModelTest, FloatInputsAreConverted) {
  const FixtureFile file = fixture("vit", "image-classification");
  const FixtureCase example = read_cases(file).front();
  const ORTModel model =
      ORTModel::from_pretrained(exported(file, "model", [](ExportOptions& options) { options.dtype = "fp16"; }));
  ASSERT_EQ(model.inputs().front().data_type, DataType::Float16);
  const Array logits = as_float32(model(example.inputs).front().second);
  expect_close(logits, *find(example.outputs, "logits"), 2e-2, "logits");
}

TEST_F(ModelTest, SeveralThreadsRunOneModel) {
  const FixtureFile file = fixture("roberta", "text-classification");
  const auto model = ORTModelForSequenceClassification::from_pretrained(
      exported(file), {.session_options = {.intra_op_num_threads = 1}});
  const std::vector<FixtureCase> cases = read_cases(file);
  std::vector<Array> alone;
  for (const FixtureCase& example : cases) alone.push_back(model(example.inputs).logits);
  std::atomic<int> different = 0;
  std::vector<std::thread> threads;
  for (std::size_t first = 0; first < 4; ++first)
    threads.emplace_back([&, first] {
      for (std::size_t i = first; i < first + 100; ++i) {
        const Array logits = model(cases[i % cases.size()].inputs).logits;
        const Array& expected = alone[i % cases.size()];
        if (!std::equal(logits.bytes().begin(), logits.bytes().end(), expected.bytes().begin(), expected.bytes().end()))
          ++different;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(different, 0);
}

TEST_F(ModelTest, ResultsOutliveTheModel) {
  const FixtureFile file = fixture("bert", "fill-mask");
  const FixtureCase example = read_cases(file).front();
  Array logits;
  {
    const auto model = ORTModelForMaskedLM::from_pretrained(exported(file));
    logits = model(example.inputs).logits;
  }
  expect_close(logits, *find(example.outputs, "logits"), 1e-4, "logits");
}

TEST_F(ModelTest, MovedModelsRun) {
  const FixtureFile file = fixture("bert", "fill-mask");
  const FixtureCase example = read_cases(file).front();
  auto first = ORTModelForMaskedLM::from_pretrained(exported(file));
  auto second = std::move(first);
  expect_close(second(example.inputs).logits, *find(example.outputs, "logits"), 1e-4, "logits");
}

TEST_F(ModelTest, ProvidersAreChosenFromThoseAvailable) {
  const std::vector<std::string> available = available_providers();
  ASSERT_FALSE(available.empty());
  EXPECT_EQ(available.back(), "CPUExecutionProvider");
  const fs::path directory = exported("bert", "fill-mask");
  const std::string message = message_of(
      ErrorKind::InvalidArgument, [&] { ORTModel::from_pretrained(directory, {.provider = "GPUExecutionProvider"}); });
  expect_message(message, {"\"GPUExecutionProvider\"", "CPUExecutionProvider", onnxruntime_version()});
  expect_message(message_of(ErrorKind::InvalidArgument,
                            [&] {
                              ORTModel::from_pretrained(directory, {.provider_options = {{"device_id", "0"}}});
                            }),
                 {"CPUExecutionProvider takes no provider_options", "device_id"});
}

/// Every provider but the CPU's own goes through the C API's functions for them; a provider whose hardware or libraries
/// are missing says so, and one that takes none of a model's nodes leaves them to the CPU.
TEST_F(ModelTest, OtherProvidersRunOrSayWhyNot) {
  const FixtureFile file = fixture("bert", "fill-mask");
  const fs::path directory = exported(file);
  const FixtureCase example = read_cases(file).front();
  for (const std::string& provider : available_providers()) {
    SCOPED_TRACE(provider);
    try {
      const auto model = ORTModelForMaskedLM::from_pretrained(directory, {.provider = provider});
      EXPECT_EQ(model.provider(), provider);
      expect_close(model(example.inputs).logits, *find(example.outputs, "logits"), 1e-2, "logits");
    } catch (const Error& error) {
      EXPECT_NE(provider, "CPUExecutionProvider") << error.what();
      EXPECT_NE(provider, "AzureExecutionProvider") << error.what();
      EXPECT_EQ(to_string(error.kind()), "RuntimeFailed");
      expect_message(error.what(), {"model.onnx"});
    }
  }
}

TEST_F(ModelTest, BoundInputsAndOutputsGiveTheSame) {
  const FixtureFile file = fixture("bert", "question-answering");
  const fs::path directory = exported(file);
  const auto plain = ORTModelForQuestionAnswering::from_pretrained(directory, {.use_io_binding = false});
  const auto bound = ORTModelForQuestionAnswering::from_pretrained(directory, {.use_io_binding = true});
  for (const FixtureCase& example : read_cases(file)) {
    expect_close(bound(example.inputs).start_logits, plain(example.inputs).start_logits, 0, "start_logits");
    expect_close(bound(example.inputs).end_logits, plain(example.inputs).end_logits, 0, "end_logits");
  }
}

TEST_F(ModelTest, SessionOptionsReachOnnxRuntime) {
  const FixtureFile file = fixture("bert", "fill-mask");
  const fs::path directory = exported(file);
  const FixtureCase example = read_cases(file).front();
  for (const GraphOptimizationLevel level : {GraphOptimizationLevel::Disabled, GraphOptimizationLevel::Basic,
                                             GraphOptimizationLevel::Extended, GraphOptimizationLevel::All}) {
    const auto model = ORTModelForMaskedLM::from_pretrained(
        directory, {.session_options = {.intra_op_num_threads = 2,
                                        .inter_op_num_threads = 2,
                                        .graph_optimization_level = level,
                                        .config_entries = {{"session.disable_prepacking", "1"}}}});
    expect_close(model(example.inputs).logits, *find(example.outputs, "logits"), 1e-4, "logits");
  }
  // A key that ONNX Runtime refuses for its length is refused by name of the file.
  const SessionOptions wrong{.config_entries = {{std::string(5000, 'x'), "1"}}};
  expect_message(
      message_of(ErrorKind::RuntimeFailed, [&] { ORTModel::from_pretrained(directory, {.session_options = wrong}); }),
      {"model.onnx"});
}

}  // namespace
}  // namespace onnxport::testing
