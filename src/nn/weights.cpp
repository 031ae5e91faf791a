#include "nn/weights.h"

#include <algorithm>
#include <numeric>

#include "core/nearest.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

/// LayerNorm parameters of checkpoints converted from TensorFlow 1.
std::string gamma_beta(std::string_view name) {
  const auto replace = [&](std::string_view suffix, std::string_view old) -> std::string {
    if (!name.ends_with(suffix)) return {};
    return std::string(name.substr(0, name.size() - suffix.size())) + std::string(old);
  };
  if (std::string old = replace("LayerNorm.weight", "LayerNorm.gamma"); !old.empty()) return old;
  return replace("LayerNorm.bias", "LayerNorm.beta");
}

}  // namespace

WeightStore::WeightStore(Graph& graph, const Checkpoint& checkpoint, std::string base_model_prefix,
                         std::vector<Alias> aliases)
    : graph_(&graph),
      checkpoint_(&checkpoint),
      base_model_prefix_(std::move(base_model_prefix)),
      aliases_(std::move(aliases)) {
  aliases_.push_back(gamma_beta);
}

std::optional<std::string> WeightStore::resolve(std::string_view name) const {
  const auto known = [&](std::string_view candidate) { return checkpoint_->find(candidate) != nullptr; };
  const auto try_aliases = [&](std::string_view candidate) -> std::optional<std::string> {
    if (known(candidate)) return std::string(candidate);
    for (const Alias& alias : aliases_)
      if (std::string other = alias(candidate); !other.empty() && known(other)) return other;
    return std::nullopt;
  };
  if (auto found = try_aliases(name)) return found;
  const std::string prefix = base_model_prefix_ + ".";
  if (!base_model_prefix_.empty() && name.starts_with(prefix)) return try_aliases(name.substr(prefix.size()));
  return std::nullopt;
}

std::string WeightStore::require(std::string_view name) {
  std::optional<std::string> found = resolve(name);
  if (!found) {
    std::vector<std::string> names;
    for (const auto& [candidate, source] : checkpoint_->tensors) names.push_back(candidate);
    throw Error(ErrorKind::MissingTensor, "the checkpoint in " + checkpoint_->directory.string() + " has no tensor \"" +
                                              std::string(name) + "\"" + describe_nearest(name, names));
  }
  used_.insert(*found);
  return *found;
}

Tensor WeightStore::parameter(std::string_view name) {
  const std::string found = require(name);
  return graph_->add_parameter(found, *checkpoint_->find(found));
}

const TensorSource& WeightStore::source(std::string_view name) { return *checkpoint_->find(require(name)); }

std::string_view WeightStore::bare(std::string_view name) const {
  if (base_model_prefix_.empty() || !name.starts_with(base_model_prefix_)) return name;
  const std::string_view rest = name.substr(base_model_prefix_.size());
  if (rest.empty()) return rest;
  return rest.front() == '.' ? rest.substr(1) : name;
}

void WeightStore::idle(std::string_view scope, std::string_view tail) {
  // Between dots, so that parts of names are compared as a whole.
  const std::string beginning = bare(scope).empty() ? "." : "." + std::string(bare(scope)) + ".";
  const std::string end = "." + std::string(tail);
  for (const auto& [name, source] : checkpoint_->tensors) {
    const std::string path = "." + std::string(bare(name));
    if (path.starts_with(beginning) && (tail.empty() || path.ends_with(end))) used_.insert(name);
  }
}

std::vector<std::string> WeightStore::unused() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : checkpoint_->tensors)
    if (!used_.contains(name)) names.push_back(name);
  return names;
}

std::string Weights::join(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

Weights Weights::operator/(std::string_view name) const { return Weights(*store_, join(name)); }

std::optional<Tensor> Weights::find(std::string_view name) const {
  return has(name) ? std::optional<Tensor>((*this)[name]) : std::nullopt;
}

Tensor Weights::expect(std::string_view name, const std::vector<std::int64_t>& shape) const {
  const TensorSource& found = source(name);
  if (found.shape != shape)
    throw Error(ErrorKind::ShapeMismatch, "the tensor \"" + join(name) + "\" has the shape " +
                                              shape_to_string(found.shape) + ", config.json asks for " +
                                              shape_to_string(shape));
  return (*this)[name];
}

Tensor Weights::expect_rows(std::string_view name, std::int64_t rows) const {
  const TensorSource& found = source(name);
  if (found.shape.size() != 2 || found.shape[0] != rows)
    throw Error(ErrorKind::ShapeMismatch, "the tensor \"" + join(name) + "\" has the shape " +
                                              shape_to_string(found.shape) + ", config.json asks for a matrix of " +
                                              std::to_string(rows) + " rows");
  return (*this)[name];
}

std::string Weights::node_scope() const { return std::string(store_->bare(path_)); }

}  // namespace onnxport
