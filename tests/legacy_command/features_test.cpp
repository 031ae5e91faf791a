// Features, names, opsets and tolerances of `python -m transformers.onnx`, against what transformers declares; see
// make_fixtures.py.
#include <algorithm>
#include <map>
#include <stdexcept>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "export/legacy_features.h"
#include "onnxport/json.h"
#include "support/fixture.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

Json fixture_json(const char* name) {
  return parse_json(read_text_file(source_directory() / "tests/legacy_command" / name), "fixture");
}

/// The member at the end of a path through objects.
template <typename... Keys>
const Json& at(const Json& json, std::string_view key, Keys... keys) {
  const Json* found = json.find(key);
  if (!found) throw std::runtime_error("no member " + std::string(key));
  if constexpr (sizeof...(keys) == 0) {
    return *found;
  } else {
    return at(*found, keys...);
  }
}

TEST(LegacyFeatures, AreThoseOfTransformers) {
  const Json file = fixture_json("features.json");
  const Json& types = at(file, "types");
  ASSERT_EQ(types.object().size(), legacy_types().size());
  for (const auto& [model_type, entry] : types.object()) {
    const LegacyType& type = legacy_type(model_type);
    EXPECT_EQ(type.model_type, at(entry, "name").string());
    std::vector<std::string> features;
    for (const auto& [feature, described] : at(entry, "features").object()) {
      features.push_back(feature);
      if (described.object().empty()) continue;
      EXPECT_EQ(type.opset, at(described, "opset").integer()) << model_type;
      EXPECT_EQ(type.atol, at(described, "atol").number()) << model_type;
      EXPECT_EQ(type.has_use_cache, !at(described, "values_override").object().empty()) << model_type;
    }
    EXPECT_EQ(features_of(type), features) << model_type;
  }
}

/// The values that a config declares.
std::vector<OnnxValue> declared(const Json& values) {
  std::vector<OnnxValue> result;
  for (const auto& [name, axes] : values.object()) {
    OnnxValue value{name, {}};
    for (const auto& [axis, symbol] : axes.object()) value.axes.emplace(std::stoi(axis), symbol.string());
    result.push_back(std::move(value));
  }
  return result;
}

struct LegacyCase {
  FixtureFile file;
  std::string feature;
};

void PrintTo(const LegacyCase& one, std::ostream* out) { *out << one.file.fixture << " " << one.feature; }

/// Every feature of every model type that has a fixture for it.
std::vector<LegacyCase> legacy_cases() {
  static const std::map<std::string, std::string> names{{"feature-extraction", "default"},
                                                        {"fill-mask", "masked-lm"},
                                                        {"text-generation", "causal-lm"},
                                                        {"text2text-generation", "seq2seq-lm"},
                                                        {"text-classification", "sequence-classification"}};
  const Json file = fixture_json("features.json");
  std::vector<LegacyCase> cases;
  for (const FixtureFile& fixture : fixture_files()) {
    const Json* type = at(file, "types").find(fixture.fixture);
    if (type == nullptr || (fixture.submodel != "model" && fixture.submodel != "encoder_model")) continue;
    const std::string base = fixture.task.substr(0, fixture.task.find("-with-past"));
    if (fixture.submodel != "model" && base != fixture.task) continue;
    const auto name = names.find(base);
    const std::string feature = (name == names.end() ? base : name->second) + fixture.task.substr(base.size());
    const Json* described = at(*type, "features").find(feature);
    // default-with-past is refused, and encoder-decoders with a past are: see the command's test. RoFormer's config
    // names the axes of choices by a slip, the second one "sequence".
    if (fixture.fixture == "roformer" && feature == "multiple-choice") continue;
    if (described != nullptr && !described->object().empty() && feature != "default-with-past")
      cases.push_back({fixture, feature});
  }
  return cases;
}

class LegacyConfig : public ::testing::TestWithParam<LegacyCase> {};

TEST_P(LegacyConfig, HasTheNamesOfTransformers) {
  const LegacyCase& one = GetParam();
  const LegacyOnnxConfig config(materialize_checkpoint(one.file).config, one.feature);
  const Json features = fixture_json("features.json");
  const Json& described = at(features, "types", one.file.fixture, "features", one.feature);
  const auto compare = [](const std::vector<OnnxValue>& actual, const std::vector<OnnxValue>& expected) {
    std::vector<std::string> sorted = names_of(actual);
    std::vector<std::string> wanted = names_of(expected);
    std::sort(sorted.begin(), sorted.end());
    std::sort(wanted.begin(), wanted.end());
    EXPECT_EQ(sorted, wanted);
    for (const OnnxValue& value : actual)
      for (const OnnxValue& other : expected)
        if (value.name == other.name)
          for (const auto& [axis, name] : value.axes) {  // those that are free; it declares fixed ones, too
            // It fixes the number of choices of what comes out, by tracing.
            const auto found = other.axes.find(axis);
            EXPECT_EQ(name, found == other.axes.end() ? "choice" : found->second) << value.name;
          }
  };
  compare(config.inputs("model"), declared(at(described, "inputs")));
  compare(config.outputs("model"), declared(at(described, "outputs")));
  EXPECT_EQ(names_of(config.outputs("model")), names_of(declared(at(described, "outputs")))) << "their order";
  EXPECT_EQ(config.values_override(), at(described, "values_override"));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, LegacyConfig, ::testing::ValuesIn(legacy_cases()), [](const auto& fixture) {
  std::string name = fixture.param.file.fixture + "__" + fixture.param.feature;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace onnxport::testing
