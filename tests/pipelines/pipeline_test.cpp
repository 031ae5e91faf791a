// The C++ interface: typed results, streams, and what happens with wrong input.
#include "onnxport/pipeline.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "pipeline_fixture.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

template <typename Function>
std::string message_of(ErrorKind kind, const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing is thrown";
  return "";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// ---- Typed calls ----------------------------------------------------------------------------------------------------

TEST(PipelineTest, QuestionAnsweringReadsAsInTheDocumentation) {
  auto qa = onnxport::pipeline("question-answering", exported_fixture("distilbert_reader"));
  auto answer = qa({.question = "Who built the harbour?", .context = "The harbour was built by Ingrid Solberg."});
  const Json expected =
      qa(Json::Object{{"question", "Who built the harbour?"}, {"context", "The harbour was built by Ingrid Solberg."}});
  EXPECT_EQ(answer.answer, expected.find("answer")->string());
  EXPECT_EQ(static_cast<std::int64_t>(answer.start), expected.find("start")->integer());
  EXPECT_EQ(static_cast<std::int64_t>(answer.end), expected.find("end")->integer());
  EXPECT_EQ(answer.score, expected.find("score")->number());
  ASSERT_EQ(answer.answers.size(), 1U);

  const auto best = qa.as<QuestionAnsweringPipeline>()({.question = "Who?", .context = "Anna and Bo."}, {.top_k = 3});
  ASSERT_EQ(best.answers.size(), 3U);
  EXPECT_EQ(best.answers.front().answer, best.answer);
  EXPECT_GE(best.answers[0].score, best.answers[1].score);
}

TEST(PipelineTest, TextClassificationGivesLabelsByScore) {
  const TextClassificationPipeline classify(exported_fixture("bert_classifier"));
  const std::vector<LabelScore> best = classify("I did not like the film.");
  ASSERT_EQ(best.size(), 1U);
  const std::vector<LabelScore> all = classify("I did not like the film.", {.top_k = std::nullopt});
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all.front().label, best.front().label);
  double sum = 0;
  for (const LabelScore& label : all) sum += label.score;
  EXPECT_NEAR(sum, 1, 1e-5);
  const std::vector<LabelScore> pair = classify({.text = "I did not like the film.", .text_pair = "But why?"});
  EXPECT_NE(pair.front().score, best.front().score);
}

TEST(PipelineTest, ListsGiveWhatTheirElementsGive) {
  const TextClassificationPipeline classify(exported_fixture("bert_classifier"));
  const std::vector<std::string> texts{"one", "two words", "", "and a few more words than that"};
  const auto together = classify(texts, {.top_k = std::nullopt});
  ASSERT_EQ(together.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto alone = classify(texts[i], {.top_k = std::nullopt});
    for (std::size_t label = 0; label < alone.size(); ++label) {
      EXPECT_EQ(together[i][label].label, alone[label].label);
      EXPECT_NEAR(together[i][label].score, alone[label].score, 1e-6);
    }
  }
  EXPECT_TRUE(classify(std::vector<std::string>{}).empty());
}

TEST(PipelineTest, OffsetsOfEntitiesCountCodePoints) {
  const TokenClassificationPipeline tag(exported_fixture("bert_tagger"));
  const auto entities = tag("Zoë 🎻 Anna", {.ignore_labels = {}});
  ASSERT_FALSE(entities.empty());
  EXPECT_EQ(entities.back().end, 10U);
}

TEST(PipelineTest, InvalidUtf8IsReadAsReplacementCharacters) {
  const QuestionAnsweringPipeline qa(exported_fixture("distilbert_reader"));
  const auto broken = qa({.question = "Who?", .context = "Anna \xff and Bo \xe2\x82 walk."}, {.top_k = 4});
  const auto replaced =
      qa({.question = "Who?", .context = "Anna \xef\xbf\xbd and Bo \xef\xbf\xbd walk."}, {.top_k = 4});
  ASSERT_EQ(broken.answers.size(), replaced.answers.size());
  for (std::size_t i = 0; i < broken.answers.size(); ++i) {
    EXPECT_EQ(broken.answers[i].answer, replaced.answers[i].answer);
    EXPECT_EQ(broken.answers[i].start, replaced.answers[i].start);
  }
}

