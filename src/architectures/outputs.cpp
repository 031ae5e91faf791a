#include "architectures/outputs.h"

#include <algorithm>

#include "core/nearest.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

constexpr std::string_view cache_prefix = "present.";

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string member_name(const std::string& series, std::size_t index) { return series + "." + std::to_string(index); }

/// A sum as Optimum writes it, the past first: the canonical order is that of the alphabet.
Dim past_first(const Dim& dim) {
  const std::string text = dim.to_string();
  const std::size_t plus = text.find(" + ");
  if (plus == std::string::npos || !text.substr(plus + 3).starts_with("past_")) return dim;
  return Dim::symbol(text.substr(plus + 3) + " + " + text.substr(0, plus));
}

/// What may become an output of a graph, by the names that a user may give.
class Candidates {
 public:
  explicit Candidates(ModelBuilder& m) : m_(&m), own_(m.graph().outputs()) {}

  const std::vector<GraphOutput>& own() const { return own_; }

  /// The outputs that a name stands for; none if it stands for nothing.
  std::vector<GraphOutput> find(const std::string& name) {
    std::vector<GraphOutput> found;
    for (const GraphOutput& output : own_)
      if (output.name == name || (name == "past_key_values" && output.name.starts_with(cache_prefix)))
        found.push_back(output);
    if (!found.empty()) return found;
    for (const auto& [offered, make] : m_->offers())
      if (offered == name) return {of(name, make().id())};
    for (const auto& [series, values] : m_->graph().series())
      for (std::size_t i = 0; i < values.size(); ++i)
        if (name == series || name == member_name(series, i)) found.push_back(of(member_name(series, i), values[i]));
    return found;
  }

  /// The outputs that this graph has, a series as one, for people.
  std::vector<std::string> in_words() const {
    std::vector<std::string> words;
    for (const GraphOutput& output : own_) {
      const bool cache = output.name.starts_with(cache_prefix);
      if (!cache || !contains(words, "past_key_values")) words.push_back(cache ? "past_key_values" : output.name);
    }
    for (const auto& [name, make] : m_->offers()) words.push_back(name);
    for (const auto& [series, values] : m_->graph().series())
      words.push_back(series + " (" + member_name(series, 0) + " to ." + std::to_string(values.size() - 1) + ")");
    return words;
  }

 private:
  GraphOutput of(const std::string& name, ValueId value) const {
    Shape declared;
    for (const Dim& dim : m_->graph().value(value).type.shape) declared.push_back(past_first(dim));
    return {name, value, std::move(declared)};
  }

  ModelBuilder* m_;
  std::vector<GraphOutput> own_;  ///< of the task
};

void set_outputs(Graph& graph, const std::vector<GraphOutput>& outputs) {
  graph.clear_outputs();
  for (const GraphOutput& output : outputs)
    graph.add_output(output.name, Tensor(graph, output.value), output.declared_shape);
}

void append(std::vector<GraphOutput>& outputs, const GraphOutput& output) {
  if (std::none_of(outputs.begin(), outputs.end(), [&](const GraphOutput& o) { return o.name == output.name; }))
    outputs.push_back(output);
}

}  // namespace

void OutputChooser::choose(ModelBuilder& m, const std::string& file) {
  if (request_->is_default()) return;
  Candidates candidates(m);
  std::vector<GraphOutput> chosen;
  for (const std::string& name : request_->names) {
    const std::vector<GraphOutput> outputs = candidates.find(name);
    if (!outputs.empty()) found_.push_back(name);
    for (const GraphOutput& output : outputs) append(chosen, output);
  }
  const bool keeps_all = chosen.empty() || file == "encoder_model";
  for (const GraphOutput& output : candidates.own())
    if (keeps_all || output.name.starts_with(cache_prefix)) append(chosen, output);
  for (const std::string& ending : request_->added_series)
    for (const auto& [series, values] : m.graph().series())
      if (series.ends_with(ending))
        for (const GraphOutput& output : candidates.find(series)) append(chosen, output);
  for (const std::string& words : candidates.in_words())
    if (!contains(known_, words)) known_.push_back(words);
  set_outputs(m.graph(), chosen);
}

void OutputChooser::check(const std::string& model_type) const {
  for (const std::string& name : request_->names) {
    if (contains(found_, name)) continue;
    std::string list;
    std::vector<std::string> names;
    for (const std::string& words : known_) {
      list += (list.empty() ? "" : ", ") + words;
      names.push_back(words.substr(0, words.find(' ')));
    }
    throw Error(ErrorKind::UnsupportedTask, model_type + " has no output \"" + name + "\" for this task" +
                                                describe_nearest(name, names) + "; it has " + list);
  }
}

std::vector<std::string> available_outputs(const ModelBuilder& m) {
  std::vector<std::string> names;
  for (const GraphOutput& output : m.graph().outputs()) names.push_back(output.name);
  for (const auto& [name, make] : m.offers()) names.push_back(name);
  for (const auto& [series, values] : m.graph().series())
    for (std::size_t i = 0; i < values.size(); ++i) names.push_back(member_name(series, i));
  return names;
}

}  // namespace onnxport
