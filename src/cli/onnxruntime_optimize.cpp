// onnxport onnxruntime optimize: exported models with fewer and fused operators.
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "onnxport/optimizer.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

struct Request {
  fs::path model;
  fs::path output;
  std::string level;  ///< "O2"
  fs::path config;
  bool fp16 = false;
  HalfPrecision half_precision{};
  bool external_data = false;
  bool quiet = false;
  bool json = false;
};

void refuse_second(const Request& request) {
  if (!request.level.empty() || !request.config.empty()) throw UsageError("-O and --config exclude each other");
}

// ---- The config -----------------------------------------------------------------------------------------------------

OptimizationConfig read_config(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw Error(ErrorKind::InvalidArgument, "cannot read " + path.string());
  const Json json = parse_json(text.str(), path.string());
  const Json* optimization = json.find("optimization");
  if (optimization == nullptr)
    throw Error(ErrorKind::InvalidArgument, path.string() + " has no member \"optimization\"");
  try {
    return OptimizationConfig::from_json(*optimization);
  } catch (const Error& error) {
    throw Error(error.kind(), path.string() + ": " + error.what());
  }
}

OptimizationConfig make_config(const Request& request) {
  if (request.config.empty() && request.level.empty())
    throw UsageError("one of -O1, -O2, -O3, -O4 and --config is missing");
  OptimizationConfig config = request.config.empty() ? AutoOptimizationConfig::with_optimization_level(request.level)
                                                     : read_config(request.config);
  config.fp16 = config.fp16 || request.fp16 || request.half_precision.bfloat16;
  if (!config.fp16 &&
      (!request.half_precision.op_block_list.empty() || !request.half_precision.node_block_list.empty()))
    throw UsageError("--block-op and --block-node say what stays float32: add --fp16, --bf16 or -O4");
  return config;
}

// ---- The report -----------------------------------------------------------------------------------------------------

std::int64_t count_nodes(const OperatorCounts& counts) {
  std::int64_t sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum;
}

template <typename Counts>
Json describe_counts(const Counts& counts) {
  Json::Object members;
  for (const auto& [name, count] : counts) members.emplace_back(name, static_cast<std::int64_t>(count));
  return members;
}

Json describe(const OptimizationResult& result) {
  Json::Array models;
  for (const OptimizedModel& model : result.models) {
    Json::Array left;
    for (const LeftPattern& pattern : model.left)
      left.push_back(Json::Object{{"fusion", pattern.fusion}, {"node", pattern.node}, {"reason", pattern.reason}});
    models.push_back(Json::Object{{"source", model.source.string()},
                                  {"path", model.path.string()},
                                  {"source_bytes", static_cast<std::int64_t>(model.source_bytes)},
                                  {"bytes", static_cast<std::int64_t>(model.bytes)},
                                  {"source_nodes", count_nodes(model.source_operators)},
                                  {"nodes", count_nodes(model.operators)},
                                  {"source_operators", describe_counts(model.source_operators)},
                                  {"operators", describe_counts(model.operators)},
                                  {"applied", describe_counts(model.applied)},
                                  {"left", std::move(left)}});
  }
  Json::Array files;
  for (const fs::path& file : result.files) files.emplace_back(file.string());
  Json report;
  report.set("models", std::move(models));
  report.set("files", std::move(files));
  return report;
}

void print_summary(Terminal& terminal, const OptimizationResult& result) {
  for (const OptimizedModel& model : result.models) {
    std::string fused;
    for (const auto& [name, count] : model.operators)
      if (name.starts_with("com.microsoft."))
        fused += fmt::format("{}{} {}", fused.empty() ? "" : ", ", count, name.substr(name.rfind('.') + 1));
    terminal.log(printable(
        fmt::format("{} -> {}: {} nodes -> {}, {:.1f} MB -> {:.1f} MB", model.source.filename().string(),
                    model.path.filename().string(), count_nodes(model.source_operators), count_nodes(model.operators),
                    static_cast<double>(model.source_bytes) / 1e6, static_cast<double>(model.bytes) / 1e6)));
    if (!fused.empty()) terminal.log("  fused: " + fused);
    std::map<std::pair<std::string, std::string>, int> left;
    for (const LeftPattern& pattern : model.left) ++left[{pattern.fusion, pattern.reason}];
    for (const auto& [what, count] : left)
      terminal.log(printable(fmt::format("  not fused: {} x {}: {}", count, what.first, what.second)));
  }
}

