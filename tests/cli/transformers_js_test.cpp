// onnxport export onnx --layout transformers.js: what the JavaScript library looks for.
#include <algorithm>
#include <cmath>
#include <map>

#include "checkpoint/checkpoint.h"
#include "cli_test.h"
#include "runtime/session.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<std::string>;

/// The endings of a model's files.
const std::vector<std::string> kSuffixes = {"", "_bnb4", "_fp16", "_int8", "_q4", "_q4f16", "_quantized", "_uint8"};

class CliTransformersJs : public CliTest {
 protected:
  ProcessResult export_layout(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"--layout", "transformers.js"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return export_checkpoint(arguments);
  }

  /// Largest difference of a file's first output from the fixture's, relative to the largest value.
  double error_of(const std::string& file, const fs::path& reference) const {
    const Session session(path(file), {.intra_op_num_threads = 1});
    const auto tensors = read_safetensors(reference);
    NamedArrays inputs;
    for (const Session::Value& input : session.inputs())
      inputs.emplace_back(input.name, materialize(tensors.at("0.input." + input.name)));
    const std::string name = session.outputs().front().name;
    const Array actual = session.run(inputs).front();
    const Array expected = materialize(tensors.at("0.output." + name));
    EXPECT_EQ(actual.data_type(), DataType::Float32) << file;
    EXPECT_EQ(actual.shape(), expected.shape()) << file;
    double largest = 0;
    double difference = 0;
    for (std::int64_t i = 0; i < expected.element_count(); ++i) {
      const double e = static_cast<double>(expected.data<float>()[i]);
      largest = std::max(largest, std::fabs(e));
      difference = std::max(difference, std::fabs(e - static_cast<double>(actual.data<float>()[i])));
    }
    return difference / largest;
  }
};

TEST_F(CliTransformersJs, OneModelInItsDtypes) {
  make_checkpoint("distilbert", "question-answering");
  const ProcessResult result = export_layout();
  ASSERT_TRUE(succeeded(result));
  Files expected{"config.json", "onnx"};
  for (const std::string& suffix : kSuffixes) expected.push_back("onnx/model" + suffix + ".onnx");
  EXPECT_EQ(files("out"), expected);
  EXPECT_TRUE(contains(result.output, "Validating ONNX model out/onnx/model.onnx...")) << result.output;
  EXPECT_TRUE(contains(result.output, "saved at: out\n")) << result.output;
  const fs::path reference = reference_file("distilbert", "question-answering");
  EXPECT_LT(error_of("out/onnx/model.onnx", reference), 1e-4);
  EXPECT_LT(error_of("out/onnx/model_fp16.onnx", reference), 2e-2);
  const std::map<std::string, double> limits{{"int8", 0.5}, {"uint8", 0.5}, {"quantized", 0.5},
                                             {"q4", 1},     {"q4f16", 1},   {"bnb4", 1}};
  for (const auto& [suffix, limit] : limits) {
    const double error = error_of("out/onnx/model_" + suffix + ".onnx", reference);
    EXPECT_GT(error, 1e-4) << suffix << " is quantized";
    EXPECT_LT(error, limit) << suffix;
  }
  EXPECT_EQ(read_file(path("out/onnx/model_quantized.onnx")), read_file(path("out/onnx/model_int8.onnx")))
      << "no convolutions";
  EXPECT_EQ(parse_json(read_file(path("out/config.json")), "config").find("transformers.js_config"), nullptr);
}

TEST_F(CliTransformersJs, AnEncoderDecoderIsItsEncoderAndItsMergedDecoder) {
  make_checkpoint("t5", "text2text-generation-with-past.decoder_model");
  const ProcessResult result = export_layout({"--external-data", "always", "--quiet"});
  ASSERT_TRUE(succeeded(result));
  Files expected{"config.json", "generation_config.json", "onnx"};
  for (const char* model : {"decoder_model_merged", "encoder_model"})
    for (const std::string& suffix : kSuffixes)
      for (const char* ending : {".onnx", ".onnx_data"})
        expected.push_back("onnx/" + std::string(model) + suffix + ending);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(files("out"), expected);
  const Json config = parse_json(read_file(path("out/config.json")), "config");
  const Json& external = at(config, "transformers.js_config", "use_external_data_format");
  EXPECT_EQ(external.object().size(), 2 * kSuffixes.size());
  EXPECT_TRUE(at(external, "decoder_model_merged_fp16.onnx").boolean());
  for (const std::string& suffix : kSuffixes) {
    const Session session(path("out/onnx/decoder_model_merged" + suffix + ".onnx"));
    EXPECT_EQ(session.inputs().back().name, "use_cache_branch") << suffix;
  }
}

TEST_F(CliTransformersJs, ConvolutionsHaveUnsignedWeights) {
  make_checkpoint("vit", "image-classification");
  ASSERT_TRUE(succeeded(export_layout({"--quiet"})));
  EXPECT_EQ(read_file(path("out/onnx/model_quantized.onnx")), read_file(path("out/onnx/model_uint8.onnx")));
  EXPECT_LT(error_of("out/onnx/model_quantized.onnx", reference_file("vit", "image-classification")), 0.3);
}

TEST_F(CliTransformersJs, RefusesWhatTheLibraryDoesNotLoad) {
  make_checkpoint("t5", "text2text-generation-with-past.decoder_model");
  EXPECT_TRUE(failed(export_layout({"--task", "text2text-generation"}), 1, {"encoder_model and decoder_model_merged"}));
  EXPECT_TRUE(failed(export_layout({"--no-post-process"}), 1, {"encoder_model and decoder_model_merged"}));
  EXPECT_TRUE(failed(export_layout({"--dtype", "fp16"}), 1, {"leave --dtype fp16 out"}));
  EXPECT_TRUE(failed(export_layout({"--optimize", "O2"}), 1, {"--optimize exclude each other"}));
  EXPECT_TRUE(failed(export_layout({"--weights", "reference"}), 1, {"--weights reference exclude each other"}));
  EXPECT_FALSE(fs::exists(path("out")));
}

}  // namespace
}  // namespace onnxport::testing
