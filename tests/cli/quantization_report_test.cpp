// --report and --tolerance of the commands that quantize: what they say of real models, against figures computed here.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cli_test.h"
#include "core/tensor_source.h"
#include "onnx/reader.h"
#include "runtime/session.h"
#include "support/weight_models.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

struct Errors {
  double signal = 0;
  double noise = 0;
  double product = 0;
  double result = 0;
  double largest = 0;

  void add(double x, double y) {
    signal += x * x;
    result += y * y;
    product += x * y;
    noise += (x - y) * (x - y);
    largest = std::max(largest, std::fabs(x - y));
  }
  double sqnr() const { return 10 * std::log10(signal / noise); }
  double relative() const { return std::sqrt(noise / signal); }
  double cosine() const { return product / std::sqrt(signal * result); }
};

class CliQuantizationReport : public CliTest {
 protected:
  static constexpr std::size_t kSamples = 4;

  void SetUp() override {
    make_checkpoint("bert", "text-classification");
    ASSERT_TRUE(succeeded(export_checkpoint({"--task", "text-classification", "--quiet", "--no-validate"})));
    std::string lines;
    for (std::size_t sample = 0; sample < kSamples; ++sample) {
      Json::Array ids;
      for (const std::int64_t id : tokens(sample)) ids.emplace_back(id);
      Json line;
      line.set("input_ids", std::move(ids));
      lines += dump_json(line) + "\n";
    }
    write_file(path("data.jsonl"), lines);
  }

  static std::vector<std::int64_t> tokens(std::size_t sample) {
    std::vector<std::int64_t> ids;
    for (std::size_t i = 0; i < 5 + 2 * sample; ++i)
      ids.push_back(static_cast<std::int64_t>((i * 37 + sample * 11) % 99));
    return ids;
  }

  /// Logits of each sample of data.jsonl.
  std::vector<std::vector<float>> logits(const std::string& model) const {
    const Session session(path(model));
    std::vector<std::vector<float>> result;
    for (std::size_t sample = 0; sample < kSamples; ++sample) {
      const std::vector<std::int64_t> ids = tokens(sample);
      const std::vector<std::int64_t> shape = {1, static_cast<std::int64_t>(ids.size())};
      const std::vector<std::int64_t> ones(ids.size(), 1);
      const std::vector<std::int64_t> zeros(ids.size(), 0);
      const auto array = [&](const std::vector<std::int64_t>& values) {
        return Array::of<std::int64_t>(DataType::Int64, shape, values);
      };
      const NamedArrays inputs = {
          {"input_ids", array(ids)}, {"attention_mask", array(ones)}, {"token_type_ids", array(zeros)}};
      const Array output = session.run(inputs).front();
      result.emplace_back(output.data<float>(), output.data<float>() + output.element_count());
    }
    return result;
  }

  Errors output_errors(const std::string& quantized) const {
    const auto before = logits("out/model.onnx");
    const auto after = logits(quantized);
    Errors errors;
    for (std::size_t sample = 0; sample < kSamples; ++sample)
      for (std::size_t i = 0; i < before[sample].size(); ++i)
        errors.add(static_cast<double>(before[sample][i]), static_cast<double>(after[sample][i]));
    return errors;
  }

  ProcessResult quantize(const std::string& output, const std::vector<std::string>& more) const {
    std::vector<std::string> command{"quantize", "out", "--weights", "int4",          "--block-size",
                                     "16",       "-o",  output,      "--report-data", "data.jsonl"};
    command.insert(command.end(), more.begin(), more.end());
    return run(command);
  }

  Json report(const std::string& name) const { return parse_json(read_file(path(name)), name); }
};

const onnx::Node& node_of(const onnx::Model& model, const std::string& name) {
  const auto found = std::find_if(model.graph.nodes.begin(), model.graph.nodes.end(),
                                  [&](const onnx::Node& node) { return node.name == name; });
  if (found == model.graph.nodes.end()) throw std::runtime_error("no node " + name);
  return *found;
}

/// A linear layer's weight as [outputs, inputs].
Array rows_of(const onnx::Model& model, const std::string& node_name) {
  const onnx::Node& node = node_of(model, node_name);
  for (const onnx::Initializer& initializer : model.graph.initializers) {
    if (initializer.name != node.inputs[1]) continue;
    const bool is_transposed = onnx::integer_attribute(node, "transB", 0) != 0;
    return materialize(is_transposed ? initializer.source : transpose(initializer.source, {1, 0}));
  }
  throw std::runtime_error("no weight of " + node_name);
}

