// Options of a config that change the graph and that no definition implements are refused by name, never ignored.
#include <algorithm>

#include <gtest/gtest.h>

#include "architectures/build.h"
#include "onnxport/error.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

/// What happens to the checkpoint of a fixture when a member of its config has another value.
void expect_refused(const std::string& fixture, const std::string& task, const std::string& member, Json value) {
  SCOPED_TRACE(fixture + ", " + task + ", " + member);
  const std::vector<FixtureFile>& files = fixture_files();
  const auto file = std::find_if(files.begin(), files.end(),
                                 [&](const FixtureFile& f) { return f.fixture == fixture && f.task == task; });
  ASSERT_NE(file, files.end());
  Checkpoint checkpoint = materialize_checkpoint(*file);
  checkpoint.config.set(member, std::move(value));
  try {
    build_task(checkpoint, architecture_of(Config(checkpoint.config)), task);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::UnsupportedArchitecture);
    EXPECT_NE(std::string(error.what()).find(member), std::string::npos) << error.what();
  }
}

TEST(RefusalTest, OptionsThatMakeADecoder) {
  expect_refused("bert", "fill-mask", "is_decoder", true);
  expect_refused("distilbert", "text-classification", "is_decoder", true);
}

TEST(RefusalTest, PrunedHeads) {
  expect_refused("bert", "fill-mask", "pruned_heads", Json::Object{{"0", Json::Array{1}}});
}

TEST(RefusalTest, KindsOfPositions) {
  expect_refused("bert", "fill-mask", "position_embedding_type", "rotary");
  expect_refused("albert", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("esm", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("ibert", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("convbert", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("squeezebert", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("splinter", "question-answering", "position_embedding_type", "relative_key");
  expect_refused("longformer", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("big_bird", "fill-mask", "position_embedding_type", "relative_key");
  expect_refused("mpnet", "fill-mask", "relative_attention_num_buckets", 16);
}

TEST(RefusalTest, KindsOfAttention) {
  expect_refused("deberta", "fill-mask", "pos_att_type", Json::Array{"c2p", "p2p"});
  expect_refused("deberta", "fill-mask", "talking_head", true);
  expect_refused("deberta-v2", "fill-mask", "pos_att_type", "c2p|p2p");
  expect_refused("deberta-v2", "fill-mask", "position_buckets", 5);
  expect_refused("deberta-v2", "fill-mask", "norm_rel_ebd", "rms_norm");
  expect_refused("convbert", "fill-mask", "conv_kernel_size", 4);
  expect_refused("nystromformer", "fill-mask", "inv_coeff_init_option", true);
  expect_refused("big_bird", "fill-mask", "attention_type", "sliding");
}

TEST(RefusalTest, KindsOfModel) {
  expect_refused("gpt2", "text-generation", "add_cross_attention", true);
  expect_refused("gpt2", "text-generation", "pruned_heads", Json::Object{{"0", Json::Array{1}}});
  expect_refused("vit", "feature-extraction", "pruned_heads", Json::Object{{"0", Json::Array{1}}});
  expect_refused("xlm", "fill-mask", "causal", true);
  expect_refused("xlm", "fill-mask", "asm", true);
  expect_refused("flaubert", "fill-mask", "is_encoder", false);
  expect_refused("mobilebert", "fill-mask", "normalization_type", "rms_norm");
  expect_refused("modernbert", "fill-mask", "rope_scaling", Json::Object{{"rope_type", "yarn"}, {"factor", 2.0}});
  expect_refused("modernbert", "text-classification", "classifier_pooling", "max");
}

TEST(RefusalTest, LastTokenWithoutPadding) {
  const std::vector<FixtureFile>& files = fixture_files();
  const auto file = std::find_if(files.begin(), files.end(), [](const FixtureFile& f) {
    return f.fixture == "gpt2" && f.task == "text-classification";
  });
  ASSERT_NE(file, files.end());
  Checkpoint checkpoint = materialize_checkpoint(*file);
  checkpoint.config.erase("pad_token_id");
  try {
    build_task(checkpoint, architecture_of(Config(checkpoint.config)), file->task);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--pad_token_id"), std::string::npos) << error.what();
  }
}

TEST(RefusalTest, Quantization) { expect_refused("ibert", "fill-mask", "quant_mode", true); }

TEST(RefusalTest, ActivationsAndSummaries) {
  expect_refused("ibert", "fill-mask", "hidden_act", "relu");
  expect_refused("electra", "multiple-choice", "summary_type", "attn");
}

}  // namespace
}  // namespace onnxport::testing