int run(const Request& request) {
  const OptimizationConfig config = make_config(request);
  Terminal terminal({.log = !request.quiet && !request.json, .progress = !request.quiet});
  ORTOptimizer optimizer = ORTOptimizer::from_pretrained(request.model);
  optimizer.half_precision = request.half_precision;
  optimizer.progress = [&](std::string_view stage, std::uint64_t done, std::uint64_t total) {
    terminal.show({stage, done, total});
  };
  const OptimizationResult result = optimizer.optimize(config, request.output, "optimized", request.external_data);
  if (config.fp16)
    terminal.warn(std::string("the model becomes ") + (request.half_precision.bfloat16 ? "bfloat16" : "float16") +
                  ", which is meant for GPUs: on a CPU, ONNX Runtime converts back and forth");
  if (request.json) {
    fmt::print("{}\n", dump_json(describe(result), 2));
  } else {
    print_summary(terminal, result);
    terminal.log("Optimized model saved at: " + request.output.string());
  }
  return 0;
}

// ---- The options ----------------------------------------------------------------------------------------------------

OptionGroup required_arguments(Request& request) {
  return {"Required arguments",
          {{.names = "--onnx_model",
            .value = "DIR",
            .help = "Directory of the exported model: every ONNX file in it is optimized. Or one ONNX file.",
            .apply = store(request.model),
            .required = true},
           {.names = "-o,--output",
            .value = "DIR",
            .help = "Directory to write to, another one than that of the model; it is created. model.onnx becomes "
                    "model_optimized.onnx.",
            .apply = store(request.output),
            .required = true}}};
}

OptionGroup levels(Request& request) {
  return {
      "Level, one of",
      {{"-O",
        "LEVEL",
        "-O1: plain ONNX; constants folded, useless, equal and dead nodes removed, equal weights stored once. "
        "-O2: also fusions into operators of ONNX Runtime: attention, normalizations with the sum before them, GELU "
        "with its bias. -O3: also an approximation, GELU by tanh instead of erf. -O4: also float16 inside, for GPUs; "
        "inputs and outputs stay float32.",
        "",
        [&request](const std::string& level) {
          refuse_second(request);
          request.level = "O" + level;
        },
        {"1", "2", "3", "4"}},
       {"-c,--config", "FILE", "Take all settings of the optimization from an ort_config.json.", "",
        [&request](const std::string& file) {
          refuse_second(request);
          request.config = file;
        }}}};
}

OptionGroup half_precision_options(Request& request) {
  HalfPrecision& half_precision = request.half_precision;
  const auto list = [](std::string names, std::string value, std::string help, std::vector<std::string>& target) {
    return Option{.names = std::move(names),
                  .value = std::move(value),
                  .help = std::move(help),
                  .apply = [&target](const std::string& name) { target.push_back(name); },
                  .repeated = true};
  };
  return {"Half precision",
          {{"--fp16", "", "float16 inside, at any level; inputs and outputs stay float32. -O4 implies it.", "",
            store_flag(request.fp16)},
           {"--bf16", "", "bfloat16 instead, which has the range of float32.", "", store_flag(half_precision.bfloat16)},
           list("--block-op", "OPERATOR", "Leave nodes of this operator in float32; may be given several times.",
                half_precision.op_block_list),
           list("--block-node", "NAME", "Leave this node in float32; may be given several times.",
                half_precision.node_block_list)}};
}

OptionGroup output_options(Request& request) {
  return {
      "Output and report",
      {{"--external-data", "", "Write the weights into a file of their own, also below 2 GB.", "",
        store_flag(request.external_data)},
       {"--quiet", "", "Print warnings and errors only.", "", store_flag(request.quiet)},
       {"--json", "",
        "Print one JSON object instead of the log: files, sizes, operators before and after, what was done and what "
        "was left alone, with reasons.",
        "", store_flag(request.json)}}};
}

}  // namespace

Command onnxruntime_optimize_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "optimize",
                  .summary = "Optimizes exported models for ONNX Runtime: fewer and fused operators"};
  command.details =
      "Takes any ONNX models, those of PyTorch's exporter too. Branches of merged decoders are optimized like the "
      "rest. "
      "Weights are streamed from file to file, so that memory does not grow with them.";
  command.examples = {{"onnxport onnxruntime optimize --onnx_model bert_onnx/ -O2 -o bert_optimized/",
                       "Fuse what ONNX Runtime has an operator for"},
                      {"onnxport onnxruntime optimize --onnx_model bert_onnx/ -O3 --json -o bert_o3/",
                       "Approximate GELU, and tell what was done in JSON"}};
  command.groups = {required_arguments(*request), levels(*request), half_precision_options(*request),
                    output_options(*request)};
  command.run = [request] { return run(*request); };
  return command;
}

}  // namespace onnxport::cli