std::vector<std::string> nodes_of(const Json& layers) {
  std::vector<std::string> nodes;
  for (const Json& layer : layers.array())
    for (const Json& node : at(layer, "nodes").array()) nodes.push_back(node.string());
  return nodes;
}

void expect_outputs(const Json& measured, const Errors& expected) {
  ASSERT_EQ(at(measured, "outputs").array().size(), 1U);
  const Json& output = at(measured, "outputs").array()[0];
  EXPECT_EQ(at(output, "name").string(), "logits");
  EXPECT_NEAR(at(output, "relative_error").number(), expected.relative(), 1e-6);
  EXPECT_NEAR(at(output, "max_error").number(), expected.largest, 1e-6);
  EXPECT_NEAR(at(output, "cosine").number(), expected.cosine(), 1e-6);
}

// ---- Weights of a few bits ------------------------------------------------------------------------------------------

TEST_F(CliQuantizationReport, FiguresOfWeightsAreThoseOfTheModels) {
  const ProcessResult result = quantize("q", {"--report", "r.html", "--report", "q/r.json", "--json"});
  ASSERT_TRUE(succeeded(result));
  const Json json = report("q/r.json");
  EXPECT_EQ(at(json, "model").string(), "out");
  EXPECT_EQ(at(json, "settings").string(), "int4, blocks of 16, symmetric, rtn");

  const onnx::Model before = onnx::read_model(path("out/model.onnx"));
  const onnx::Model after = onnx::read_model(path("q/model.onnx"));
  const Dequantizer dequantizer(after);
  ASSERT_EQ(at(json, "layers").array().size(), 14U) << "6 of each layer, pooler and classifier";
  for (const Json& layer : at(json, "layers").array()) {
    const std::string node = at(layer, "nodes").array().at(0).string();
    const Array weight = rows_of(before, node);
    const std::vector<float> restored =
        dequantizer.rows(node_of(after, node + "_Q4"), weight.shape()[0], weight.shape()[1]);
    Errors errors;
    for (std::size_t i = 0; i < restored.size(); ++i)
      errors.add(static_cast<double>(weight.data<float>()[i]), static_cast<double>(restored[i]));
    EXPECT_NEAR(at(layer, "sqnr_db").number(), errors.sqnr(), 1e-3) << node;
    EXPECT_NEAR(at(layer, "max_error").number(), errors.largest, 1e-6) << node;
    EXPECT_NEAR(at(layer, "cosine").number(), errors.cosine(), 1e-6) << node;
    EXPECT_EQ(at(layer, "bits").number(), 4);
  }

  ASSERT_EQ(at(json, "models").array().size(), 1U);
  const Json& model = at(json, "models").array()[0];
  EXPECT_EQ(at(model, "file").string(), "model.onnx");
  EXPECT_EQ(at(model, "bytes_before").integer(), static_cast<std::int64_t>(fs::file_size(path("out/model.onnx"))));
  EXPECT_EQ(at(model, "bytes_after").integer(), static_cast<std::int64_t>(fs::file_size(path("q/model.onnx"))));
  EXPECT_GT(at(model, "seconds_before").number(), 0);
  EXPECT_GT(at(model, "seconds_after").number(), 0);
  EXPECT_EQ(at(model, "samples").integer(), static_cast<std::int64_t>(kSamples));
  expect_outputs(model, output_errors("q/model.onnx"));

  const std::string page = read_file(path("r.html"));
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  for (const std::string& node : {std::string("bert.encoder.layer.1"), std::string("attention.self.query")})
    EXPECT_TRUE(contains(page, node)) << node;
  const Json printed = parse_json(result.output, "stdout");
  EXPECT_EQ(dump_json(at(printed, "report", "models")), dump_json(at(json, "models")));
  EXPECT_EQ(dump_json(at(printed, "report", "files")), R"(["r.html", "q/r.json"])");
}

