// onnxport export onnx --outputs, --model-kwargs '{"output_attentions": true}', and onnxport inspect --outputs.
#include <algorithm>

#include "cli_test.h"
#include "onnx/inspect.h"

namespace onnxport::testing {
namespace {

class CliOutputs : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint("bert", "feature-extraction");
  }

  std::vector<std::string> outputs(std::string_view model = "out/model.onnx") const {
    std::vector<std::string> names;
    const Json inspection = onnx::inspect_model(path(model));
    for (const Json& output : at(inspection, "outputs").array()) names.push_back(at(output, "name").string());
    return names;
  }
};

using Names = std::vector<std::string>;

TEST_F(CliOutputs, AreThoseAskedForInThatOrder) {
  const ProcessResult result =
      export_checkpoint({"--task", "feature-extraction", "--outputs", "pooler_output,hidden_states,attentions.1"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(outputs(),
            (Names{"pooler_output", "hidden_states.0", "hidden_states.1", "hidden_states.2", "attentions.1"}));
  for (const std::string& name : outputs())
    EXPECT_TRUE(contains(result.output, "Validating ONNX Model output \"" + name + "\"")) << result.output;
}

TEST_F(CliOutputs, TheLastHiddenStateMayBeGivenTwice) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--outputs", "last_hidden_state,hidden_states.2,hidden_states.2"})));
  EXPECT_EQ(outputs(), (Names{"last_hidden_state", "hidden_states.2"}));
}

TEST_F(CliOutputs, WithoutThemAModelIsTheSameToTheByte) {
  ASSERT_TRUE(succeeded(export_checkpoint()));
  const std::string plain = read_file(path("out/model.onnx"));
  ASSERT_TRUE(succeeded(export_checkpoint({"--outputs", "last_hidden_state"})));
  EXPECT_EQ(read_file(path("out/model.onnx")), plain);
}

TEST_F(CliOutputs, ModelKwargsAddThem) {
  make_checkpoint("bert", "text-classification");
  ASSERT_TRUE(succeeded(
      export_checkpoint({"--model-kwargs", R"({"output_attentions": true, "output_hidden_states": false})"})));
  EXPECT_EQ(outputs(), (Names{"logits", "attentions.0", "attentions.1"}));
  EXPECT_FALSE(contains(read_file(path("out/config.json")), "output_attentions"));
}

TEST_F(CliOutputs, AHeadMayBeLeftOut) {
  make_checkpoint("bert", "text-classification");
  ASSERT_TRUE(succeeded(export_checkpoint({"--outputs", "last_hidden_state,logits"})));
  EXPECT_EQ(outputs(), (Names{"last_hidden_state", "logits"}));
}

TEST_F(CliOutputs, TheCacheAndTheEncodersStatesStay) {
  make_checkpoint("t5", "text2text-generation-with-past.encoder_model");
  ASSERT_TRUE(succeeded(export_checkpoint({"--outputs", "cross_attentions,encoder_hidden_states.0"})));
  EXPECT_EQ(outputs("out/encoder_model.onnx"), (Names{"encoder_hidden_states.0", "last_hidden_state"}));
  const Names decoder = outputs("out/decoder_model.onnx");
  EXPECT_EQ(Names(decoder.begin(), decoder.begin() + 3),
            (Names{"cross_attentions.0", "cross_attentions.1", "present.0.decoder.key"}));
  EXPECT_EQ(outputs("out/decoder_with_past_model.onnx").front(), "cross_attentions.0");
}

TEST_F(CliOutputs, OneThatAModelLacksIsAnErrorThatListsThoseItHas) {
  const Names list{"bert has no output \"attention\" for this task",
                   "nearest: attentions",
                   "last_hidden_state",
                   "pooler_output",
                   "hidden_states (hidden_states.0 to .2)",
                   "attentions (attentions.0 to .1)"};
  EXPECT_TRUE(failed(export_checkpoint({"--outputs", "last_hidden_state,attention"}), 1, list));
  EXPECT_TRUE(failed(export_checkpoint({"--outputs", "hidden_states.3"}), 1, {"no output \"hidden_states.3\""}));
  EXPECT_TRUE(failed(export_checkpoint({"--outputs", "last_hidden_state,,attentions"}), 2, {"empty member"}));
  make_checkpoint("longformer", "feature-extraction");
  EXPECT_TRUE(failed(export_checkpoint({"--outputs", "attentions"}), 1, {"longformer has no output \"attentions\""}));
  EXPECT_EQ(files("out"), Names{});
}

TEST_F(CliOutputs, InspectPrintsWhatAnExportHas) {
  const ProcessResult result = run({"inspect", "--outputs", "checkpoint", "--task", "default"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.output,
            "bert, feature-extraction\n"
            "\n"
            "model.onnx\n"
            "Inputs\n"
            "  input_ids       0: batch_size, 1: sequence_length\n"
            "  attention_mask  0: batch_size, 1: sequence_length\n"
            "  token_type_ids  0: batch_size, 1: sequence_length\n"
            "Outputs\n"
            "  last_hidden_state  0: batch_size, 1: sequence_length\n"
            "Others, for --outputs\n"
            "  pooler_output\n"
            "  attentions.0\n"
            "  attentions.1\n"
            "  hidden_states.0\n"
            "  hidden_states.1\n"
            "  hidden_states.2\n");
}

TEST_F(CliOutputs, InspectAsJson) {
  make_checkpoint("t5", "text2text-generation-with-past.encoder_model");
  const ProcessResult result = run({"inspect", "--outputs", "--json", "checkpoint"});
  ASSERT_TRUE(succeeded(result));
  const Json inspection = parse_json(result.output, "stdout");
  EXPECT_EQ(at(inspection, "task").string(), "text2text-generation-with-past");
  EXPECT_EQ(at(inspection, "default_onnx_opset").integer(), 18);
  EXPECT_EQ(dump_json(at(inspection, "files", "encoder_model.onnx", "outputs")),
            R"({"last_hidden_state": {"0": "batch_size", "1": "encoder_sequence_length"}})");
  EXPECT_EQ(dump_json(at(inspection, "files", "decoder_with_past_model.onnx", "outputs", "present.0.decoder.key")),
            R"({"0": "batch_size", "2": "past_decoder_sequence_length + decoder_sequence_length"})");
}

TEST_F(CliOutputs, InspectsTaskIsForOutputs) {
  EXPECT_TRUE(failed(run({"inspect", "checkpoint", "--task", "fill-mask"}), 2, {"--task is for --outputs"}));
  EXPECT_TRUE(failed(run({"inspect", "--outputs", "checkpoint", "--task", "text-generation"}), 1,
                     {"bert has no task \"text-generation\"", "fill-mask"}));
}

}  // namespace
}  // namespace onnxport::testing
