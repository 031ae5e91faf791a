// onnxport onnxruntime quantize: an exported model in 8-bit integers.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "cli/calibration_options.h"
#include "cli/commands.h"
#include "cli/quantization_report.h"
#include "cli/terminal.h"
#include "onnxport/json.h"
#include "onnxport/quantizer.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

using Preset = QuantizationConfig (*)(const QuantizationPreset&);

struct Request {
  QuantizeOptions options;
  QuantizationPreset preset{.per_channel = false};  // Optimum's command has it off, its Python has it on
  std::string preset_option;                        ///< "--avx2"
  Preset make = nullptr;
  fs::path config;
  bool is_calibrated = false;
  CalibrationConfig calibration;
  std::optional<double> percentile;
  std::string calibration_option;  ///< one that tells how to calibrate
  bool smooth_quant = false;
  bool smooth_quant_no_folding = false;
  std::optional<double> smooth_quant_alpha;
  ReportRequest report;
  bool quiet = false;
  bool json = false;
};

Apply choose(Request& request, std::string name, Preset make) {
  return [&request, name = std::move(name), make](const std::string& value) {
    if (!request.preset_option.empty())
      throw UsageError(request.preset_option + " and " + name + " exclude each other");
    request.preset_option = name;
    request.make = make;
    request.config = value;
  };
}

Apply append(std::vector<std::string>& target) {
  return [&target](const std::string& value) { target.push_back(value); };
}

OptionGroup required_arguments(Request& request) {
  return {"Required arguments",
          {{.names = "--onnx_model",
            .value = "DIR",
            .help = "Directory of the exported model: every ONNX file in it is quantized. Or one ONNX file.",
            .apply = store(request.options.model),
            .required = true},
           {.names = "-o,--output",
            .value = "DIR",
            .help = "Directory to write to, another one than that of the model; it is created. model.onnx becomes "
                    "model_quantized.onnx.",
            .apply = store(request.options.output),
            .required = true}}};
}

OptionGroup presets(Request& request) {
  const auto flag = [&](const char* name, const char* help, Preset make) {
    return Option{name, "", help, "", choose(request, name, make)};
  };
  return {
      "For which processor, one of",
      {flag("--arm64", "For ARM64: unsigned activations, signed weights.", &AutoQuantizationConfig::arm64),
       flag("--avx2", "For x86 with AVX2: unsigned activations and weights, which do not saturate there.",
            &AutoQuantizationConfig::avx2),
       flag("--avx512", "For x86 with AVX-512: unsigned activations, signed weights.", &AutoQuantizationConfig::avx512),
       flag("--avx512_vnni", "For x86 with AVX-512 VNNI: unsigned activations, signed weights.",
            &AutoQuantizationConfig::avx512_vnni),
       flag("--ppc64le", "For POWER10: unsigned activations, signed weights.", &AutoQuantizationConfig::ppc64le),
       flag("--tensorrt", "For TensorRT: symmetric and static, which needs --calibration.",
            &AutoQuantizationConfig::tensorrt),
       {"-c,--config", "FILE", "Take all settings of the quantization from an ort_config.json.", "",
        choose(request, "--config", nullptr)}}};
}

OptionGroup settings(Request& request) {
  const auto list = [&](const char* name, const char* value, const char* help, std::vector<std::string>& target) {
    return Option{.names = name, .value = value, .help = help, .apply = append(target), .repeated = true};
  };
  return {
      "What to quantize, and how",
      {{"--per_channel", "", "One scale for each column of a weight instead of one for the whole weight.", "",
        store_flag(request.preset.per_channel)},
       {"--reduce_range", "",
        "7 bits for weights, with --avx2 and --avx512: products never saturate on processors without VNNI.", "",
        store_flag(request.preset.reduce_range)},
       {"--asymmetric_weights", "", "Weights with a zero point of their own.", "",
        store_flag(request.preset.use_symmetric_weights, false)},
       list("--operator", "OPERATOR", "Quantize nodes of this operator only; may be given several times.",
            request.preset.operators_to_quantize),
       list("--node", "NAME", "Quantize this node only; may be given several times.", request.preset.nodes_to_quantize),
       list("--exclude", "NAME", "Leave this node as it is; may be given several times.",
            request.preset.nodes_to_exclude)}};
}