TEST_F(CliQuantizationReport, AToleranceLeavesAsFewLayersAsItTakes) {
  ASSERT_TRUE(succeeded(quantize("all", {"--report", "all.json"})));
  const Json all = report("all.json");
  const double tolerance = output_errors("all/model.onnx").relative() * 0.5;
  const ProcessResult result =
      quantize("q", {"--tolerance", dump_json(Json(tolerance)), "--report", "r.json", "--report", "r.html"});
  ASSERT_TRUE(succeeded(result));
  const Json json = report("r.json");
  EXPECT_EQ(at(json, "tolerance").number(), tolerance);
  std::vector<std::string> excluded;
  for (const Json& node : at(json, "excluded").array()) excluded.push_back(node.string());
  ASSERT_FALSE(excluded.empty());
  EXPECT_TRUE(contains(result.output, "Left out for the tolerance")) << result.output;
  EXPECT_TRUE(contains(result.output, "  " + excluded[0] + "\n")) << result.output;
  EXPECT_TRUE(contains(read_file(path("r.html")), "Left as they were"));

  // They are the worst, and what is written is a model without them.
  std::vector<const Json*> sorted;
  for (const Json& layer : at(all, "layers").array()) sorted.push_back(&layer);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Json* a, const Json* b) {
    return at(*a, "sqnr_db").number() < at(*b, "sqnr_db").number();
  });
  for (std::size_t i = 0; i < excluded.size(); ++i)
    EXPECT_EQ(excluded[i], at(*sorted[i], "nodes").array()[0].string()) << i;
  const std::vector<std::string> quantized = nodes_of(at(json, "layers"));
  EXPECT_EQ(quantized.size() + excluded.size(), sorted.size());
  for (const std::string& node : excluded) EXPECT_EQ(std::count(quantized.begin(), quantized.end(), node), 0) << node;

  const Errors errors = output_errors("q/model.onnx");
  EXPECT_LE(errors.relative(), tolerance);
  expect_outputs(at(json, "models").array()[0], errors);

  // One less would not do.
  excluded.pop_back();
  std::vector<std::string> fewer;
  for (const std::string& node : excluded) fewer.insert(fewer.end(), {"--nodes-to-exclude", node});
  fewer.insert(fewer.end(), {"--report", "fewer.json"});
  ASSERT_TRUE(succeeded(quantize("fewer", fewer)));
  EXPECT_GT(output_errors("fewer/model.onnx").relative(), tolerance);
}

TEST_F(CliQuantizationReport, ALooseToleranceLeavesNothing) {
  const ProcessResult result = quantize("q", {"--tolerance", "10", "--json"});
  ASSERT_TRUE(succeeded(result));
  const Json json = parse_json(result.output, "stdout");
  EXPECT_EQ(dump_json(at(json, "report", "excluded")), "[]");
  EXPECT_EQ(at(json, "weights").array().size(), 14U);
}

TEST_F(CliQuantizationReport, AToleranceOutOfReachPublishesNothing) {
  EXPECT_TRUE(failed(quantize("q", {"--tolerance", "1e-9", "--report", "r.html"}), 1,
                     {"above the tolerance of 1e-09", "13 of 14 layers left as they were"}));
  EXPECT_EQ(files("q"), std::vector<std::string>{});
  EXPECT_FALSE(fs::exists(path("r.html")));
}

TEST_F(CliQuantizationReport, NodesOfASharedWeightAreLeftTogether) {
  make_checkpoint("gpt2", "text-generation", "gpt2");
  ASSERT_TRUE(succeeded(
      run({"export", "onnx", "-m", "gpt2", "--task", "text-generation", "gpt2_onnx", "--no-validate", "--quiet"})));
  const ProcessResult result = run({"quantize", "gpt2_onnx", "--weights", "int4", "--op-types", "Gemm", "--op-types",
                                    "Gather", "--tolerance", "1e-9", "-o", "q"});
  EXPECT_TRUE(failed(result, 1, {"layers left as they were"}));
  ASSERT_TRUE(succeeded(run({"quantize", "gpt2_onnx", "--weights", "int4", "--op-types", "Gemm", "--op-types", "Gather",
                             "--report", "r.json", "-o", "q"})));
  std::size_t most = 0;
  const Json json = report("r.json");
  for (const Json& layer : at(json, "layers").array()) most = std::max(most, at(layer, "nodes").array().size());
  EXPECT_EQ(most, 2U) << "the embedding is the head";
}

// ---- 8-bit integers -------------------------------------------------------------------------------------------------

