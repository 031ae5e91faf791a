// onnxport inspect, of checkpoints and of models.
#include "cli_test.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliInspect : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint();
  }

  Json inspect(const std::string& name) const {
    const ProcessResult result = run({"inspect", "--json", name});
    EXPECT_TRUE(succeeded(result));
    return parse_json(result.output, "stdout");
  }

  static const Json& task_of(const Json& inspection, std::string_view name) {
    static const Json null;
    for (const Json& task : at(inspection, "tasks").array())
      if (at(task, "task").string() == name) return task;
    ADD_FAILURE() << "no task " << name;
    return null;
  }
};

TEST_F(CliInspect, Checkpoint) {
  const ProcessResult result = run({"inspect", "checkpoint"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.error, "");
  for (const char* part :
       {"checkpoint\n", "model type", "distilbert", "DistilBertForQuestionAnswering", "model.safetensors",
        "✓  question-answering", "trained for this", "x  fill-mask", "vocab_", "Tensors: ", "float32", "100.0 %", "█",
        "Largest", "distilbert.embeddings.word_embeddings.weight", "smaller ones"})
    EXPECT_TRUE(contains(result.output, part)) << part << "\n" << result.output;
}

TEST_F(CliInspect, CheckpointAsJson) {
  const Json inspection = inspect("checkpoint");
  EXPECT_EQ(at(inspection, "model_type").string(), "distilbert");
  EXPECT_EQ(at(inspection, "trained_task").string(), "question-answering");
  EXPECT_TRUE(at(inspection, "problem").is_null());
  EXPECT_EQ(dump_json(at(task_of(inspection, "question-answering"), "files")), R"(["model.onnx"])");
  EXPECT_TRUE(at(task_of(inspection, "question-answering"), "unused_tensors").array().empty());
  EXPECT_EQ(dump_json(at(task_of(inspection, "feature-extraction"), "unused_tensors")),
            R"(["qa_outputs.bias", "qa_outputs.weight"])");
  EXPECT_TRUE(contains(at(task_of(inspection, "fill-mask"), "problem").string(), "vocab_transform"));

  const Json::Array& tensors = at(inspection, "tensors", "tensors").array();
  ASSERT_EQ(static_cast<std::int64_t>(tensors.size()), at(inspection, "tensors", "count").integer());
  std::int64_t bytes = 0;
  std::int64_t previous = at(tensors.front(), "bytes").integer();
  for (const Json& tensor : tensors) {
    EXPECT_LE(at(tensor, "bytes").integer(), previous) << "large ones first";
    previous = at(tensor, "bytes").integer();
    bytes += previous;
  }
  EXPECT_EQ(bytes, at(inspection, "tensors", "bytes").integer());
  EXPECT_EQ(at(at(inspection, "tensors", "data_types").array().front(), "data_type").string(), "float32");
}

TEST_F(CliInspect, CheckpointOfAnUnknownArchitecture) {
  change_config("model_type", "distilbart");
  const ProcessResult result = run({"inspect", "checkpoint"});
  ASSERT_TRUE(succeeded(result)) << "its tensors can be looked at all the same";
  EXPECT_TRUE(contains(result.output, "No task: ")) << result.output;
  EXPECT_TRUE(contains(result.output, "distilbart")) << result.output;
  EXPECT_TRUE(contains(result.output, "word_embeddings.weight")) << result.output;
  EXPECT_TRUE(at(inspect("checkpoint"), "trained_task").is_null());
}

TEST_F(CliInspect, Model) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--no-validate"})));
  const ProcessResult result = run({"inspect", "out/model.onnx"});
  ASSERT_TRUE(succeeded(result));
  for (const char* part : {"out/model.onnx", "onnxport", "ai.onnx 18", "input_ids", "start_logits", "batch_size"})
    EXPECT_TRUE(contains(result.output, part)) << part << "\n" << result.output;
}

TEST_F(CliInspect, ModelAsJson) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--no-validate"})));
  const Json inspection = inspect("out/model.onnx");
  EXPECT_EQ(at(inspection, "producer").string(), "onnxport");
  EXPECT_EQ(at(inspection, "metadata", "task").string(), "question-answering");
}

TEST_F(CliInspect, WhatFromPretrainedLoadsIsNotUnused) {
  make_checkpoint("ibert", "fill-mask", "ibert");
  const Json inspection = inspect("ibert");
  EXPECT_GT(at(inspection, "tensors", "count").integer(), 100) << "the buffers of the quantization";
  EXPECT_TRUE(at(task_of(inspection, "fill-mask"), "unused_tensors").array().empty());
  const ProcessResult result = run({"inspect", "ibert"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_FALSE(contains(result.output, "Unused by")) << result.output;
}

TEST_F(CliInspect, OutputOfAnExport) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--no-validate"})));
  EXPECT_TRUE(failed(run({"inspect", "out"}), 1, {"out/model.onnx"})) << "it holds models, no checkpoint";
}

TEST_F(CliInspect, WhatCannotBeInspected) {
  EXPECT_TRUE(failed(run({"inspect", "nowhere"}), 1, {"\"nowhere\"", "does not exist"}));
  EXPECT_TRUE(failed(run({"inspect", "checkpoint/config.json"}), 1, {"neither", ".onnx"}));
  write_file(path("broken.onnx"), "no model");
  EXPECT_TRUE(failed(run({"inspect", "broken.onnx"}), 1, {"broken.onnx"}));
  write_file(path("checkpoint/model.safetensors"), "no weights");
  EXPECT_TRUE(failed(run({"inspect", "checkpoint"}), 1, {"model.safetensors"}));
}

}  // namespace
}  // namespace onnxport::testing
