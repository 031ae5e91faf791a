#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "graph/graph.h"

namespace onnxport {

/// The tensors of a checkpoint as parameters of one graph, found as from_pretrained finds them: with or without the
/// base model's prefix ("bert."), under the old names gamma and beta, or under names that an architecture lists.
/// Remembers which tensors were used.
class WeightStore {
 public:
  /// Old or alternative spelling: gives another name to try for a name that was not found, "" for none.
  using Alias = std::function<std::string(std::string_view name)>;

  WeightStore(Graph& graph, const Checkpoint& checkpoint, std::string base_model_prefix,
              std::vector<Alias> aliases = {});

  Graph& graph() const { return *graph_; }
  const std::string& base_model_prefix() const { return base_model_prefix_; }
  /// A name without the base model's prefix.
  std::string_view bare(std::string_view name) const;
  /// The checkpoint's name for a tensor, nullopt if it has none.
  std::optional<std::string> resolve(std::string_view name) const;
  /// Throws Error(MissingTensor) with the nearest names that the checkpoint has.
  Tensor parameter(std::string_view name);
  const TensorSource& source(std::string_view name);
  /// Counts tensors as used that the HF class loads and the graph has no use for; see Weights::idle.
  void idle(std::string_view scope, std::string_view tail);
  std::vector<std::string> unused() const;

 private:
  std::string require(std::string_view name);

  Graph* graph_;
  const Checkpoint* checkpoint_;
  std::string base_model_prefix_;
  std::vector<Alias> aliases_;
  std::set<std::string, std::less<>> used_;
};

/// A scope in the checkpoint: `w / "attention.self.query"` is the module ...attention.self.query, and
/// `(w / "attention.self.query")["weight"]` its weight as a parameter of the graph.
class Weights {
 public:
  explicit Weights(WeightStore& store, std::string path = {}) : store_(&store), path_(std::move(path)) {}

  Weights operator/(std::string_view name) const;
  Weights operator/(std::int64_t index) const { return *this / std::string_view(std::to_string(index)); }

  Tensor operator[](std::string_view name) const { return store_->parameter(join(name)); }
  /// nullopt where the checkpoint has no such tensor, for biases that a config may leave out.
  std::optional<Tensor> find(std::string_view name) const;
  bool has(std::string_view name) const { return store_->resolve(join(name)).has_value(); }

  /// For weights that must be transformed: the elements, and how to add the result under a name of its own.
  const TensorSource& source(std::string_view name) const { return store_->source(join(name)); }
  Tensor add(std::string_view name, TensorSource source) const {
    return graph().add_parameter(join(name), std::move(source));
  }
  /// Declares tensors of this scope that the HF class loads although nothing is computed from them here: a module that
  /// no output of the task depends on, a buffer that the graph makes itself. They are not reported as unused, as
  /// from_pretrained does not report them. `tail` restricts them to names that end so: "inv_freq", "attn.bias".
  void idle(std::string_view tail = {}) const { store_->idle(path_, tail); }
  /// A weight that must have these sizes according to the config; throws Error(ShapeMismatch) naming both.
  Tensor expect(std::string_view name, const std::vector<std::int64_t>& shape) const;
  /// The same for a matrix of which the config only tells the number of rows.
  Tensor expect_rows(std::string_view name, std::int64_t rows) const;

  /// Nodes built while the guard lives are named after this scope.
  ScopeGuard scope() const { return ScopeGuard(graph(), node_scope()); }
  Graph& graph() const { return store_->graph(); }
  const std::string& path() const { return path_; }

 private:
  std::string join(std::string_view name) const;
  /// The path without the base model's prefix.
  std::string node_scope() const;

  WeightStore* store_;
  std::string path_;
};

}  // namespace onnxport