TEST_F(CliQuantizationReport, FiguresOfEightBitsAreThoseOfTheModels) {
  const ProcessResult result = run({"onnxruntime", "quantize", "--onnx_model", "out", "--avx2", "-o", "q", "--report",
                                    "r.json", "--report_data", "data.jsonl", "--json"});
  ASSERT_TRUE(succeeded(result));
  const Json json = report("r.json");
  EXPECT_EQ(at(json, "settings").string(), "dynamic, uint8 activations, uint8 weights (--avx2)");
  const onnx::Model before = onnx::read_model(path("out/model.onnx"));
  const Dequantizer tensors(onnx::read_model(path("q/model_quantized.onnx")));
  int linear = 0;
  for (const Json& layer : at(json, "layers").array()) {
    const std::string node = at(layer, "nodes").array().at(0).string();
    if (node_of(before, node).op_type != "Gemm") continue;
    ++linear;
    const std::string name = at(layer, "weight").string() + "_Transposed";
    const Array rows = rows_of(before, node);  // [outputs, inputs]; the integers are [inputs, outputs]
    const Array& integers = tensors.tensor(name + "_quantized");
    EXPECT_EQ(dump_json(at(layer, "shape")), dump_json(Json(Json::Array(rows.shape().begin(), rows.shape().end()))))
        << node;
    const double scale = static_cast<double>(tensors.tensor(name + "_scale").data<float>()[0]);
    const int zero_point = tensors.tensor(name + "_zero_point").data<std::uint8_t>()[0];
    Errors errors;
    for (std::int64_t row = 0; row < rows.shape()[0]; ++row) {
      for (std::int64_t column = 0; column < rows.shape()[1]; ++column) {
        const int integer = integers.data<std::uint8_t>()[column * rows.shape()[0] + row];
        errors.add(static_cast<double>(rows.data<float>()[row * rows.shape()[1] + column]),
                   scale * (integer - zero_point));
      }
    }
    EXPECT_NEAR(at(layer, "sqnr_db").number(), errors.sqnr(), 1e-3) << node;
    EXPECT_NEAR(at(layer, "max_error").number(), errors.largest, 1e-6) << node;
    EXPECT_NEAR(at(layer, "cosine").number(), errors.cosine(), 1e-6) << node;
  }
  EXPECT_EQ(linear, 14);
  expect_outputs(at(json, "models").array().at(0), output_errors("q/model_quantized.onnx"));
  const Json printed = parse_json(result.output, "stdout");
  EXPECT_EQ(dump_json(at(printed, "report", "models")), dump_json(at(json, "models")));
}

TEST_F(CliQuantizationReport, AToleranceHoldsForEightBits) {
  const auto quantize_integers = [&](const std::string& output, std::vector<std::string> more) {
    more.insert(more.begin(), {"onnxruntime", "quantize", "--onnx_model", "out", "--avx2", "-o", output});
    return run(more);
  };
  ASSERT_TRUE(succeeded(quantize_integers("all", {})));
  const double tolerance = output_errors("all/model_quantized.onnx").relative() * 0.7;
  ASSERT_TRUE(succeeded(quantize_integers(
      "q", {"--tolerance", dump_json(Json(tolerance)), "--report", "r.json", "--report_data", "data.jsonl"})));
  EXPECT_LE(output_errors("q/model_quantized.onnx").relative(), tolerance);
  const Json json = report("r.json");
  EXPECT_FALSE(at(json, "excluded").array().empty());
  EXPECT_TRUE(failed(quantize_integers("none", {"--tolerance", "1e-9"}), 1, {"above the tolerance of 1e-09"}));
  EXPECT_FALSE(fs::exists(path("none")));
  EXPECT_TRUE(failed(quantize_integers("none", {"--report_data", "data.jsonl"}), 2,
                     {"--report_data needs --report or --tolerance"}));
  // The calibration data is what the models are run on.
  ASSERT_TRUE(succeeded(quantize_integers("static", {"--calibration", "data.jsonl", "--report", "static.json"})));
  const Json calibrated = report("static.json");
  expect_outputs(at(calibrated, "models").array().at(0), output_errors("static/model_quantized.onnx"));
}

// ---- Task sets ------------------------------------------------------------------------------------------------------

