#include "quantization/assessment.h"

#include <algorithm>
#include <limits>

#include "onnxport/error.h"
#include "quantization/measure.h"

namespace onnxport::quantization {
namespace {

class Assessment {
 public:
  Assessment(const AssessmentOptions& options, const Quantize& quantize) : options_(options), quantize_(quantize) {}

  QuantizationReport run() {
    report_.tolerance = options_.tolerance;
    std::vector<LayerError> layers;
    double error = 0;
    bool is_published = false;
    quantize_({}, [&](const StagedQuantization& staged) {
      std::vector<ModelMeasurement> measured = measure(staged);
      if (options_.tolerance) {
        error = largest_error(measured);
        layers = staged.layers;
        if (!(error <= *options_.tolerance)) return false;
      }
      is_published = true;
      return complete(staged, std::move(measured));
    });
    if (!is_published) publish_within_tolerance(layers, error);
    return std::move(report_);
  }

 private:
  void publish_within_tolerance(const std::vector<LayerError>& layers, double error_of_all) {
    report_.excluded = exclude_worst(layers, *options_.tolerance, [&](const std::vector<std::string>& excluded) {
                         return excluded.empty() ? error_of_all : error_without(excluded);
                       }).excluded;
    quantize_(report_.excluded, [&](const StagedQuantization& staged) { return complete(staged, measure(staged)); });
  }

  double error_without(const std::vector<std::string>& excluded) const {
    double error = std::numeric_limits<double>::infinity();
    quantize_(excluded, [&](const StagedQuantization& staged) {
      error = largest_error(measure(staged));
      return false;
    });
    return error;
  }

  static double largest_error(const std::vector<ModelMeasurement>& models) {
    double largest = 0;
    for (const ModelMeasurement& model : models) largest = std::max(largest, output_error(model));
    return largest;
  }

  std::vector<ModelMeasurement> measure(const StagedQuantization& staged) const {
    check_task_set(staged);
    std::vector<ModelMeasurement> measured;
    for (const StagedQuantization::Model& model : staged.models) {
      if (options_.progress)
        options_.progress("Measuring " + model.source.filename().string(), measured.size(), staged.models.size());
      measured.push_back(measure(model));
      measured.back().result = model.name;
      measured.back().bytes_before = model.source_bytes;
      measured.back().bytes_after = model.bytes;
    }
    return measured;
  }

  ModelMeasurement measure(const StagedQuantization::Model& model) const {
    try {
      return measure_outputs(model.source, model.path, options_.data);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::InvalidArgument || !options_.data.file.empty()) throw;
      throw Error(error.kind(), "inputs that are made up do not fit " + model.source.string() +
                                    ": give a file of some (" + error.what() + ")");
    }
  }

  void check_task_set(const StagedQuantization& staged) const {
    if (options_.task_set.empty() || staged.models.size() == 1) return;
    throw Error(ErrorKind::InvalidArgument, "a task set is for one model, and " +
                                                staged.models.front().source.parent_path().string() + " has " +
                                                std::to_string(staged.models.size()) + ": choose one of its files");
  }

  /// Notes what is about to be published.
  bool complete(const StagedQuantization& staged, std::vector<ModelMeasurement> measured) {
    report_.layers = staged.layers;
    report_.models = std::move(measured);
    if (options_.task_set.empty()) return true;
    const StagedQuantization::Model& model = staged.models.front();
    if (options_.progress) options_.progress("Running the task set", 0, 1);
    CalibrationDataOptions task_set = options_.data;
    task_set.file = options_.task_set;
    task_set.num_samples = std::numeric_limits<std::int64_t>::max();
    report_.accuracy = measure_task(model.source, model.path, task_set);
    return true;
  }

  const AssessmentOptions& options_;
  const Quantize& quantize_;
  QuantizationReport report_;
};

}  // namespace

QuantizationReport assess_quantization(const AssessmentOptions& options, const Quantize& quantize) {
  return Assessment(options, quantize).run();
}

}  // namespace onnxport::quantization
