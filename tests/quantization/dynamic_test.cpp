// Dynamic quantization against what Optimum's ORTQuantizer made of the same models (make_fixtures.py): the same nodes
// with the same names, and initializers equal to the bit.
#include <algorithm>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "onnxport/json.h"
#include "onnxport/quantizer.h"
#include "quantization/graph_description.h"
#include "runtime/session.h"
#include "support/paths.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::read_file;
using onnx::write_file;

fs::path fixtures() { return testing::source_directory() / "tests/quantization/fixtures"; }

class DynamicFixture : public onnx::TemporaryDirectoryTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(DynamicFixture, IsWhatOnnxruntimeMakes) {
  const std::string& name = GetParam();
  const Json fixture = parse_json(read_file(fixtures() / (name + ".json")), name);
  write_file(directory_ / "config.json",
             "{\"quantization\": " + dump_json(*fixture.find("config")->find("quantization")) + "}");
  QuantizeOptions options{.model = fixtures() / (name.substr(0, name.find('.')) + ".onnx"),
                          .output = directory_ / "out",
                          .config = quantization_config_from_file(directory_ / "config.json")};
  const QuantizationResult result = quantize_models(options);
  EXPECT_EQ(parse_json(read_file(directory_ / "out" / "ort_config.json"), "ours"), *fixture.find("config"));

  expect_graphs(result.models.at(0).path, *fixture.find("graphs"));
  // The contrib model's attention has no mask, which the quantized operator does not take; the others run.
  if (!name.starts_with("contrib")) {
    EXPECT_NO_THROW(Session(result.models.at(0).path));
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, DynamicFixture, ::testing::ValuesIn(case_names(fixtures())), test_name);

}  // namespace
}  // namespace onnxport