void choose_method(CalibrationConfig& calibration, const std::string& name) {
  const CalibrationConfig chosen = name == "entropy"      ? AutoCalibrationConfig::entropy({})
                                   : name == "percentile" ? AutoCalibrationConfig::percentiles({})
                                                          : AutoCalibrationConfig::minmax({});
  calibration.method = chosen.method;
  calibration.num_bins = chosen.num_bins;
  calibration.num_quantized_bins = chosen.num_quantized_bins;
}

OptionGroup calibration_options(Request& request) {
  CalibrationConfig& calibration = request.calibration;
  const auto how = [&request](const char* name, Apply apply) {
    return [&request, name, apply = std::move(apply)](const std::string& value) {
      request.calibration_option = name;
      apply(value);
    };
  };
  return {"Static quantization",
          {{"--static", "", "Quantize activations now; --calibration and --tensorrt imply it.", "",
            store_flag(request.preset.is_static)},
           calibration_option("Find the ranges of activations",
                              [&request](const std::string& file) {
                                request.is_calibrated = true;
                                request.calibration.data = file;
                              }),
           {"--calibration_method",
            "METHOD",
            "How ranges are found: the widest, those with the least loss of information, or those that hold nearly all "
            "values.",
            "minmax",
            how("--calibration_method", [&](const std::string& value) { choose_method(calibration, value); }),
            {"minmax", "entropy", "percentile"}},
           {"--calibration_percentile", "P", "How much of the values a range holds, with the method percentile.",
            "99.999", how("--calibration_percentile", store_number(request.percentile))},
           {"--calibration_moving_average", "",
            "With minmax: the mean of the samples' ranges, which outliers do not widen.", "",
            how("--calibration_moving_average", store_flag(calibration.moving_average))},
           {"--calibration_samples", "N", "Read at most so many samples.", "100",
            how("--calibration_samples", store_integer(calibration.num_samples, 1))},
           {"--calibration_length", "N", "Cut texts after so many tokens.", "128",
            how("--calibration_length", store_integer(calibration.max_length, 1))},
           {"--smooth_quant", "",
            "SmoothQuant first: divide what MatMul and Gemm multiply, channel by channel, and multiply the weights, so "
            "that outliers of activations do not widen the range of all. Folded into the normalization in front where "
            "it can be.",
            "", how("--smooth_quant", store_flag(request.smooth_quant))},
           {"--smooth_quant_alpha", "A",
            "How much of the difficulty goes from activations to weights, 0 to 1; implies --smooth_quant.", "0.5",
            how("--smooth_quant_alpha", store_number(request.smooth_quant_alpha))},
           {"--smooth_quant_no_folding", "", "With --smooth_quant: always by a Mul.", "",
            how("--smooth_quant_no_folding", store_flag(request.smooth_quant_no_folding))}}};
}

OptionGroup log_options(Request& request) {
  return {"Log",
          {{"--statistics", "", "Compute the error of every quantized weight and print the worst; all with --json.", "",
            store_flag(request.options.statistics)},
           {"--quiet", "", "Print warnings and errors only.", "", store_flag(request.quiet)},
           {"--json", "", "Print one JSON object instead of the log: files, sizes, quantized nodes, errors.", "",
            store_flag(request.json)}}};
}

// ---- The report -----------------------------------------------------------------------------------------------------

/// JSON knows no infinity.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json describe(const QuantizationResult& result) {
  Json::Array models;
  for (const QuantizationResult::Model& model : result.models) {
    Json::Object nodes;
    for (const auto& [op_type, count] : model.quantized_nodes) nodes.emplace_back(op_type, count);
    models.push_back(Json::Object{{"source", model.source.string()},
                                  {"path", model.path.string()},
                                  {"source_bytes", static_cast<std::int64_t>(model.source_bytes)},
                                  {"bytes", static_cast<std::int64_t>(model.bytes)},
                                  {"quantized_nodes", std::move(nodes)}});
  }
  Json::Array errors;
  for (const QuantizationError& error : result.errors) {
    errors.push_back(Json::Object{{"file", error.file},
                                  {"node", error.node},
                                  {"op_type", error.op_type},
                                  {"tensor", error.tensor},
                                  {"elements", static_cast<std::int64_t>(error.elements)},
                                  {"sqnr", finite_or_null(error.sqnr)},
                                  {"max_error", finite_or_null(error.max_error)},
                                  {"cosine", finite_or_null(error.cosine)}});
  }
  Json::Array files;
  for (const fs::path& file : result.files) files.emplace_back(file.string());
  Json::Array warnings(result.warnings.begin(), result.warnings.end());
  Json report;
  report.set("models", std::move(models));
  report.set("files", std::move(files));
  report.set("errors", std::move(errors));
  report.set("warnings", std::move(warnings));
  return report;
}

