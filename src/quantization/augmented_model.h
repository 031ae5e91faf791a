#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/temporary_directory.h"
#include "onnx/model.h"
#include "runtime/session.h"

namespace onnxport::quantization {

/// A model that shows values from inside of it, in a session of ONNX Runtime. Its graph is not optimized, so that the
/// values are those of the model as it stands.
class AugmentedModel {
 public:
  enum class Kind {
    Values,  ///< each value is an output, under its own name
    Ranges,  ///< its smallest and its largest element are: VALUE_ReduceMin and VALUE_ReduceMax, of one element each
  };

  /// `values` are made by nodes of the main graph or of branches of If; of a branch that is not taken, a value has no
  /// elements. The model lies in the system's directory for temporary files as long
  /// as this object lives. `origin` is named in errors: Error(RuntimeFailed) if it does not load; Error(InvalidModel):
  /// a value that is made in a Loop.
  AugmentedModel(onnx::Model model, const std::vector<std::string>& values, Kind kind,
                 const std::filesystem::path& origin);

  const Session& session() const { return *session_; }
  /// The output that shows a value; with Kind::Ranges, what VALUE above stands for.
  const std::string& output_of(const std::string& value) const { return names_.at(value); }

 private:
  TemporaryDirectory directory_;
  std::map<std::string, std::string> names_;
  std::unique_ptr<Session> session_;
};

/// What the graph is fed with, without initializers that are inputs, too.
std::vector<ModelInput> model_inputs(const onnx::Graph& graph);

}  // namespace onnxport::quantization