std::size_t largest(const std::vector<float>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

TEST_F(CliQuantizationReport, TheAccuracyIsThatOfTheModels) {
  // Labels that the model itself predicts, but for the first sample.
  const auto before = logits("out/model.onnx");
  std::string lines;
  for (std::size_t sample = 0; sample < kSamples; ++sample) {
    Json::Array ids;
    for (const std::int64_t id : tokens(sample)) ids.emplace_back(id);
    Json line;
    line.set("input_ids", std::move(ids));
    const std::size_t label = (largest(before[sample]) + (sample == 0 ? 1 : 0)) % 3;
    line.set("label", "LABEL_" + std::to_string(label));
    lines += dump_json(line) + "\n";
  }
  write_file(path("set.jsonl"), lines);
  const ProcessResult result = run({"quantize", "out", "--weights", "int2", "--block-size", "256", "-o", "q",
                                    "--report", "r.json", "--task-set", "set.jsonl"});
  ASSERT_TRUE(succeeded(result));
  const auto after = logits("q/model.onnx");
  double same = 0;
  double right = 0;
  double difference = 0;
  for (std::size_t sample = 0; sample < kSamples; ++sample) {
    const bool is_same = largest(before[sample]) == largest(after[sample]);
    same += is_same ? 1 : 0;
    const std::size_t label = (largest(before[sample]) + (sample == 0 ? 1 : 0)) % 3;
    right += largest(after[sample]) == label ? 1 : 0;
    for (std::size_t i = 0; i < 3; ++i)
      difference += static_cast<double>(std::fabs(before[sample][i] - after[sample][i])) / 3;
  }
  const Json json = report("r.json");
  EXPECT_EQ(at(json, "accuracy", "samples").integer(), static_cast<std::int64_t>(kSamples));
  EXPECT_EQ(at(json, "accuracy", "labelled").integer(), static_cast<std::int64_t>(kSamples));
  EXPECT_EQ(at(json, "accuracy", "accuracy_before").number(), 0.75);
  EXPECT_EQ(at(json, "accuracy", "accuracy_after").number(), right / kSamples);
  EXPECT_EQ(at(json, "accuracy", "agreement").number(), same / kSamples);
  EXPECT_NEAR(at(json, "accuracy", "mean_difference").number(), difference / kSamples, 1e-6);
  EXPECT_TRUE(contains(result.output, "accuracy 75.0 % -> ")) << result.output;
}

// ---- Wrong input ----------------------------------------------------------------------------------------------------

TEST_F(CliQuantizationReport, WrongRequestsAreRefusedAndNothingIsWritten) {
  const std::vector<std::string> before = files();
  const auto refused = [&](const std::vector<std::string>& arguments, int status,
                           const std::vector<std::string>& parts) {
    std::vector<std::string> command{"quantize", "out", "--weights", "int4", "-o", "q"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    EXPECT_TRUE(failed(run(command), status, parts));
    EXPECT_EQ(files(), before) << parts.front();
  };
  refused({"--report", "r.pdf"}, 1, {"r.pdf", "must end in .html or .json"});
  refused({"--report", "nowhere/r.html"}, 1, {"nowhere/r.html cannot be written", "no directory nowhere"});
  for (const char* value : {"0", "-0.1", "nan", "inf", "much"})
    refused({"--tolerance", value}, 2, {"--tolerance", value});
  refused({"--report-data", "data.jsonl"}, 2, {"--report-data needs --report or --tolerance"});
  refused({"--report-samples", "3"}, 2, {"--report-samples needs --report or --tolerance"});
  refused({"--task-set", "data.jsonl"}, 2, {"--task-set needs --report or --tolerance"});
  refused({"--report", "r.html", "--report-samples", "0"}, 2, {"--report-samples"});
  refused({"--report", "r.html", "--report-data", "nowhere.jsonl"}, 1, {"nowhere.jsonl"});
  refused({"--report", "r.html", "--task-set", "nowhere.jsonl"}, 1, {"nowhere.jsonl"});
}

TEST_F(CliQuantizationReport, DataThatDoesNotFitIsRefusedAndNothingIsWritten) {
  write_file(path("empty.jsonl"), "\n");
  write_file(path("long.jsonl"), "{\"input_ids\": [1, 2]}\n{\"input_ids\": [99]}\n");
  write_file(path("label.jsonl"), "{\"input_ids\": [1, 2], \"label\": \"LABEL_4\"}\n");
  fs::create_directories(path("two"));
  for (const char* name : {"one.onnx", "two.onnx"}) fs::copy_file(path("out/model.onnx"), path("two") / name);
  fs::copy_file(path("out/config.json"), path("two/config.json"));
  const std::vector<std::string> before = files();
  const auto refused = [&](const std::string& model, const std::vector<std::string>& arguments,
                           const std::vector<std::string>& parts) {
    std::vector<std::string> command{"quantize", model, "--weights", "int4", "-o", "q", "--report", "r.html"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    EXPECT_TRUE(failed(run(command), 1, parts));
    EXPECT_EQ(files(), before) << parts.front();
  };
  refused("out", {"--report-data", "empty.jsonl"}, {"empty.jsonl is empty"});
  refused("out", {"--report-data", "long.jsonl"}, {"line 2 of long.jsonl", "vocab_size"});
  refused("out", {"--task-set", "label.jsonl"}, {"label.jsonl, line 1", "\"LABEL_4\" is not in label2id", "LABEL_0"});
  refused("two", {"--task-set", "label.jsonl"}, {"a task set is for one model, and two has 2"});
}

}  // namespace
}  // namespace onnxport::testing
