#include "checkpoint/tensorflow_names.h"

#include <algorithm>

namespace onnxport {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// '/$1___$2/' becomes '/$2/': layers that TensorFlow has more of, or names otherwise. As a regular expression replaces
/// matches that do not overlap, the slash behind one match begins none.
std::string drop_layer_prefixes(std::string_view name) {
  std::string result;
  std::size_t position = 0;
  while (position < name.size()) {
    const std::size_t end = name[position] == '/' ? name.find('/', position + 1) : std::string_view::npos;
    if (end != std::string_view::npos) {
      const std::string_view level = name.substr(position + 1, end - position - 1);
      if (const std::size_t mark = level.rfind("___"); mark != std::string_view::npos) {
        result.append("/").append(level.substr(mark + 3)).append("/");
        position = end + 1;
        continue;
      }
    }
    result += name[position++];
  }
  return result;
}

std::vector<std::string> split_levels(std::string_view name) {
  std::vector<std::string> levels;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    levels.emplace_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return levels;
}

bool contains(const std::vector<std::string>& levels, std::string_view level) {
  return std::find(levels.begin(), levels.end(), level) != levels.end();
}

TensorFlowLayout layout_of(const std::vector<std::string>& levels, std::size_t rank) {
  const std::string& last = levels.back();
  if (last == "kernel" && rank == 4) return TensorFlowLayout::Conv2d;
  if (last == "kernel" && rank == 3) return TensorFlowLayout::Conv1d;
  const bool is_transposed = last == "kernel" || last == "pointwise_kernel" || last == "depthwise_kernel" ||
                             contains(levels, "emb_projs") || contains(levels, "out_projs");
  return is_transposed ? TensorFlowLayout::Transposed : TensorFlowLayout::Same;
}

std::string parameter_name(const std::string& variable) {
  if (variable == "kernel" || variable == "embeddings" || variable == "gamma") return "weight";
  if (variable == "beta") return "bias";
  if (variable == "pointwise_kernel") return "pointwise.weight";
  if (variable == "depthwise_kernel") return "depthwise.weight";
  // Statistics of a batch normalization, named as the way back from PyTorch names them: they are buffers there, which
  // from_pretrained(from_tf=True) leaves as a new model has them.
  if (variable == "moving_mean") return "running_mean";
  if (variable == "moving_variance") return "running_var";
  return variable;
}

}  // namespace

PyTorchName pytorch_name(std::string_view variable, std::size_t rank) {
  std::string name(variable);
  replace_all(name, ":0", "");  // the number of the output
  name = drop_layer_prefixes(name);
  replace_all(name, "_._", "/");  // a level of a list
  name.erase(std::unique(name.begin(), name.end(), [](char left, char right) { return left == '/' && right == '/'; }),
             name.end());

  std::vector<std::string> levels = split_levels(name);
  if (levels.size() > 1) levels.erase(levels.begin());
  PyTorchName result;
  result.layout = layout_of(levels, rank);
  levels.back() = parameter_name(levels.back());
  result.name = levels.front();
  for (std::size_t i = 1; i < levels.size(); ++i) result.name += "." + levels[i];
  return result;
}

}  // namespace onnxport
