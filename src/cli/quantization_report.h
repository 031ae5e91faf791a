#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/terminal.h"
#include "onnxport/json.h"
#include "quantization/assessment.h"

/// --report and --tolerance, which both commands that quantize have.
namespace onnxport::cli {

struct ReportRequest {
  std::vector<std::filesystem::path> reports;
  std::optional<double> tolerance;
  std::filesystem::path data;
  std::int64_t samples = 16;
  std::filesystem::path task_set;
  std::string dependent_option;  ///< one that means nothing without a report or a tolerance
};

/// The options, whose names have `dash` between words. `default_data` is what the models are run on without a file.
std::vector<Option> report_options(ReportRequest& request, char dash, const std::string& default_data);

/// Whether models are to be measured. Throws UsageError for options that do not go together; Error(InvalidArgument) for
/// reports that could not be written when all is done.
bool is_assessed(const ReportRequest& request, const std::filesystem::path& output);

quantization::AssessmentOptions assessment_options(const ReportRequest& request, const std::filesystem::path& model,
                                                   Terminal& terminal);

/// Writes the files asked for, and the log.
void publish_report(const quantization::QuantizationReport& report, const ReportRequest& request, Terminal& terminal);

/// What --json tells of it: {"reports": [...], "excluded": [...], "models": [...], "accuracy": ...}.
Json describe_report(const quantization::QuantizationReport& report, const ReportRequest& request);

}  // namespace onnxport::cli
