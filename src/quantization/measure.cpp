#include "quantization/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <map>

#include "checkpoint/read_config.h"
#include "core/nearest.h"
#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "runtime/session.h"

namespace onnxport::quantization {
namespace {

namespace fs = std::filesystem;

Array as_float(const Array& array) {
  return array.data_type() == DataType::Float32 ? array : materialize(cast(from_array(array), DataType::Float32));
}

/// No output that means something is as large: -FLT_MAX and -infinity stand for logits that do not count.
constexpr double kMasked = 1e30;

bool is_masked(double y, double z) {
  return std::fabs(y) >= kMasked && std::fabs(z) >= kMasked && std::signbit(y) == std::signbit(z);
}

/// Sums over the elements of one output.
struct ErrorSums {
  double signal = 0;
  double result = 0;
  double product = 0;
  double noise = 0;
  double maximum = 0;

  void add(const Array& before, const Array& after) {
    for (std::int64_t i = 0; i < before.element_count(); ++i) {
      const double y = static_cast<double>(before.data<float>()[i]);
      const double z = static_cast<double>(after.data<float>()[i]);
      if (!is_masked(y, z)) add_square(y, z, std::fabs(y - z));
    }
  }

  OutputError error(std::string name) const {
    const double relative = noise == 0 ? 0 : std::sqrt(noise / signal);
    const double norms = std::sqrt(signal * result);
    return {std::move(name), relative, maximum, noise == 0 ? 1 : product / norms};
  }

 private:
  void add_square(double y, double z, double difference) {
    signal += y * y;
    result += z * z;
    product += y * z;
    noise += difference * difference;
    if (!(difference <= maximum)) maximum = difference;
  }
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// A session and how long its runs took.
class TimedSession {
 public:
  explicit TimedSession(const fs::path& path) : session_(path) {}

  const Session& session() const { return session_; }

  std::vector<Array> run(const NamedArrays& inputs) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<Array> outputs = session_.run(inputs);
    seconds_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return outputs;
  }
  /// The first run lays memory out, so that it takes longer than others.
  void warm_up(const NamedArrays& inputs) { session_.run(inputs); }
  double median_seconds() const { return median(seconds_); }

 private:
  Session session_;
  std::vector<double> seconds_;
};

void check_shapes(const std::string& name, const Array& before, const Array& after) {
  if (before.shape() == after.shape()) return;
  throw Error(ErrorKind::InvalidModel, "the output \"" + name + "\" has the shape " + shape_to_string(after.shape()) +
                                           " in the quantized model, " + shape_to_string(before.shape()) +
                                           " in the model itself");
}

// ---- Task sets ------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse(const fs::path& file, std::size_t line, const std::string& why) {
  throw Error(ErrorKind::InvalidArgument, file.string() + ", line " + std::to_string(line) + ": " + why);
}

std::map<std::string, std::int64_t> label_ids(const fs::path& directory) {
  std::map<std::string, std::int64_t> ids;
  const Config config = read_config(directory);
  const Json* labels = config.json().find("label2id");
  if (labels == nullptr || !labels->is_object()) return ids;
  for (const auto& [name, id] : labels->object())
    if (id.is_integer()) ids.emplace(name, id.integer());
  return ids;
}

/// The labels of a task set, in step with the samples that CalibrationData reads of the same file.
class Labels {
 public:
  explicit Labels(const CalibrationDataOptions& data)
      : path_(data.file), file_(data.file, std::ios::binary), ids_(label_ids(data.model_directory)) {
    if (path_.extension() == ".safetensors")
      throw Error(ErrorKind::InvalidArgument, "the task set " + path_.string() + " must be JSON lines");
  }

  /// Of the next sample; empty without a label.
  std::vector<std::int64_t> next() {
    std::string line;
    do {
      if (!std::getline(file_, line)) return {};
      ++line_;
    } while (line.find_first_not_of(" \t\r") == std::string::npos);
    const Json sample = parse_json(line, path_.string());
    const Json* label = sample.find("label");
    if (label == nullptr || label->is_null()) return {};
    if (!label->is_array()) return {id_of(*label)};
    std::vector<std::int64_t> ids;
    for (const Json& item : label->array()) ids.push_back(id_of(item));
    return ids;
  }
  std::size_t line() const { return line_; }

 private:
  std::int64_t id_of(const Json& label) const {
    if (label.is_integer()) return label.integer();
    if (!label.is_string())
      refuse(path_, line_, "a label is the number or the name of a class, not " + dump_json(label));
    const auto found = ids_.find(label.string());
    if (found != ids_.end()) return found->second;
    std::vector<std::string> names;
    for (const auto& [name, id] : ids_) names.push_back(name);
    refuse(path_, line_,
           "the label " + dump_json(label) + " is not in label2id of config.json" +
               describe_nearest(label.string(), names));
  }

