#pragma once

#include <set>
#include <string>
#include <vector>

#include "architectures/registry.h"

namespace onnxport {

/// Which outputs a model is to have, and which inputs and files.
struct OutputRequest {
  /// Names as in the ModelOutput of transformers, in the order of the ONNX file; empty: those of the task. A series
  /// ("hidden_states", "attentions") stands for all of its members, "hidden_states.0" for one of them, and
  /// "past_key_values" for present.*.
  std::vector<std::string> names{};
  /// What is added to those of the task: endings of names of series, which Optimum's and transformers' arguments
  /// output_hidden_states and output_attentions stand for.
  std::vector<std::string> added_series{};

  /// Inputs that the model is not to have: position_ids, where they are counted, and token_type_ids.
  std::set<std::string, std::less<>> left_out_inputs{};
  /// Optional inputs that it is to have.
  std::set<std::string, std::less<>> added_inputs{};
  bool monolith = false;  ///< one file, where the architecture has one for the task; see Architecture

  bool is_default() const { return names.empty() && added_series.empty(); }
};

/// Gives each file of a task its outputs.
class OutputChooser {
 public:
  explicit OutputChooser(const OutputRequest& request) : request_(&request) {}

  /// Replaces the outputs of a graph that was just built. The cache, and the states of an encoder that is a file of its
  /// own, are what other files and the next step take: they stay, whatever is asked for. A file that has none of the
  /// outputs asked for keeps its own.
  void choose(ModelBuilder& m, const std::string& file);
  /// To be called after the last file. Throws Error(UnsupportedTask) that lists the outputs that the model has if none
  /// of its files has one of those asked for.
  void check(const std::string& model_type) const;

 private:
  const OutputRequest* request_;
  std::vector<std::string> found_;
  std::vector<std::string> known_;  ///< all that the files have, in words
};

/// All names that OutputRequest may have for a graph, series member by member.
std::vector<std::string> available_outputs(const ModelBuilder& m);

}  // namespace onnxport
