// Every call of every pipeline that make_cases.py has recorded: labels, spans and texts are equal, scores within 1e-4.
#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "onnxport/pipeline.h"
#include "pipeline_fixture.h"

namespace onnxport::testing {
namespace {

constexpr double kTolerance = 1e-4;

std::string summary(const Json& row) {
  std::string inputs = dump_json(*row.find("inputs"));
  if (inputs.size() > 200) inputs = inputs.substr(0, 200) + "...";
  return row.find("task")->string() + "(" + inputs + ", " + dump_json(*row.find("kwargs")) + ")";
}

void check_row(const Pipeline& pipeline, const Json& row) {
  if (const Json* error = row.find("error")) {
    // The text of the message is the library's own affair, and so is what is thrown.
    EXPECT_THROW(pipeline(*row.find("inputs"), *row.find("kwargs")), Error) << summary(row) << ": " << error->string();
    return;
  }
  try {
    const Json actual = pipeline(*row.find("inputs"), *row.find("kwargs"));
    EXPECT_EQ(difference(actual, *row.find("expected"), kTolerance), "") << summary(row);
  } catch (const Error& error) {
    ADD_FAILURE() << summary(row) << " throws " << error.what();
  }
}

class PipelineGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(PipelineGoldenTest, EqualsTransformers) {
  std::map<std::string, Pipeline> pipelines;
  for (const Json& row : pipeline_cases(GetParam())) {
    const std::string& task = row.find("task")->string();
    if (!pipelines.contains(task)) pipelines.emplace(task, pipeline(task, exported_fixture(GetParam())));
    check_row(pipelines.at(task), row);
  }
}

/// Results must not depend on what runs beside: batches of one, and of all.
TEST_P(PipelineGoldenTest, DoesNotDependOnBatches) {
  for (const std::size_t batch_size : {std::size_t{1}, std::size_t{1000}}) {
    std::map<std::string, Pipeline> pipelines;
    for (const Json& row : pipeline_cases(GetParam())) {
      const std::string& task = row.find("task")->string();
      if (!row.find("inputs")->is_array()) continue;
      if (!pipelines.contains(task))
        pipelines.emplace(task,
                          pipeline(task, exported_fixture(GetParam()), {.num_workers = 3, .batch_size = batch_size}));
      check_row(pipelines.at(task), row);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, PipelineGoldenTest, ::testing::ValuesIn(pipeline_fixture_names()),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(MiniLmTest, EqualsSentenceTransformers) {
  for (const Json& row : pipeline_cases("minilm")) {
    const std::string& task = row.find("task")->string();
    check_row(pipeline(task, exported_minilm()), row);
  }
}

}  // namespace
}  // namespace onnxport::testing