  fs::path path_;
  std::ifstream file_;
  std::map<std::string, std::int64_t> ids_;
  std::size_t line_ = 0;
};

std::size_t prediction_output(const Session& session) {
  const auto& outputs = session.outputs();
  const auto logits = std::ranges::find(outputs, "logits", &Session::Value::name);
  return logits == outputs.end() ? 0 : static_cast<std::size_t>(logits - outputs.begin());
}

/// The largest element's index along the last axis, of each row.
std::vector<std::int64_t> predictions(const Array& output) {
  const std::int64_t classes = output.shape().empty() ? 1 : output.shape().back();
  std::vector<std::int64_t> result;
  for (std::int64_t row = 0; classes > 0 && row < output.element_count() / classes; ++row) {
    const float* begin = output.data<float>() + row * classes;
    result.push_back(std::max_element(begin, begin + classes) - begin);
  }
  return result;
}

double agreement(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  if (a.empty()) return 1;
  std::size_t equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

/// The label of a token that does not count, as in HF's datasets.
constexpr std::int64_t kIgnored = -100;

/// Share of the rows with a label that are predicted so; nullopt if none has one.
std::optional<double> share_right(const std::vector<std::int64_t>& predicted, const std::vector<std::int64_t>& labels) {
  std::int64_t right = 0;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == kIgnored) continue;
    ++count;
    right += predicted[i] == labels[i] ? 1 : 0;
  }
  if (count == 0) return std::nullopt;
  return static_cast<double>(right) / static_cast<double>(count);
}

void check_labels(const std::vector<std::int64_t>& labels, const Array& output, std::size_t count, const fs::path& file,
                  std::size_t line) {
  if (labels.size() != count)
    refuse(file, line, std::to_string(labels.size()) + " labels for " + std::to_string(count) + " predictions");
  const std::int64_t classes = output.shape().empty() ? 1 : output.shape().back();
  for (const std::int64_t label : labels) {
    if (label != kIgnored && (label < 0 || label >= classes))
      refuse(file, line,
             "the label " + std::to_string(label) + " is none of the model's " + std::to_string(classes) + " classes");
  }
}

double mean_difference(const Array& a, const Array& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.element_count(); ++i) {
    const double y = static_cast<double>(a.data<float>()[i]);
    const double z = static_cast<double>(b.data<float>()[i]);
    if (!is_masked(y, z)) sum += std::fabs(y - z);
  }
  return a.element_count() > 0 ? sum / static_cast<double>(a.element_count()) : 0;
}

}  // namespace

ModelMeasurement measure_outputs(const fs::path& before, const fs::path& after, const CalibrationDataOptions& data) {
  TimedSession first(before);
  TimedSession second(after);
  CalibrationData samples(data, first.session().inputs());
  std::map<std::string, ErrorSums> sums;
  ModelMeasurement result{.file = before.filename().string(), .result = after.filename().string()};
  while (const auto inputs = samples.next()) {
    if (result.samples++ == 0) {
      first.warm_up(*inputs);
      second.warm_up(*inputs);
    }
    const std::vector<Array> expected = first.run(*inputs);
    const std::vector<Array> actual = second.run(*inputs);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::string& name = first.session().outputs()[i].name;
      if (!is_floating_point(expected[i].data_type())) continue;
      check_shapes(name, expected[i], actual[i]);
      sums[name].add(as_float(expected[i]), as_float(actual[i]));
    }
  }
  for (const Session::Value& output : first.session().outputs())
    if (const auto sum = sums.find(output.name); sum != sums.end())
      result.outputs.push_back(sum->second.error(output.name));
  result.seconds_before = first.median_seconds();
  result.seconds_after = second.median_seconds();
  return result;
}

double output_error(const ModelMeasurement& measurement) {
  if (measurement.outputs.empty())
    throw Error(ErrorKind::InvalidModel, measurement.file + " has no output of floating-point numbers to compare");
  double largest = 0;
  for (const OutputError& output : measurement.outputs)
    largest = std::max(largest, std::isnan(output.relative) ? INFINITY : output.relative);
  return largest;
}

TaskAccuracy measure_task(const fs::path& before, const fs::path& after, const CalibrationDataOptions& task_set) {
  const Session first(before);
  const Session second(after);
  CalibrationData samples(task_set, first.inputs());
  Labels labels(task_set);
  const std::size_t output = prediction_output(first);
  TaskAccuracy result;
  while (const auto inputs = samples.next()) {
    const std::vector<std::int64_t> label = labels.next();
    const Array expected = as_float(first.run(*inputs)[output]);
    const Array actual = as_float(second.run(*inputs)[output]);
    check_shapes(first.outputs()[output].name, expected, actual);
    const std::vector<std::int64_t> predicted_before = predictions(expected);
    const std::vector<std::int64_t> predicted_after = predictions(actual);
    ++result.samples;
    result.agreement += agreement(predicted_before, predicted_after);
    result.mean_difference += mean_difference(expected, actual);
    if (label.empty()) continue;
    check_labels(label, expected, predicted_before.size(), task_set.file, labels.line());
    if (const auto right = share_right(predicted_before, label)) {
      ++result.labelled;
      result.accuracy_before += *right;
      result.accuracy_after += *share_right(predicted_after, label);
    }
  }
  const auto count = static_cast<double>(result.samples);
  result.agreement /= count;
  result.mean_difference /= count;
  if (result.labelled > 0) {
    result.accuracy_before /= static_cast<double>(result.labelled);
    result.accuracy_after /= static_cast<double>(result.labelled);
  }
  return result;
}

}  // namespace onnxport::quantization