TEST(PipelineTest, ThreadsMayShareAPipeline) {
  const FillMaskPipeline fill(exported_fixture("bert_masked"));
  const auto expected = fill("Good [MASK], bad service.");
  std::atomic<int> failures = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int turn = 0; turn < 20; ++turn)
        if (fill("Good [MASK], bad service.").front().front().token != expected.front().front().token) ++failures;
    });
  threads.clear();
  EXPECT_EQ(failures, 0);
}

TEST(PipelineTest, ASynonymIsTheTask) {
  EXPECT_EQ(pipeline("sentiment-analysis", exported_fixture("bert_classifier")).task(), "text-classification");
  EXPECT_EQ(pipeline("ner", exported_fixture("bert_tagger")).task(), "token-classification");
}

TEST(PipelineTest, ACheckpointIsExportedFirst) {
  const TemporaryDirectory checkpoint;
  write_pipeline_checkpoint("bert_classifier", checkpoint.path());
  const TextClassificationPipeline exported_here(checkpoint.path(), {.model_options = {.export_ = true}});
  const TextClassificationPipeline exported_before(exported_fixture("bert_classifier"));
  EXPECT_NEAR(exported_here("Good coffee.").front().score, exported_before("Good coffee.").front().score, 1e-6);
  // Without being asked, too.
  std::string note;
  const TextClassificationPipeline unasked(checkpoint.path(),
                                           {.model_options = {.warn = [&](std::string_view line) { note += line; }}});
  EXPECT_NEAR(unasked("Good coffee.").front().score, exported_before("Good coffee.").front().score, 1e-6);
  EXPECT_NE(note.find("No ONNX files were found"), std::string::npos) << note;
}

// ---- Streams --------------------------------------------------------------------------------------------------------

TEST(StreamTest, KeepsTheOrderAndReadsAheadByABoundedWindow) {
  const TextClassificationPipeline classify(exported_fixture("bert_classifier"));
  constexpr std::size_t count = 9000;
  const auto text_of = [](std::size_t i) { return std::string(1 + i % 23, 'a') + " " + std::to_string(i % 97); };
  const auto options = std::make_shared<const TextClassificationOptions>();
  std::map<std::string, double> known;
  std::size_t read = 0, emitted = 0, largest_lead = 0;
  classify.stream(
      [&]() -> std::optional<TextClassificationPipeline::Item> {
        if (read == count) return std::nullopt;
        largest_lead = std::max(largest_lead, read + 1 - emitted);
        return TextClassificationPipeline::Item{{.text = text_of(read++)}, options};
      },
      [&](const std::vector<LabelScore>& labels) {
        const auto [entry, is_new] = known.emplace(text_of(emitted++), labels.front().score);
        if (is_new) return;
        EXPECT_NEAR(entry->second, labels.front().score, 1e-5) << text_of(emitted - 1);
      });
  EXPECT_EQ(emitted, count);
  EXPECT_LE(largest_lead, 4096U);
  for (const char* text : {"a 0", "aaaa 3"}) EXPECT_NEAR(known.at(text), classify(text).front().score, 1e-5);
}

TEST(StreamTest, EmitsWhatComesBeforeAnError) {
  const FillMaskPipeline fill(exported_fixture("bert_masked"));
  const auto options = std::make_shared<const FillMaskOptions>();
  std::size_t read = 0, emitted = 0;
  EXPECT_THROW(fill.stream(
                   [&]() -> std::optional<FillMaskPipeline::Item> {
                     if (read == 10) return std::nullopt;
                     return FillMaskPipeline::Item{{.text = read++ == 7 ? "no mask" : "a [MASK]"}, options};
                   },
                   [&](const auto&) { ++emitted; }),
               Error);
  EXPECT_EQ(emitted, 7U);
}

TEST(StreamTest, EveryInputMayHaveItsOwnOptions) {
  const Pipeline fill = pipeline("fill-mask", exported_fixture("bert_masked"));
  std::size_t next = 0;
  std::vector<std::size_t> counts;
  fill.stream(
      [&]() -> std::optional<Pipeline::Item> {
        if (next == 6) return std::nullopt;
        ++next;
        return Pipeline::Item{"a [MASK]", Json::Object{{"top_k", static_cast<std::int64_t>(next)}}};
      },
      [&](const Json& fills) { counts.push_back(fills.array().size()); });
  EXPECT_EQ(counts, (std::vector<std::size_t>{1, 2, 3, 4, 5, 6}));
}

