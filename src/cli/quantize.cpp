// onnxport quantize: weights of ONNX models become integers of a few bits.
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "cli/calibration_options.h"
#include "cli/commands.h"
#include "cli/quantization_report.h"
#include "cli/terminal.h"
#include "core/text_table.h"
#include "onnxport/json.h"
#include "onnxport/weight_quantizer.h"

namespace onnxport::cli {
namespace {

struct Request {
  WeightQuantizationOptions options;
  std::string weights;
  std::optional<bool> is_symmetric;
  std::int64_t accuracy_level = 0;
  std::vector<std::string> op_types;
  bool is_calibrated = false;
  WeightCalibration calibration;
  std::string calibration_option;  ///< one that tells how to calibrate
  std::optional<double> gptq_percdamp;
  std::string gptq_option;  ///< one that means nothing for other algorithms
  std::string awq_option;
  ReportRequest report;
  bool quiet = false;
  bool json = false;
};

// ---- The options ----------------------------------------------------------------------------------------------------

/// What --weights names: bits, and whether there are zero points unless an option says otherwise.
struct WeightType {
  int bits;
  bool is_symmetric;
  bool is_float = false;
};

const std::map<std::string, WeightType>& weight_types() {
  static const std::map<std::string, WeightType> types = {{"int8", {8, true}},
                                                          {"uint8", {8, false}},
                                                          {"int4", {4, true}},
                                                          {"uint4", {4, false}},
                                                          {"int2", {2, true}},
                                                          {"uint2", {2, false}},
                                                          {"float8e4m3fn", {8, true, true}},
                                                          {"float4e2m1", {4, true, true}}};
  return types;
}

const std::map<std::string, WeightAlgorithm>& algorithms() {
  static const std::map<std::string, WeightAlgorithm> names = {{"rtn", WeightAlgorithm::RoundToNearest},
                                                               {"k_quant", WeightAlgorithm::KQuant},
                                                               {"k_quant_mixed", WeightAlgorithm::KQuantMixed},
                                                               {"hqq", WeightAlgorithm::HalfQuadratic},
                                                               {"gptq", WeightAlgorithm::Gptq},
                                                               {"awq", WeightAlgorithm::Awq}};
  return names;
}

/// "lm_head=8"
std::pair<std::string, int> parse_bits(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  const std::string bits = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (equals == 0 || (bits != "2" && bits != "4" && bits != "8"))
    throw UsageError("--bits-for takes PATTERN=BITS with 2, 4 or 8 bits, such as lm_head=8, not \"" + text + "\"");
  return {text.substr(0, equals), bits.front() - '0'};
}

Apply append_to(std::vector<std::string>& target) {
  return [&target](const std::string& word) { target.push_back(word); };
}

OptionGroup calibration_options(Request& request) {
  WeightCalibration& calibration = request.calibration;
  GptqConfig& gptq = request.options.config.gptq;
  AwqConfig& awq = request.options.config.awq;
  const auto noted = [](std::string& where, const char* name, Apply apply) {
    return [&where, name, apply = std::move(apply)](const std::string& value) {
      where = name;
      apply(value);
    };
  };
  return {
      "Algorithms that look at activations",
      {calibration_option("Run the model, for gptq and awq,",
                          [&request](const std::string& file) {
                            request.is_calibrated = true;
                            request.calibration.data = file;
                          }),
       {"--calibration-samples", "N", "Read at most so many samples.", "128",
        noted(request.calibration_option, "--calibration-samples", store_integer(calibration.num_samples, 1))},
       {"--calibration-length", "N", "Cut texts after so many tokens.", "128",
        noted(request.calibration_option, "--calibration-length", store_integer(calibration.max_length, 1))},
       {"--gptq-percdamp", "X",
        "What is added to the diagonal of the Hessian, as a part of its mean. More makes it trust the samples less.",
        "0.01", noted(request.gptq_option, "--gptq-percdamp", store_number(request.gptq_percdamp))},
       {"--gptq-actorder", "", "Round first what meets the largest inputs.", "",
        noted(request.gptq_option, "--gptq-actorder", store_flag(gptq.actorder))},
       {"--gptq-mse", "", "Search for the scales with the least error, instead of taking the range.", "",
        noted(request.gptq_option, "--gptq-mse", store_flag(gptq.mse))},
       {"--awq-no-scale", "", "Leave inputs as they are.", "",
        noted(request.awq_option, "--awq-no-scale", store_flag(awq.auto_scale, false))},
       {"--awq-no-clip", "", "Leave ranges as they are.", "",
        noted(request.awq_option, "--awq-no-clip", store_flag(awq.auto_clip, false))}}};
}

std::vector<OptionGroup> option_groups(const std::shared_ptr<Request>& request) {
  WeightQuantizationOptions& options = request->options;
  WeightQuantizationConfig& config = options.config;
  return {
      {"Required arguments",
       {{.names = "model",
         .value = "MODEL",
         .help = "Directory of ONNX models with the files beside them, or one ONNX file.",
         .apply = store(options.model),
         .required = true},
        {.names = "-o,--output",
         .value = "DIR",
         .help = "Directory to write to; it is created. Not the one of the models.",
         .apply = store(options.output),
         .required = true},
        {.names = "--weights",
         .value = "TYPE",
         .help = "What weights become. uint ones have a zero point for each block, the others have none. Floats need "
                 "--format qdq, and float4e2m1 a runtime that knows it: ONNX Runtime has no kernel for processors.",
         .apply = store(request->weights),
         .choices = {"int8", "uint8", "int4", "uint4", "int2", "uint2", "float8e4m3fn", "float4e2m1"},
         .required = true}}},
      {"How to quantize",
       {{"--algorithm",
         "NAME",
         "rtn rounds to the nearest integer. k_quant searches each block for the scale with the least weighted error, "
         "always with zero points; k_quant_mixed also gives 8 bits to value and down projections of some layers and to "
         "the head, as onnxruntime-genai does. hqq solves for zero points that need not be integers (half-quadratic "
         "quantization). gptq and awq run the model on --calibration: gptq rounds row by row and lets later rows make "
         "up for it; awq scales inputs, so that rounding spares the weights that count most, and cuts ranges off where "
         "that helps.",
         "rtn",
         [&config](const std::string& name) { config.algorithm = algorithms().at(name); },
         {"rtn", "k_quant", "k_quant_mixed", "hqq", "gptq", "awq"}},
        {"--block-size",
         "N",
         "Weights that share a scale.",
         "32",
         store_integer(config.block_size, 1),
         {"16", "32", "64", "128", "256"}},
        {"--format",
         "NAME",
         "qoperator: operators of ONNX Runtime's own. qdq: MatMul and Gemm stay and read a DequantizeLinear, which "
         "every runtime of ONNX knows; for 4 and 8 bits. The model is raised to opset 21, for float4e2m1 to 23.",
         "qoperator",
         [&config](const std::string& name) {
           config.format = name == "qdq" ? QuantFormat::QDQ : QuantFormat::QOperator;
         },
         {"qoperator", "qdq"}},
        {"--symmetric", "", "Without zero points.", "",
         [request](const std::string&) { request->is_symmetric = true; }},
        {"--asymmetric", "", "With zero points.", "", [request](const std::string&) { request->is_symmetric = false; }},
        {"--accuracy-level",
         "N",
         "Least precision of activations inside MatMulNBits: 0 unset, 1 float32, 2 float16, 3 bfloat16, 4 int8, which "
         "is the fastest on processors.",
         "0",
         store_integer(request->accuracy_level, 0),
         {"0", "1", "2", "3", "4"}}}},
      {"What to quantize",
       {{.names = "--op-types",
         .value = "TYPE",
         .help = "Operators whose constant weights are quantized: MatMul and Gemm become MatMulNBits, Gather becomes "
                 "GatherBlockQuantized. May be given several times.",
         .default_value = "MatMul and Gemm",
         .apply = append_to(request->op_types),
         .repeated = true},
        {.names = "--nodes-to-exclude",
         .value = "NAME",
         .help = "Node that stays as it is; * stands for any characters. May be given several times.",
         .apply = append_to(config.nodes_to_exclude),
         .repeated = true},
        {.names = "--bits-for",
         .value = "PATTERN=BITS",
         .help = "Bits of nodes whose name, or whose weight's name, contains the pattern, such as lm_head=8; * stands "
                 "for any characters. May be given several times, the last match counts.",
         .apply = [&config](const std::string& text) { config.bits_for.push_back(parse_bits(text)); },
         .repeated = true},
        {.names = "--file-name",
         .value = "NAME",
         .help = "ONNX file of the directory to quantize. May be given several times.",
         .default_value = "all",
         .apply = append_to(options.file_names),
         .repeated = true}}},
      calibration_options(*request),
      {"What is lost", report_options(request->report, '-', "those of --calibration, else random")},
      {"Output",
       {{"--suffix", "WORD", "Ending of the files' names: with q4, model.onnx becomes model_q4.onnx.", "",
         store(options.suffix)},
        {"--external-data", "", "Write the weights into model.onnx_data also if the model stays below 2 GB.", "",
         store_flag(options.external_data)},
        {"--quiet", "", "Print errors only.", "", store_flag(request->quiet)},
        {"--json", "", "Print one JSON object instead of the log: each weight with its error, nodes that stay, files.",
         "", store_flag(request->json)}}}};
}

// ---- The report -----------------------------------------------------------------------------------------------------

Json describe_strings(const std::vector<std::string>& strings) { return Json::Array(strings.begin(), strings.end()); }

Json describe(const QuantizedWeightReport& weight) {
  Json entry;
  entry.set("file", weight.file.filename().string());
  entry.set("weight", weight.weight);
  entry.set("nodes", describe_strings(weight.nodes));
  entry.set("shape", Json(Json::Array(weight.shape.begin(), weight.shape.end())));
  entry.set("bits", weight.bits);
  entry.set("block_size", weight.block_size);
  entry.set("symmetric", weight.is_symmetric);
  entry.set("source_bytes", static_cast<std::int64_t>(weight.source_bytes));
  entry.set("bytes", static_cast<std::int64_t>(weight.bytes));
  // JSON knows no infinity: null stands for a weight that is exact.
  entry.set("sqnr_db", std::isfinite(weight.sqnr) ? Json(weight.sqnr) : Json());
  entry.set("maximum_error", weight.maximum_error);
  entry.set("cosine", weight.cosine);
  return entry;
}

Json describe(const WeightQuantizationResult& result) {
  Json::Array models;
  for (const QuantizedModel& model : result.models) {
    Json entry;
    entry.set("source", model.source.string());
    entry.set("path", model.path.string());
    entry.set("source_bytes", static_cast<std::int64_t>(model.source_bytes));
    entry.set("bytes", static_cast<std::int64_t>(model.bytes));
    models.push_back(std::move(entry));
  }
  Json::Array weights;
  for (const QuantizedWeightReport& weight : result.weights) weights.push_back(describe(weight));
  Json::Array skipped;
  for (const SkippedNode& node : result.skipped) {
    Json entry;
    entry.set("file", node.file.filename().string());
    entry.set("node", node.node);
    entry.set("op_type", node.op_type);
    entry.set("reason", node.reason);
    skipped.push_back(std::move(entry));
  }
  Json::Array files;
  for (const auto& file : result.files) files.emplace_back(file.string());
  Json report;
  report.set("models", std::move(models));
  report.set("weights", std::move(weights));
  report.set("skipped", std::move(skipped));
  report.set("files", std::move(files));
  return report;
}

std::string size_of_file(std::uint64_t bytes) { return format_bytes(static_cast<std::int64_t>(bytes)); }

void log_result(const WeightQuantizationResult& result, Terminal& terminal) {
  for (const SkippedNode& node : result.skipped)
    terminal.note(fmt::format("{} {} stays as it is: {}", node.op_type, node.node, node.reason));
  for (const QuantizedModel& model : result.models) {
    std::int64_t count = 0;
    const QuantizedWeightReport* worst = nullptr;
    for (const QuantizedWeightReport& weight : result.weights) {
      if (weight.file != model.source) continue;
      ++count;
      if (worst == nullptr || weight.sqnr < worst->sqnr) worst = &weight;
    }
    terminal.log(fmt::format("{}: {}, {} -> {}", model.path.string(), format_count(count, "quantized weight"),
                             size_of_file(model.source_bytes), size_of_file(model.bytes)));
    if (worst != nullptr)
      terminal.log(
          fmt::format("  least exact: {}, SQNR {:.1f} dB, cosine {:.5f}", worst->weight, worst->sqnr, worst->cosine));
  }
}

// ---- Measuring ------------------------------------------------------------------------------------------------------

/// "int4, blocks of 32, symmetric, rtn"
std::string describe_settings(const Request& request) {
  const WeightQuantizationConfig& config = request.options.config;
  std::string algorithm;
  for (const auto& [name, value] : algorithms())
    if (value == config.algorithm) algorithm = name;
  return fmt::format("{}, blocks of {}, {}, {}{}", request.weights, config.block_size,
                     config.is_symmetric ? "symmetric" : "asymmetric", algorithm,
                     config.format == QuantFormat::QDQ ? ", QDQ" : "");
}

quantization::StagedQuantization describe_staged(const WeightQuantizationResult& result) {
  quantization::StagedQuantization staged;
  for (const QuantizedModel& model : result.models)
    staged.models.push_back(
        {model.source, model.path, model.path.filename().string(), model.source_bytes, model.bytes});
  for (const QuantizedWeightReport& weight : result.weights) {
    staged.layers.push_back({.file = weight.file.filename().string(),
                             .nodes = weight.nodes,
                             .weight = weight.weight,
                             .shape = weight.shape,
                             .bits = static_cast<double>(weight.bits),
                             .sqnr = weight.sqnr,
                             .max_error = weight.maximum_error,
                             .cosine = weight.cosine});
  }
  return staged;
}

/// Quantizes as often as a tolerance takes; `result` is that which was published.
quantization::QuantizationReport quantize_and_assess(const Request& request, Terminal& terminal,
                                                     WeightQuantizationResult& result) {
  const auto quantize = [&](const std::vector<std::string>& excluded, const auto& accept) {
    WeightQuantizationOptions options = request.options;
    std::vector<std::string>& nodes = options.config.nodes_to_exclude;
    nodes.insert(nodes.end(), excluded.begin(), excluded.end());
    options.accept = [&](const WeightQuantizationResult& staged) { return accept(describe_staged(staged)); };
    result = quantize_weights(options);
  };
  quantization::QuantizationReport report =
      quantization::assess_quantization(assessment_options(request.report, request.options.model, terminal), quantize);
  report.model = request.options.model.string();
  report.settings = describe_settings(request);
  return report;
}

/// What belongs together, and what has no effect.
void check_calibration(Request& request) {
  WeightQuantizationConfig& config = request.options.config;
  const bool is_gptq = config.algorithm == WeightAlgorithm::Gptq;
  const bool is_awq = config.algorithm == WeightAlgorithm::Awq;
  if ((is_gptq || is_awq) && !request.is_calibrated)
    throw UsageError(
        fmt::format("--algorithm {} needs --calibration FILE: data to run the model on; --calibration random "
                    "makes some up",
                    is_gptq ? "gptq" : "awq"));
  if (!is_gptq && !request.gptq_option.empty()) throw UsageError(request.gptq_option + " needs --algorithm gptq");
  if (!is_awq && !request.awq_option.empty()) throw UsageError(request.awq_option + " needs --algorithm awq");
  if (!is_gptq && !is_awq && request.is_calibrated)
    throw UsageError("--calibration is for --algorithm gptq and awq, which look at activations");
  if (!request.is_calibrated) {
    if (!request.calibration_option.empty()) throw UsageError(request.calibration_option + " needs --calibration");
    return;
  }
  config.calibration = request.calibration;
  if (request.gptq_percdamp) config.gptq.percdamp = *request.gptq_percdamp;
  if (request.report.data.empty()) request.report.data = request.calibration.data;
}

int run_quantization(Request& request) {
  WeightQuantizationConfig& config = request.options.config;
  check_calibration(request);
  const WeightType type = weight_types().at(request.weights);
  config.bits = type.bits;
  config.is_float = type.is_float;
  if (config.is_float && config.format != QuantFormat::QDQ)
    throw UsageError("--weights " + request.weights + " needs --format qdq");
  config.is_symmetric = request.is_symmetric.value_or(type.is_symmetric);
  config.accuracy_level = static_cast<int>(request.accuracy_level);
  if (!request.op_types.empty()) config.op_types = request.op_types;

  Terminal terminal({.log = !request.quiet && !request.json, .progress = !request.quiet});
  request.options.progress = [&](std::string_view stage, std::uint64_t done, std::uint64_t total) {
    terminal.show({stage, done, total});
  };
  WeightQuantizationResult result;
  std::optional<quantization::QuantizationReport> report;
  if (is_assessed(request.report, request.options.output)) {
    report = quantize_and_assess(request, terminal, result);
  } else {
    result = quantize_weights(request.options);
  }
  if (!request.json) log_result(result, terminal);
  if (report) publish_report(*report, request.report, terminal);
  if (request.json) {
    Json described = describe(result);
    if (report) described.set("report", describe_report(*report, request.report));
    fmt::print("{}\n", dump_json(described, 2));
  }
  return 0;
}

}  // namespace

Command quantize_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "quantize", .summary = "Quantizes the weights of ONNX models to integers of a few bits"};
  command.details =
      "Weights of linear layers become integers with a scale for each block, which ONNX Runtime multiplies with as "
      "they "
      "are; activations stay floating-point numbers. Integers and scales are those that ONNX Runtime's own quantizer "
      "makes with the same settings. For int8 activations, see onnxport onnxruntime quantize.";
  command.examples = {
      {"onnxport quantize gpt2_onnx/ --weights int4 --block-size 32 -o gpt2_int4/", "Four bits for each weight"},
      {"onnxport quantize gpt2_onnx/ --weights uint4 --op-types MatMul --op-types Gemm --op-types Gather -o gpt2_q4/",
       "With zero points, and embeddings as well"},
      {"onnxport quantize gpt2_onnx/ --weights int4 --algorithm k_quant_mixed --bits-for lm_head=8 -o gpt2_k/",
       "A better fit, and more bits where they matter"},
      {"onnxport quantize bert_onnx/ --weights uint4 --algorithm gptq --calibration texts.jsonl -o bert_gptq/",
       "Weights that fit the texts that the model will see"},
      {"onnxport quantize bert_onnx/ --weights int4 --report report.html --report-data texts.jsonl --tolerance 0.05 "
       "-o bert_int4/",
       "See what is lost, and leave layers as they are that lose too much"}};
  command.groups = option_groups(request);
  command.run = [request] { return run_quantization(*request); };
  return command;
}

}  // namespace onnxport::cli
