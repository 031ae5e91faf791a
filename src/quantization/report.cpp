#include "quantization/report.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "onnxport/error.h"

namespace onnxport::quantization {
namespace {

namespace fs = std::filesystem;

/// JSON knows no infinity and no NaN.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json strings(const std::vector<std::string>& values) { return Json::Array(values.begin(), values.end()); }

Json layer_json(const LayerError& layer) {
  Json json;
  json.set("file", layer.file);
  json.set("nodes", strings(layer.nodes));
  json.set("weight", layer.weight);
  json.set("shape", Json::Array(layer.shape.begin(), layer.shape.end()));
  json.set("bits", layer.bits);
  json.set("sqnr_db", finite_or_null(layer.sqnr));
  json.set("max_error", finite_or_null(layer.max_error));
  json.set("cosine", finite_or_null(layer.cosine));
  return json;
}

Json model_json(const ModelMeasurement& model) {
  Json json;
  json.set("file", model.file);
  json.set("result", model.result);
  json.set("bytes_before", static_cast<std::int64_t>(model.bytes_before));
  json.set("bytes_after", static_cast<std::int64_t>(model.bytes_after));
  json.set("seconds_before", model.seconds_before);
  json.set("seconds_after", model.seconds_after);
  json.set("samples", model.samples);
  Json::Array outputs;
  for (const OutputError& output : model.outputs) {
    Json entry;
    entry.set("name", output.name);
    entry.set("relative_error", finite_or_null(output.relative));
    entry.set("max_error", finite_or_null(output.max_error));
    entry.set("cosine", finite_or_null(output.cosine));
    outputs.push_back(std::move(entry));
  }
  json.set("outputs", std::move(outputs));
  return json;
}

Json accuracy_json(const TaskAccuracy& accuracy) {
  Json json;
  json.set("samples", accuracy.samples);
  json.set("agreement", accuracy.agreement);
  json.set("mean_difference", finite_or_null(accuracy.mean_difference));
  json.set("labelled", accuracy.labelled);
  json.set("accuracy_before", accuracy.labelled > 0 ? Json(accuracy.accuracy_before) : Json());
  json.set("accuracy_after", accuracy.labelled > 0 ? Json(accuracy.accuracy_after) : Json());
  return json;
}

bool is_html(const fs::path& path) { return path.extension() == ".html" || path.extension() == ".htm"; }

/// A worse layer comes first; NaN is the worst.
bool is_worse(const LayerError& a, const LayerError& b) {
  if (std::isnan(a.sqnr) || std::isnan(b.sqnr)) return std::isnan(a.sqnr) && !std::isnan(b.sqnr);
  return a.sqnr < b.sqnr;
}

void append_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

std::vector<LayerError> worst_first(std::vector<LayerError> layers) {
  std::stable_sort(layers.begin(), layers.end(), is_worse);
  return layers;
}

std::vector<std::string> layers_to_exclude(const std::vector<LayerError>& layers) {
  constexpr double kOneBit = 6.02;
  if (layers.empty()) return {};
  const std::vector<LayerError> sorted = worst_first(layers);
  const double median = sorted[sorted.size() / 2].sqnr;
  std::vector<std::string> nodes;
  for (const LayerError& layer : sorted)
    if (std::isnan(layer.sqnr) || layer.sqnr < median - kOneBit)
      for (const std::string& node : layer.nodes) append_once(nodes, node);
  return nodes;
}

LayerName split_layer_name(std::string_view weight) {
  for (const std::string_view suffix : {".weight", ".kernel"})
    if (weight.ends_with(suffix)) weight.remove_suffix(suffix.size());
  std::size_t begin = 0;
  while (begin < weight.size()) {
    const std::size_t end = std::min(weight.find_first_of("./", begin), weight.size());
    const std::string_view part = weight.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    if (number && end < weight.size()) return {std::string(weight.substr(0, end)), std::string(weight.substr(end + 1))};
    begin = end + 1;
  }
  return {"", std::string(weight)};
}

Json to_json(const QuantizationReport& report) {
  Json::Array layers;
  for (const LayerError& layer : report.layers) layers.push_back(layer_json(layer));
  Json::Array models;
  for (const ModelMeasurement& model : report.models) models.push_back(model_json(model));
  Json json;
  json.set("model", report.model);
  json.set("settings", report.settings);
  json.set("models", std::move(models));
  json.set("accuracy", report.accuracy ? accuracy_json(*report.accuracy) : Json());
  json.set("tolerance", report.tolerance ? Json(*report.tolerance) : Json());
  json.set("excluded", strings(report.excluded));
  json.set("layers_to_exclude", strings(layers_to_exclude(report.layers)));
  json.set("layers", std::move(layers));
  return json;
}

void check_report_path(const fs::path& path) {
  if (!is_html(path) && path.extension() != ".json")
    throw Error(ErrorKind::InvalidArgument,
                "the report " + path.string() + " is neither a page nor JSON: its name must end in .html or .json");
}

void write_report(const QuantizationReport& report, const fs::path& path) {
  check_report_path(path);
  const std::string text = is_html(path) ? to_html(report) : dump_json(to_json(report), 2) + "\n";
  const fs::path unfinished = path.string() + ".unfinished";
  std::error_code error;
  std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file) fs::rename(unfinished, path, error);
  if (!file || error) {
    std::error_code ignored;
    fs::remove(unfinished, ignored);
    throw Error(ErrorKind::OutputFailed,
                "the report " + path.string() + " cannot be written" + (error ? ": " + error.message() : ""));
  }
}

Exclusion exclude_worst(const std::vector<LayerError>& layers, double tolerance,
                        const std::function<double(const std::vector<std::string>& excluded)>& attempt) {
  const std::vector<LayerError> sorted = worst_first(layers);
  const auto first = [&](std::size_t count) {
    std::vector<std::string> nodes;
    for (std::size_t i = 0; i < count; ++i)
      for (const std::string& node : sorted[i].nodes) append_once(nodes, node);
    return nodes;
  };
  // Nodes of one name may stand in several models: the layers that are left must have one of their own.
  std::size_t most = sorted.size();
  const std::size_t all = first(most).size();
  while (most > 0 && first(most).size() == all) --most;
  const auto passes = [&](double error) { return error <= tolerance; };

  double error = attempt({});
  if (passes(error)) return {{}, error};
  std::size_t failed = 0;  // the largest number known not to be enough
  std::size_t enough = 0;
  for (std::size_t count = 1; failed < most; count *= 2) {
    count = std::min(count, most);
    error = attempt(first(count));
    if (passes(error)) {
      enough = count;
      break;
    }
    failed = count;
  }
  if (enough == 0)
    throw Error(ErrorKind::ValidationFailed,
                "the output error is " + (std::isfinite(error) ? fmt::format("{:.3g}", error) : "not finite") +
                    ", above the tolerance of " + fmt::format("{:g}", tolerance) + ", even with " +
                    std::to_string(most) + " of " + std::to_string(sorted.size()) +
                    " layers left as they were. Allow more, or choose settings that lose less");
  while (enough - failed > 1) {
    const std::size_t middle = failed + (enough - failed) / 2;
    const double attempted = attempt(first(middle));
    if (passes(attempted)) {
      enough = middle;
      error = attempted;
    } else {
      failed = middle;
    }
  }
  return {first(enough), error};
}

}  // namespace onnxport::quantization