TEST(StreamTest, JsonLinesAreTakenApart) {
  const Pipeline qa = pipeline("question-answering", exported_fixture("distilbert_reader"));
  const auto [input, options] = qa.item_of(Json::Object{{"question", "a"}, {"top_k", 2}, {"context", "b"}});
  EXPECT_EQ(dump_json(input), R"({"question": "a", "context": "b"})");
  EXPECT_EQ(dump_json(options), R"({"top_k": 2})");
  EXPECT_EQ(qa.item_of("text").first, Json("text"));
  EXPECT_TRUE(contains(message_of(ErrorKind::InvalidArgument,
                                  [&] {
                                    qa.item_of(Json::Object{{"top_k", 2}});
                                  }),
                       "\"question\""));
}

// ---- Sentence embeddings --------------------------------------------------------------------------------------------

TEST(EmbeddingsTest, PoolOutsideTheGraphWhereItEndsAtTheTokens) {
  const fs::path model = source_directory() / ".deps/all-MiniLM-L6-v2";
  ASSERT_TRUE(fs::exists(model)) << "run tools/fetch-demo-model.sh";
  const TemporaryDirectory scratch;
  export_onnx({.model = model,
               .output = scratch.path() / "features",
               .task = "feature-extraction",
               .library_name = "transformers",
               .validate = false});
  // What says how to pool lies beside the weights.
  for (const char* name : {"modules.json", "1_Pooling", "sentence_bert_config.json"})
    if (!fs::exists(scratch.path() / "features" / name)) fs::copy(model / name, scratch.path() / "features" / name);
  const EmbeddingsPipeline inside(exported_minilm()), outside(scratch.path() / "features");
  for (const char* text : {"The ferry leaves at nine.", "", "Zoë bakes bread."}) {
    const std::vector<float> a = inside(text), b = outside(text);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
  }
}

TEST(EmbeddingsTest, NormalizeAndPromptActOnWhatTheModelGives) {
  const EmbeddingsPipeline embed(exported_fixture("bert_features"));  // no modules: the mean, as it is
  const auto length_of = [](const std::vector<float>& embedding) {
    double squares = 0;
    for (const float value : embedding) squares += double{value} * value;
    return std::sqrt(squares);
  };
  EXPECT_GT(std::abs(length_of(embed("Good coffee.")) - 1), 0.05);
  EXPECT_NEAR(length_of(embed("Good coffee.", {.normalize_embeddings = true})), 1, 1e-6);
  EXPECT_EQ(embed("coffee.", {.prompt = "Good "}), embed("Good coffee."));
}

// ---- Wrong input ----------------------------------------------------------------------------------------------------

TEST(WrongInputTest, AnUnknownTaskListsThoseThereAre) {
  const std::string message =
      message_of(ErrorKind::UnsupportedTask, [] { pipeline("text-clasification", "anywhere"); });
  EXPECT_TRUE(contains(message, "text-classification"));
  for (const std::string& task : pipeline_tasks()) EXPECT_TRUE(contains(message, task)) << message;
}

TEST(WrongInputTest, AModelWithoutTheHeadIsRefused) {
  for (const char* task : {"question-answering", "fill-mask", "token-classification"}) {
    const std::string message =
        message_of(ErrorKind::InvalidModel, [&] { pipeline(task, exported_fixture("bert_classifier")); });
    EXPECT_FALSE(message.empty());
  }
}

TEST(WrongInputTest, ADirectoryWithoutTokenizerOrModelIsRefused) {
  const TemporaryDirectory empty;
  EXPECT_THROW(pipeline("fill-mask", empty.path()), Error);
  EXPECT_THROW(pipeline("fill-mask", empty.path() / "missing"), Error);
}

TEST(WrongInputTest, ATokenizerWithoutMaskTokenCannotFillMasks) {
  const TemporaryDirectory scratch;
  const fs::path model = scratch.path() / "model";
  fs::copy(exported_fixture("bert_masked"), model, fs::copy_options::recursive);
  Json config = parse_json(read_text_file(model / "tokenizer_config.json"), "tokenizer_config.json");
  config.erase("mask_token");
  config.set("tokenizer_class", "PreTrainedTokenizerFast");
  std::ofstream(model / "tokenizer_config.json") << dump_json(config);
  fs::remove(model / "special_tokens_map.json");
  const std::string message = message_of(ErrorKind::InvalidTokenizer, [&] { pipeline("fill-mask", model); });
  EXPECT_TRUE(contains(message, "mask_token"));
}

