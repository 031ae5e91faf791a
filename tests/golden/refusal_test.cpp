// Options of a config that change the graph and that no definition implements are refused by name, never ignored.
#include <algorithm>

#include <gtest/gtest.h>

#include "architectures/build.h"
#include "onnxport/error.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

struct Refusal {
  std::string fixture;
  std::string task;
  std::string member;
  Json value;
};

inline void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.fixture << "/" << refusal.member; }

class RefusalTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, NamesTheOption) {
  const auto& [fixture, task, member, value] = GetParam();
  const std::vector<FixtureFile> files = fixture_files();
  const auto file = std::find_if(files.begin(), files.end(),
                                 [&](const FixtureFile& f) { return f.fixture == fixture && f.task == task; });
  ASSERT_NE(file, files.end());
  Checkpoint checkpoint = materialize_checkpoint(*file);
  checkpoint.config.set(member, value);
  try {
    build_task(checkpoint, architecture_of(Config(checkpoint.config)), task);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::UnsupportedArchitecture);
    EXPECT_NE(std::string(error.what()).find(member), std::string::npos) << error.what();
  }
}

const Refusal refusals[]{
    {"bert", "fill-mask", "is_decoder", true},
    {"bert", "fill-mask", "pruned_heads", Json::Object{{"0", Json::Array{1}}}},
    {"bert", "fill-mask", "position_embedding_type", "rotary"},
    {"albert", "fill-mask", "position_embedding_type", "relative_key"},
    {"electra", "multiple-choice", "summary_type", "attn"},
    {"esm", "fill-mask", "position_embedding_type", "relative_key"},
    {"ibert", "fill-mask", "quant_mode", true},
    {"ibert", "fill-mask", "hidden_act", "relu"},
    {"ibert", "fill-mask", "position_embedding_type", "relative_key"},
    {"mpnet", "fill-mask", "relative_attention_num_buckets", 16},
};

INSTANTIATE_TEST_SUITE_P(Options, RefusalTest, ::testing::ValuesIn(refusals), [](const auto& info) {
  std::string name = info.param.fixture + "_" + info.param.member;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace onnxport::testing
