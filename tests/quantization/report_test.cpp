// The report of a quantization, and the layers that a tolerance excludes.
#include "quantization/report.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "onnxport/error.h"

namespace onnxport::quantization {
namespace {

namespace fs = std::filesystem;

LayerError layer(int index, const std::string& module, double sqnr) {
  const std::string path = "encoder.layer." + std::to_string(index) + "." + module;
  return {.file = "model.onnx",
          .nodes = {"/" + path + "/Gemm"},
          .weight = path + ".weight",
          .shape = {64, 32},
          .bits = 4,
          .sqnr = sqnr,
          .max_error = 0.01,
          .cosine = 0.99};
}

QuantizationReport example() {
  QuantizationReport report;
  report.model = "tiny <bert>";
  report.settings = "int4 & more";
  report.layers = {layer(0, "query", 20), layer(0, "key", 21), layer(1, "query", 8), layer(1, "key", INFINITY)};
  report.models = {{.file = "model.onnx",
                    .result = "model_quantized.onnx",
                    .bytes_before = 4000000,
                    .bytes_after = 1000000,
                    .seconds_before = 0.004,
                    .seconds_after = 0.002,
                    .samples = 8,
                    .outputs = {{"logits", 0.05, 0.1, 0.999}}}};
  report.accuracy = TaskAccuracy{10, 0.9, 0.02, 10, 0.8, 0.7};
  report.tolerance = 0.1;
  report.excluded = {"/encoder/layer.1/query/Gemm"};
  return report;
}

TEST(QuantizationReport, LayerAndModuleAreSplitAfterTheFirstNumber) {
  const auto split = [](const char* name) {
    const LayerName parts = split_layer_name(name);
    return parts.layer + "|" + parts.module;
  };
  EXPECT_EQ(split("bert.encoder.layer.11.attention.self.query.weight"), "bert.encoder.layer.11|attention.self.query");
  EXPECT_EQ(split("decoder.block.0.layer.1.EncDecAttention.k.weight"), "decoder.block.0|layer.1.EncDecAttention.k");
  EXPECT_EQ(split("/encoder/layer/3/fc1/MatMul"), "/encoder/layer/3|fc1/MatMul");
  EXPECT_EQ(split("lm_head.weight"), "|lm_head");
  EXPECT_EQ(split("onnx::MatMul_1234"), "|onnx::MatMul_1234");
  EXPECT_EQ(split("layers.7"), "|layers.7");
  EXPECT_EQ(split(""), "|");
}

TEST(QuantizationReport, TheWorstLayersAreThoseABitBelowTheMedian) {
  EXPECT_EQ(layers_to_exclude(example().layers), std::vector<std::string>{"/encoder.layer.1.query/Gemm"});
  EXPECT_TRUE(layers_to_exclude({}).empty());
  const auto nan = layers_to_exclude({layer(0, "a", 20), layer(0, "b", NAN), layer(0, "c", 20)});
  EXPECT_EQ(nan, std::vector<std::string>{"/encoder.layer.0.b/Gemm"});
}

TEST(QuantizationReport, JsonHasEverything) {
  const Json json = parse_json(dump_json(to_json(example())), "report");
  EXPECT_EQ(json.find("model")->string(), "tiny <bert>");
  EXPECT_EQ(json.find("layers")->array().size(), 4U);
  EXPECT_EQ(json.find("layers")->array()[2].find("sqnr_db")->number(), 8);
  EXPECT_TRUE(json.find("layers")->array()[3].find("sqnr_db")->is_null()) << "exact: JSON knows no infinity";
  EXPECT_EQ(json.find("models")->array()[0].find("outputs")->array()[0].find("relative_error")->number(), 0.05);
  EXPECT_EQ(json.find("accuracy")->find("accuracy_after")->number(), 0.7);
  EXPECT_EQ(json.find("excluded")->array().size(), 1U);
}

TEST(QuantizationReport, ThePageNeedsNothingElseAndEscapesNames) {
  const std::string page = to_html(example());
  EXPECT_NE(page.find("tiny &lt;bert&gt;"), std::string::npos);
  EXPECT_EQ(page.find("<bert>"), std::string::npos);
  EXPECT_NE(page.find("int4 &amp; more"), std::string::npos);
  for (const char* outside : {"http:", "https:", "src=", "<script", "<link", "@import", "url("})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  for (const char* shown : {"encoder.layer.1", "4.0 MB", "0.25 ×", "0.50 ×", "90.0 %", "70.0 %", "exact", "0.999000"})
    EXPECT_NE(page.find(shown), std::string::npos) << shown;
}

TEST(QuantizationReport, APageOfNothingIsAPage) {
  const std::string page = to_html({.model = "m", .settings = ""});
  EXPECT_NE(page.find("</html>"), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(QuantizationReport, TheSuffixSaysWhatIsWritten) {
  const fs::path directory = fs::temp_directory_path() / ("onnxport-report-" + std::to_string(getpid()));
  fs::create_directories(directory);
  write_report(example(), directory / "r.html");
  write_report(example(), directory / "r.json");
  std::ifstream html(directory / "r.html");
  std::ifstream json(directory / "r.json");
  EXPECT_EQ(html.get(), '<');
  EXPECT_EQ(json.get(), '{');
  EXPECT_THROW(write_report(example(), directory / "r.pdf"), Error);
  EXPECT_THROW(write_report(example(), directory / "missing" / "r.html"), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 2);
  fs::remove_all(directory);
}

// ---- Tolerance ------------------------------------------------------------------------------------------------------

/// Each layer that is quantized adds to the error what its SQNR says.
double error_without(const std::vector<LayerError>& layers, const std::vector<std::string>& excluded) {
  double error = 0;
  for (const LayerError& layer : layers)
    if (std::find(excluded.begin(), excluded.end(), layer.nodes.front()) == excluded.end())
      error += std::pow(10, -layer.sqnr / 20);
  return error;
}

TEST(ExcludeWorst, ExcludesAsFewLayersAsItTakes) {
  std::vector<LayerError> layers;
  for (int i = 0; i < 50; ++i) layers.push_back(layer(i, "fc", 10 + (i * 37) % 50));
  for (const double tolerance : {100.0, 3.0, 1.0, 0.3, 0.05, 0.00113}) {
    int attempts = 0;
    const Exclusion result = exclude_worst(layers, tolerance, [&](const auto& excluded) {
      ++attempts;
      return error_without(layers, excluded);
    });
    EXPECT_LE(result.error, tolerance);
    EXPECT_EQ(result.error, error_without(layers, result.excluded));
    EXPECT_LE(attempts, 14);
    if (result.excluded.empty()) continue;
    std::vector<std::string> fewer = result.excluded;
    fewer.pop_back();
    EXPECT_GT(error_without(layers, fewer), tolerance);
    EXPECT_EQ(result.excluded.front(), "/encoder.layer.0.fc/Gemm") << "the worst";
  }
}

TEST(ExcludeWorst, LayersOfOneNodeGoTogether) {
  std::vector<LayerError> layers = {layer(0, "fc", 10), layer(1, "fc", 20), layer(2, "fc", 30)};
  layers[0].nodes.push_back("/gather");
  layers.push_back(layers[0]);
  layers.back().file = "model_with_past.onnx";
  layers.back().sqnr = 11;
  std::vector<std::size_t> counts;
  const Exclusion result = exclude_worst(layers, 0.1, [&](const std::vector<std::string>& excluded) {
    counts.push_back(excluded.size());
    return excluded.size() < 3 ? 1.0 : 0.05;
  });
  EXPECT_EQ(result.excluded,
            (std::vector<std::string>{"/encoder.layer.0.fc/Gemm", "/gather", "/encoder.layer.1.fc/Gemm"}));
  EXPECT_EQ(counts, (std::vector<std::size_t>{0, 2, 2, 3}));
}

TEST(ExcludeWorst, TheBestLayerStays) {
  const std::vector<LayerError> layers = {layer(0, "fc", 10), layer(1, "fc", 20), layer(2, "fc", 30)};
  const auto refused = [](const std::vector<LayerError>& given, double error) {
    std::size_t most = 0;
    try {
      exclude_worst(given, 0.1, [&](const std::vector<std::string>& excluded) {
        most = std::max(most, excluded.size());
        return error;
      });
    } catch (const Error& caught) {
      EXPECT_EQ(caught.kind(), ErrorKind::ValidationFailed);
      EXPECT_EQ(most, given.empty() ? 0U : given.size() - 1);
      return std::string(caught.what());
    }
    ADD_FAILURE();
    return std::string();
  };
  EXPECT_EQ(refused(layers, 0.5),
            "the output error is 0.5, above the tolerance of 0.1, even with 2 of 3 layers left as they were. Allow "
            "more, or choose settings that lose less");
  EXPECT_NE(refused({layer(0, "fc", 10)}, 0.5).find("0 of 1 layers"), std::string::npos);
  EXPECT_NE(refused({}, NAN).find("the output error is not finite"), std::string::npos);
}

}  // namespace
}  // namespace onnxport::quantization
