#include "validation/validate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "checkpoint/checkpoint.h"
#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

using Log = std::function<void(std::string_view)>;

Array converted(const Array& array, DataType type) {
  return array.data_type() == type ? array : materialize(cast(from_array(array), type));
}

/// A number as Python prints it.
std::string python_float(double value) { return dump_json(Json(value)); }

const Array* find(const NamedArrays& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& item) { return item.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

/// Equal NaNs and infinities count as close: the model then does what the checkpoint does.
void compare_values(const Array& actual, const Array& expected, double atol, OutputValidation& result) {
  result.matches = true;
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    const double a = static_cast<double>(actual.data<float>()[i]);
    const double e = static_cast<double>(expected.data<float>()[i]);
    if (a == e || (std::isnan(a) && std::isnan(e))) continue;
    const double difference = std::fabs(a - e);
    if (!(difference <= atol + 1e-5 * std::fabs(e))) result.matches = false;
    if (!(difference <= result.max_difference)) result.max_difference = difference;
  }
}

OutputValidation compare(const std::string& name, const Array& actual, const Array& expected, double atol) {
  OutputValidation result;
  result.output = name;
  result.shape = actual.shape();
  result.reference_shape = expected.shape();
  if (actual.shape() == expected.shape())
    compare_values(converted(actual, DataType::Float32), converted(expected, DataType::Float32), atol, result);
  return result;
}

void log_output(const OutputValidation& result, double atol, const Log& log) {
  log("\t- Validating ONNX Model output \"" + result.output + "\":");
  const std::string shape = shape_to_string(result.shape);
  const std::string reference = shape_to_string(result.reference_shape);
  if (result.shape != result.reference_shape) return log("\t\t-[x] shape " + shape + " doesn't match " + reference);
  log("\t\t-[✓] " + shape + " matches " + reference);
  if (result.matches) return log("\t\t-[✓] all values close (atol: " + python_float(atol) + ")");
  log("\t\t-[x] values not close enough, max diff: " + python_float(result.max_difference) +
      " (atol: " + python_float(atol) + ")");
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void check_names(const ValidationTarget& target, const NamedArrays& reference, const Log& log) {
  std::vector<std::string> actual;
  std::vector<std::string> common;
  for (const Session::Value& value : target.session->outputs()) {
    actual.push_back(value.name);
    if (find(reference, value.name) != nullptr) common.push_back(value.name);
  }
  std::vector<std::string> unknown;
  for (const auto& [name, array] : reference)
    if (std::find(actual.begin(), actual.end(), name) == actual.end()) unknown.push_back(name);
  if (!unknown.empty()) {
    log("\t-[x] ONNX model output names (" + join(actual) + ") do not match reference model (" + join(unknown) + ")");
    throw Error(ErrorKind::ValidationFailed,
                target.shown_path + " has no output \"" + unknown.front() + "\"; it has " + join(actual));
  }
  log("\t-[✓] ONNX model output names match reference model (" + join(common) + ")");
}

std::vector<OutputValidation> run_case(const ValidationTarget& target, const ReferenceCase& example) {
  NamedArrays inputs;
  for (const Session::Value& value : target.session->inputs()) {
    const Array* array = find(example.inputs, value.name);
    if (!array)
      throw Error(ErrorKind::InvalidArgument,
                  "the reference has no input \"" + value.name + "\" of " + target.shown_path);
    inputs.emplace_back(value.name, converted(*array, value.data_type));
  }
  std::vector<std::string> names;
  for (const auto& [name, array] : example.outputs) names.push_back(name);
  const std::vector<Array> outputs = target.session->run(inputs, names);
  std::vector<OutputValidation> results;
  for (std::size_t i = 0; i < names.size(); ++i) {
    OutputValidation result = compare(names[i], outputs[i], example.outputs[i].second, target.atol);
    result.file = target.file;
    result.inputs = example.description;
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

std::vector<ReferenceCase> read_reference(const std::filesystem::path& path) {
  std::map<std::string, ReferenceCase> cases;
  for (const auto& [name, source] : read_safetensors(path)) {
    std::string_view rest(name);
    std::string index;
    if (!rest.starts_with("input.") && !rest.starts_with("output.")) {
      const std::size_t dot = rest.find('.');
      index = std::string(rest.substr(0, dot));
      rest.remove_prefix(dot == std::string_view::npos ? rest.size() : dot + 1);
    }
    const bool input = rest.starts_with("input.");
    if (!input && !rest.starts_with("output."))
      throw Error(ErrorKind::InvalidCheckpoint,
                  path.string() + ": the tensor \"" + name +
                      "\" is neither an input nor an output; names are input.NAME, output.NAME, or CASE.input.NAME");
    ReferenceCase& target = cases[index];
    target.description = "case " + (index.empty() ? "0" : index) + " of " + path.filename().string();
    (input ? target.inputs : target.outputs).emplace_back(rest.substr(rest.find('.') + 1), materialize(source));
  }
  std::vector<ReferenceCase> result;
  for (auto& [index, value] : cases) {
    if (value.outputs.empty())
      throw Error(ErrorKind::InvalidCheckpoint, path.string() + " has no outputs for " + value.description);
    result.push_back(std::move(value));
  }
  if (result.empty()) throw Error(ErrorKind::InvalidCheckpoint, path.string() + " has no tensors");
  return result;
}

std::vector<OutputValidation> validate(const ValidationTarget& target, const std::vector<ReferenceCase>& cases,
                                       const Log& log) {
  std::vector<OutputValidation> results;
  log("Validating ONNX model " + target.shown_path + "...");
  check_names(target, cases.front().outputs, log);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::vector<OutputValidation> outputs = run_case(target, cases[i]);
    const bool all_match =
        std::all_of(outputs.begin(), outputs.end(), [](const auto& output) { return output.matches; });
    if (i > 0 && !all_match) log("\t- With " + cases[i].description + ":");
    for (const OutputValidation& output : outputs)
      if (i == 0 || !output.matches) log_output(output, target.atol, log);
    results.insert(results.end(), outputs.begin(), outputs.end());
  }
  return results;
}

}  // namespace onnxport