TEST(WrongInputTest, ATextLongerThanTheModelIsRefusedUnlessTruncated) {
  const TextClassificationPipeline classify(exported_fixture("bert_classifier"));
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the ";
  const std::string message = message_of(ErrorKind::InvalidArgument, [&] { classify(text); });
  EXPECT_TRUE(contains(message, "302")) << message;
  EXPECT_TRUE(contains(message, "96")) << message;
  EXPECT_EQ(classify(text, {.truncation = TruncationStrategy::LongestFirst, .max_length = 96}).size(), 1U);

  // It does not take the others of its batch along.
  std::vector<std::string> texts(20, "short");
  texts[13] = text;
  EXPECT_THROW(classify(texts), Error);
  std::size_t next = 0, emitted = 0;
  const auto options = std::make_shared<const TextClassificationOptions>();
  EXPECT_THROW(classify.stream(
                   [&]() -> std::optional<TextClassificationPipeline::Item> {
                     if (next == texts.size()) return std::nullopt;
                     return TextClassificationPipeline::Item{{.text = texts[next++]}, options};
                   },
                   [&](const auto&) { ++emitted; }),
               Error);
  EXPECT_EQ(emitted, 13U);
}

TEST(WrongInputTest, ALabelThatTheConfigLacksIsNamed) {
  const TemporaryDirectory scratch;
  const fs::path model = scratch.path() / "model";
  fs::copy(exported_fixture("bert_classifier"), model, fs::copy_options::recursive);
  Json config = parse_json(read_text_file(model / "config.json"), "config.json");
  for (const Json& labels : {Json(Json::Object{{"0", "only"}}), Json(Json::Object{{"zero", "a"}}), Json("none"),
                             Json(Json::Object{{"0", 1}})}) {
    config.set("id2label", labels);
    std::ofstream(model / "config.json") << dump_json(config);
    const std::string message = message_of(ErrorKind::InvalidCheckpoint, [&] {
      pipeline("text-classification", model)("text", Json::Object{{"top_k", nullptr}});
    });
    EXPECT_TRUE(contains(message, "id2label")) << message;
  }
}

TEST(WrongInputTest, OptionsAreChecked) {
  const Pipeline classify = pipeline("text-classification", exported_fixture("bert_classifier"));
  const auto refused = [&](const Json& inputs, const Json& options) {
    return message_of(ErrorKind::InvalidArgument, [&] { classify(inputs, options); });
  };
  EXPECT_TRUE(contains(refused("text", Json::Object{{"topk", 2}}), "top_k"));
  EXPECT_TRUE(contains(refused("text", Json::Object{{"top_k", -1}}), "top_k"));
  EXPECT_TRUE(contains(refused("text", Json::Object{{"truncation", "middle"}}), "longest_first"));
  EXPECT_TRUE(contains(refused("text", Json::Object{{"max_length", 0}}), "max_length"));
  EXPECT_TRUE(contains(refused("text", Json("top_k")), "options"));
  EXPECT_TRUE(contains(refused(3, {}), "text"));
  EXPECT_TRUE(contains(refused(Json::Array{"text", 3}, {}), "3"));
  EXPECT_TRUE(contains(refused(Json::Object{{"text", "a"}, {"pair", "b"}}, {}), "text_pair"));
  EXPECT_THROW(TextClassificationPipeline(exported_fixture("bert_classifier"), {.num_workers = -1}), Error);
  EXPECT_THROW(classify.as<FillMaskPipeline>(), Error);
  EXPECT_THROW(classify({.question = "a", .context = "b"}), Error);
}

TEST(WrongInputTest, HypothesesNeedAPlaceForTheLabel) {
  const ZeroShotClassificationPipeline classify(exported_fixture("bert_nli"));
  const auto refused = [&](const std::string& text) {
    return message_of(ErrorKind::InvalidArgument,
                      [&] { classify("text", {.candidate_labels = {"a"}, .hypothesis_template = text}); });
  };
  EXPECT_TRUE(contains(refused("no place"), "{}"));
  EXPECT_TRUE(contains(refused("{} and {}"), "{0}"));
  EXPECT_TRUE(contains(refused("{} and {0}"), "{0}"));
  EXPECT_TRUE(contains(refused("{label}"), "brace"));
  EXPECT_TRUE(contains(refused("{"), "brace"));
  EXPECT_NO_THROW(classify("text", {.candidate_labels = {"a"}, .hypothesis_template = "{{{}}} {{"}));
}

}  // namespace
}  // namespace onnxport::testing
