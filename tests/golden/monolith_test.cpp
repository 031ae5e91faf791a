// Encoder-decoders in one file, against values of transformers (tools/monolith.py): with and without the mask of the
// decoder's tokens, which transformers.onnx wrote and Optimum does not.
#include <algorithm>
#include <filesystem>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "graph/evaluate.h"
#include "onnx/lowering.h"
#include "run_fixture.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

struct MonolithFile {
  fs::path path;
  FixtureFile fixture;  ///< whose checkpoint it has
};

void PrintTo(const MonolithFile& file, std::ostream* out) { *out << file.path.filename().string(); }

/// The files of tests/golden/monolith.
std::vector<MonolithFile> monolith_files() {
  std::vector<MonolithFile> files;
  for (const auto& entry : fs::directory_iterator(fixtures_directory().parent_path() / "monolith")) {
    std::map<std::string, std::string> metadata;
    read_safetensors(entry.path(), &metadata);
    for (FixtureFile fixture : fixture_files()) {
      if (fixture.path != fixtures_directory() / metadata.at("fixture")) continue;
      fixture.submodel = "model";
      files.push_back({entry.path(), std::move(fixture)});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::span<const std::int64_t> decoder_mask(const FixtureCase& example) {
  return find(example.inputs, "decoder_attention_mask")->values<std::int64_t>();
}

bool is_padded(const FixtureCase& example) {
  const std::span<const std::int64_t> mask = decoder_mask(example);
  return std::find(mask.begin(), mask.end(), 0) != mask.end();
}

/// The rows of tokens that are no padding: what ONNX Runtime's Attention gives for a token without any key differs from
/// what its Softmax gives, and means nothing.
Array real_rows(const Array& array, std::span<const std::int64_t> mask) {
  const auto size = static_cast<std::size_t>(array.shape().back());
  const std::span<const float> values = array.values<float>();
  std::vector<float> rows;
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) rows.insert(rows.end(), values.data() + i * size, values.data() + (i + 1) * size);
  const std::int64_t count = std::ssize(rows) / array.shape().back();
  return Array::of<float>(DataType::Float32, {count, array.shape().back()}, rows);
}

class Monolith : public ::testing::TestWithParam<MonolithFile> {};

TEST_P(Monolith, ReproducesTransformers) {
  const FixtureFile& fixture = GetParam().fixture;
  FixtureFile values = fixture;
  values.path = GetParam().path;
  const std::vector<FixtureCase> cases = read_cases(values);
  ASSERT_TRUE(!is_padded(cases.front()) && is_padded(cases.back()));
  for (const bool has_mask : {true, false}) {
    OutputRequest request{.monolith = true};
    if (has_mask) request.added_inputs.insert("decoder_attention_mask");
    const BuiltModel built = build_fixture(fixture, request);
    for (const int opset : {onnx::minimum_opset, 18, onnx::maximum_opset}) {
      const Session session = load_fixture(fixture, onnx::lower_graph(*built.graph, {.opset = opset}));
      for (const FixtureCase& example : cases) {
        if (!has_mask && is_padded(example)) continue;
        NamedArrays inputs = example.inputs;
        if (!has_mask) std::erase_if(inputs, [](const auto& input) { return input.first == "decoder_attention_mask"; });
        const auto& [name, expected] = example.outputs.front();
        expect_close(*find(evaluate_graph(*built.graph, inputs), name), expected, 1e-5, "evaluation");
        const std::span<const std::int64_t> mask = decoder_mask(example);
        expect_close(real_rows(session.run(inputs).front(), mask), real_rows(expected, mask), 1e-5,
                     "opset " + std::to_string(opset));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Monolith, ::testing::ValuesIn(monolith_files()), [](const auto& file) {
  std::string name = file.param.path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace onnxport::testing
