#include "cli/quantization_report.h"

#include <cmath>
#include <system_error>

#include <fmt/core.h>

#include "core/text_table.h"
#include "onnxport/error.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;
using quantization::ModelMeasurement;
using quantization::OutputError;
using quantization::QuantizationReport;

/// "--report-data" or "--report_data"
std::string spelled(std::string name, char dash) {
  for (std::size_t i = 2; i < name.size(); ++i)
    if (name[i] == '-') name[i] = dash;
  return name;
}

Apply store_tolerance(std::optional<double>& target) {
  return [&target](const std::string& value) {
    store_number(target)(value);
    if (!(*target > 0) || !std::isfinite(*target))
      throw UsageError("\"" + value + "\" is no tolerance: it must be a number above 0");
  };
}

/// The directory may be the output, which is not there yet.
void check_directory(const fs::path& report, const fs::path& output) {
  std::error_code error;
  const fs::path directory = report.has_parent_path() ? report.parent_path() : fs::path(".");
  if (fs::is_directory(directory, error)) return;
  const auto normal = [&error](const fs::path& path) { return fs::weakly_canonical(fs::absolute(path / ""), error); };
  if (normal(directory) == normal(output)) return;
  throw Error(ErrorKind::InvalidArgument,
              "the report " + report.string() + " cannot be written: there is no directory " + directory.string());
}

}  // namespace

std::vector<Option> report_options(ReportRequest& request, char dash, const std::string& default_data) {
  const auto dependent = [&request, dash](const char* name, Apply apply) {
    return [&request, option = spelled(name, dash), apply = std::move(apply)](const std::string& value) {
      request.dependent_option = option;
      apply(value);
    };
  };
  return {
      {.names = "--report",
       .value = "FILE",
       .help = "Run the models before and after, and write what was measured: the error of each weight as a heat map, "
               "of each output, size and latency, the layers to exclude. A page if the name ends in .html, the same as "
               "JSON if it ends in .json. May be given several times.",
       .apply = [&request](const std::string& value) { request.reports.emplace_back(value); },
       .repeated = true},
      {.names = "--tolerance",
       .value = "X",
       .help = "Leave the worst layers as they are, as few as it takes, until the error of the models' outputs, "
               "relative to their Euclidean norm, is at most X, such as 0.05.",
       .apply = store_tolerance(request.tolerance)},
      {.names = spelled("--report-data", dash),
       .value = "FILE",
       .help = "Inputs to run the models on: JSON lines ({\"text\": ...}, or the model's inputs by name), or a "
               "safetensors file of the model's inputs whose first axis counts the samples.",
       .default_value = default_data,
       .apply = dependent("--report-data", store(request.data))},
      {.names = spelled("--report-samples", dash),
       .value = "N",
       .help = "Run at most so many samples.",
       .default_value = "16",
       .apply = dependent("--report-samples", store_integer(request.samples, 1))},
      {.names = spelled("--task-set", dash),
       .value = "FILE",
       .help = "Also compare predictions, and accuracy, on JSON lines such as {\"text\": ..., \"label\": ...}. A label "
               "is the number or the name of a class, or an array of them for the tokens, -100 for one that does not "
               "count.",
       .apply = dependent("--task-set", store(request.task_set))}};
}

bool is_assessed(const ReportRequest& request, const fs::path& output) {
  if (request.reports.empty() && !request.tolerance) {
    if (request.dependent_option.empty()) return false;
    throw UsageError(request.dependent_option + " needs --report or --tolerance");
  }
  for (const fs::path& report : request.reports) {
    quantization::check_report_path(report);
    check_directory(report, output);
  }
  return true;
}

quantization::AssessmentOptions assessment_options(const ReportRequest& request, const fs::path& model,
                                                   Terminal& terminal) {
  std::error_code error;
  quantization::AssessmentOptions options;
  options.data.file = request.data;
  options.data.model_directory = fs::is_directory(model, error) ? model : model.parent_path();
  options.data.num_samples = request.samples;
  options.task_set = request.task_set;
  options.tolerance = request.tolerance;
  options.progress = [&terminal](std::string_view stage, std::uint64_t done, std::uint64_t total) {
    terminal.show({stage, done, total});
  };
  return options;
}

void publish_report(const QuantizationReport& report, const ReportRequest& request, Terminal& terminal) {
  if (report.tolerance && report.excluded.empty())
    terminal.log(fmt::format("All layers are quantized: the tolerance of {:g} is kept", *report.tolerance));
  if (!report.excluded.empty()) {
    terminal.log(fmt::format("Left out for the tolerance of {:g}: {}", *report.tolerance,
                             format_count(std::ssize(report.excluded), "node")));
    for (const std::string& node : report.excluded) terminal.log("  " + node);
  }
  for (const ModelMeasurement& model : report.models) {
    terminal.log(fmt::format("{}: {:.3g} ms -> {:.3g} ms for a sample, of {}", model.file, model.seconds_before * 1e3,
                             model.seconds_after * 1e3, model.samples));
    for (const OutputError& output : model.outputs)
      terminal.log(
          fmt::format("  {}: relative error {:.3g}, cosine {:.6f}", output.name, output.relative, output.cosine));
  }
  if (report.accuracy) {
    terminal.log(fmt::format("Task set: {} of the predictions stay the same, of {} samples",
                             format_percentage(report.accuracy->agreement), report.accuracy->samples));
    if (report.accuracy->labelled > 0)
      terminal.log(fmt::format("  accuracy {} -> {}", format_percentage(report.accuracy->accuracy_before),
                               format_percentage(report.accuracy->accuracy_after)));
  }
  for (const fs::path& path : request.reports) {
    quantization::write_report(report, path);
    terminal.log("Report: " + path.string());
  }
}

Json describe_report(const QuantizationReport& report, const ReportRequest& request) {
  const Json all = quantization::to_json(report);
  Json::Array files;
  for (const fs::path& path : request.reports) files.emplace_back(path.string());
  Json described;
  described.set("files", std::move(files));
  for (const char* member : {"models", "accuracy", "tolerance", "excluded", "layers_to_exclude"})
    described.set(member, *all.find(member));
  return described;
}

}  // namespace onnxport::cli
