#include "tasks/tasks.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

TEST(Tasks, NamesAreOptimums) {
  const auto names = task_names();
  EXPECT_EQ(names.size(), 33U);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(Tasks, CanonicalNamesStay) {
  for (const std::string_view name : task_names()) {
    if (name == "mask-generation" || name == "sentence-similarity") continue;  // synonyms as well
    EXPECT_EQ(canonical_task(name), name);
    EXPECT_EQ(canonical_task(std::string(name) + "-with-past"), std::string(name) + "-with-past");
  }
}

/// TasksManager._SYNONYM_TASK_MAP of Optimum.
TEST(Tasks, SynonymsAreOptimums) {
  const std::pair<const char*, const char*> synonyms[] = {
      {"audio-ctc", "automatic-speech-recognition"},
      {"causal-lm", "text-generation"},
      {"causal-lm-with-past", "text-generation-with-past"},
      {"default", "feature-extraction"},
      {"default-with-past", "feature-extraction-with-past"},
      {"masked-lm", "fill-mask"},
      {"mask-generation", "feature-extraction"},
      {"sentence-similarity", "feature-extraction"},
      {"seq2seq-lm", "text2text-generation"},
      {"seq2seq-lm-with-past", "text2text-generation-with-past"},
      {"sequence-classification", "text-classification"},
      {"speech2seq-lm", "automatic-speech-recognition"},
      {"speech2seq-lm-with-past", "automatic-speech-recognition-with-past"},
      {"summarization", "text2text-generation"},
      {"text-to-speech", "text-to-audio"},
      {"translation", "text2text-generation"},
      {"vision2seq-lm", "image-to-text"},
      {"zero-shot-classification", "text-classification"},
      {"image-feature-extraction", "feature-extraction"},
      {"pretraining", "feature-extraction"},
      {"stable-diffusion", "text-to-image"},
      {"stable-diffusion-xl", "text-to-image"},
      {"latent-consistency", "text-to-image"},
  };
  for (const auto& [synonym, task] : synonyms) EXPECT_EQ(canonical_task(synonym), task) << synonym;
}

TEST(Tasks, UnknownNamesAreErrorsThatNameTheNearest) {
  try {
    canonical_task("text-clasification");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::UnsupportedTask);
    EXPECT_NE(std::string(error.what()).find("\"text-clasification\" (nearest: text-classification"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW(canonical_task(""), Error);
  EXPECT_THROW(canonical_task("-with-past"), Error);
}

TEST(Tasks, SynonymsOfATask) {
  EXPECT_EQ(task_synonyms("text-classification"),
            (std::vector<std::string>{"sequence-classification", "zero-shot-classification"}));
  EXPECT_EQ(task_synonyms("text-generation-with-past"), std::vector<std::string>{"causal-lm-with-past"});
  EXPECT_TRUE(task_synonyms("question-answering").empty());
}

// ---- infer_task -----------------------------------------------------------------------------------------------------

Architecture architecture_with(std::vector<std::pair<std::string, std::string>> tasks) {
  Architecture architecture{"some", "base", {}};
  for (auto& [task, class_name] : tasks) architecture.tasks.push_back({task, class_name, {}});
  return architecture;
}

std::string inferred(const Architecture& architecture, const std::string& class_name) {
  Json config;
  config.set("architectures", Json::Array{class_name});
  return infer_task(architecture, Config(config));
}

TEST(InferTask, FollowsTheClass) {
  const Architecture bert = architecture_with({{"feature-extraction", "BertModel"},
                                               {"fill-mask", "BertForMaskedLM"},
                                               {"question-answering", "BertForQuestionAnswering"}});
  EXPECT_EQ(inferred(bert, "BertForQuestionAnswering"), "question-answering");
  EXPECT_EQ(inferred(bert, "BertForMaskedLM"), "fill-mask");
  EXPECT_EQ(inferred(bert, "BertModel"), "feature-extraction");
}

TEST(InferTask, TakesTheCacheAlong) {
  const Architecture gpt2 = architecture_with({{"feature-extraction", "GPT2Model"},
                                               {"feature-extraction-with-past", "GPT2Model"},
                                               {"text-generation", "GPT2LMHeadModel"},
                                               {"text-generation-with-past", "GPT2LMHeadModel"}});
  EXPECT_EQ(inferred(gpt2, "GPT2LMHeadModel"), "text-generation-with-past");
  EXPECT_EQ(inferred(gpt2, "GPT2Model"), "feature-extraction-with-past");
}

TEST(InferTask, KnowsTheHeadsOfRelatives) {
  const Architecture camembert =
      architecture_with({{"feature-extraction", "CamembertModel"}, {"fill-mask", "CamembertForMaskedLM"}});
  EXPECT_EQ(inferred(camembert, "RobertaForMaskedLM"), "fill-mask");
  EXPECT_EQ(inferred(camembert, "TFCamembertForMaskedLM"), "fill-mask");
}

TEST(InferTask, FallsBackToTheModelWithoutAHead) {
  const Architecture roformer =
      architecture_with({{"fill-mask", "RoFormerForMaskedLM"}, {"feature-extraction", "RoFormerModel"}});
  EXPECT_EQ(inferred(roformer, "RoFormerForPreTraining"), "feature-extraction");
  EXPECT_EQ(inferred(roformer, "RoFormer"), "feature-extraction");
  EXPECT_EQ(inferred(roformer, "For"), "feature-extraction");
  EXPECT_EQ(inferred(roformer, ""), "feature-extraction");
  EXPECT_EQ(infer_task(roformer, Config(Json(Json::Object{}))), "feature-extraction");
}

}  // namespace
}  // namespace onnxport