void print_summary(Terminal& terminal, const QuantizationResult& result) {
  for (const QuantizationResult::Model& model : result.models) {
    std::string nodes;
    for (const auto& [op_type, count] : model.quantized_nodes)
      nodes += fmt::format("{}{} {}", nodes.empty() ? "" : ", ", count, op_type);
    terminal.log(fmt::format("{}: {} of {} MB; quantized {}", model.path.string(), model.bytes / 1000000,
                             model.source_bytes / 1000000, nodes.empty() ? "nothing" : nodes));
  }
  std::vector<QuantizationError> errors = result.errors;
  std::sort(errors.begin(), errors.end(), [](const auto& a, const auto& b) { return a.sqnr < b.sqnr; });
  if (errors.size() > 10) errors.resize(10);
  if (!errors.empty()) terminal.log("Weights with the largest errors:");
  for (const QuantizationError& error : errors) {
    terminal.log(fmt::format("  {:6.1f} dB  max {:.2e}  cosine {:.6f}  {} {}", error.sqnr, error.max_error,
                             error.cosine, error.file, error.node.empty() ? error.tensor : error.node));
  }
}

// ---- Measuring ------------------------------------------------------------------------------------------------------

/// "dynamic int8, --avx2, per channel"
std::string describe_settings(const Request& request) {
  const QuantizationConfig& config = request.options.config;
  const auto type = [](QuantType value) { return value == QuantType::QInt8 ? "int8" : "uint8"; };
  const auto& smooth = request.options.smooth_quant;
  return fmt::format("{}{}, {} activations, {} weights{}{} ({})", config.is_static ? "static" : "dynamic",
                     smooth ? fmt::format(", SmoothQuant {}", smooth->alpha) : "", type(config.activations_dtype),
                     type(config.weights_dtype), config.per_channel ? " per channel" : "",
                     config.reduce_range ? " of 7 bits" : "", request.preset_option);
}

/// The weight as the model has it, also where a transposed one takes its place.
quantization::LayerError describe_layer(const QuantizationError& error, double bits) {
  constexpr std::string_view kTransposed = "_Transposed";
  quantization::LayerError layer{.file = error.file,
                                 .nodes = error.nodes,
                                 .weight = error.tensor,
                                 .shape = error.shape,
                                 .bits = bits,
                                 .sqnr = error.sqnr,
                                 .max_error = error.max_error,
                                 .cosine = error.cosine};
  if (layer.weight.ends_with(kTransposed)) {
    layer.weight.resize(layer.weight.size() - kTransposed.size());
    std::reverse(layer.shape.begin(), layer.shape.end());
  }
  return layer;
}

quantization::StagedQuantization describe_staged(const QuantizationResult& result, const QuantizationConfig& config) {
  quantization::StagedQuantization staged;
  for (const QuantizationResult::Model& model : result.models)
    staged.models.push_back(
        {model.source, model.path, model.path.filename().string(), model.source_bytes, model.bytes});
  for (const QuantizationError& error : result.errors)
    staged.layers.push_back(describe_layer(error, config.reduce_range ? 7 : 8));
  return staged;
}

/// Quantizes as often as a tolerance takes; `result` is that which was published.
quantization::QuantizationReport quantize_and_assess(Request& request, Terminal& terminal, QuantizationResult& result) {
  const auto quantize = [&](const std::vector<std::string>& excluded, const auto& accept) {
    QuantizeOptions options = request.options;
    std::vector<std::string>& nodes = options.config.nodes_to_exclude;
    nodes.insert(nodes.end(), excluded.begin(), excluded.end());
    options.statistics = true;
    options.accept = [&](const QuantizationResult& staged) { return accept(describe_staged(staged, options.config)); };
    result = quantize_models(options);
    // The ranges of activations are the same whatever is left out, unless that is what is not smoothed.
    if (result.models.size() == 1 && options.config.is_static && !options.smooth_quant)
      request.options.calibration_tensors_range = result.models.front().ranges;
  };
  quantization::QuantizationReport report =
      quantization::assess_quantization(assessment_options(request.report, request.options.model, terminal), quantize);
  report.model = request.options.model.string();
  report.settings = describe_settings(request);
  return report;
}

int run_quantize(Request& request) {
  if (request.preset_option.empty())
    throw UsageError("one of --arm64, --avx2, --avx512, --avx512_vnni, --ppc64le, --tensorrt and --config is needed");
  if (request.is_calibrated) {
    if (request.report.data.empty()) request.report.data = request.calibration.data;
    request.preset.is_static = true;
    if (request.percentile) request.calibration.percentile = *request.percentile;
    request.options.calibration = request.calibration;
    if (request.smooth_quant || request.smooth_quant_alpha)
      request.options.smooth_quant = {.alpha = request.smooth_quant_alpha.value_or(0.5),
                                      .folding = !request.smooth_quant_no_folding};
    else if (request.smooth_quant_no_folding)
      throw UsageError("--smooth_quant_no_folding needs --smooth_quant");
  } else if (!request.calibration_option.empty()) {
    throw UsageError(request.calibration_option + " needs --calibration");
  }
  if (request.make != nullptr) {
    request.options.config = request.make(request.preset);
  } else {
    const QuantizationPreset& preset = request.preset;
    if (preset.per_channel || preset.reduce_range || !preset.use_symmetric_weights ||
        !preset.operators_to_quantize.empty() || !preset.nodes_to_quantize.empty() || !preset.nodes_to_exclude.empty())
      throw UsageError("with --config all settings stand in that file: leave out the options of what to quantize");
    request.options.config = quantization_config_from_file(request.config);
    if (preset.is_static && !request.options.config.is_static)
      throw UsageError("static quantization was asked for, and " + request.config.string() + " is dynamic");
  }
  if (request.options.config.is_static && !request.is_calibrated) {
    throw UsageError(
        "static quantization needs --calibration FILE: data to find the ranges of activations on; --calibration random "
        "shows that it can be done, and no more");
  }
  Terminal terminal({.log = !request.quiet && !request.json, .progress = !request.quiet});
  request.options.warn = [&](std::string_view line) { terminal.warn(line); };
  request.options.progress = [&](std::string_view stage, std::uint64_t done, std::uint64_t total) {
    terminal.show({stage, done, total});
  };
  QuantizationResult result;
  std::optional<quantization::QuantizationReport> report;
  if (is_assessed(request.report, request.options.output)) {
    report = quantize_and_assess(request, terminal, result);
  } else {
    result = quantize_models(request.options);
  }
  if (!request.json) print_summary(terminal, result);
  if (report) publish_report(*report, request.report, terminal);
  if (request.json) {
    Json described = describe(result);
    if (report) described.set("report", describe_report(*report, request.report));
    fmt::print("{}\n", dump_json(described, 2));
  }
  return 0;
}

}  // namespace

Command onnxruntime_quantize_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "quantize", .summary = "Quantizes an exported model to 8-bit integers"};
  command.details =
      "Weights become integers now, activations while the model runs (dynamic quantization) or, with --calibration, by "
      "ranges that are found now (static quantization). Outputs are those of "
      "Optimum: model_quantized.onnx, config.json, ort_config.json and the tokenizer's files. Decoders that hold two "
      "branches are quantized in both, and share their weights as before.";
  command.examples = {
      {"onnxport onnxruntime quantize --onnx_model bert_onnx/ --avx512_vnni --per_channel -o bert_int8/",
       "Quantize for processors with VNNI"},
      {"onnxport onnxruntime quantize --onnx_model bert_onnx/ --avx2 --exclude /classifier/Gemm -o bert_int8/",
       "Leave a layer as it is"},
      {"onnxport onnxruntime quantize --onnx_model bert_onnx/ --avx2 --calibration texts.jsonl -o bert_static/",
       "Quantize activations, too, by their ranges on some texts"},
      {"onnxport onnxruntime quantize --onnx_model bert_onnx/ --avx2 --report report.html --report_data texts.jsonl "
       "--tolerance 0.05 -o bert_int8/",
       "See what is lost, and leave layers as they are that lose too much"},
      {"onnxport onnxruntime quantize --onnx_model bert_onnx/ --config ort_config.json -o bert_int8/",
       "Take the settings of an earlier quantization"}};
  command.groups = {required_arguments(*request),
                    presets(*request),
                    settings(*request),
                    calibration_options(*request),
                    {"What is lost", report_options(request->report, '_', "those of --calibration, else random")},
                    log_options(*request)};
  command.run = [request] { return run_quantize(*request); };
  return command;
}

}  // namespace onnxport::cli
