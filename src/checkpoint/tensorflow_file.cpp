// A Keras HDF5 file is a group for each layer of the model, with the list of its variables, and one dataset for each.
// transformers/modeling_tf_utils.py writes it, transformers/modeling_tf_pytorch_utils.py turns it into PyTorch's.

#include "checkpoint/tensorflow_file.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "checkpoint/hdf5.h"
#include "checkpoint/strided.h"
#include "checkpoint/tensorflow_names.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

using TensorMap = std::map<std::string, TensorSource, std::less<>>;

/// Stands for the model's name where a file has none; no class is called so.
constexpr std::string_view kAnyModel = "tf/";
/// Longer names are refused by transformers, too.
constexpr std::size_t kMaximumName = 2048;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidCheckpoint, message); }

std::string_view level(std::string_view name, int index) {
  for (; index > 0; --index) {
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos) return {};
    name.remove_prefix(slash + 1);
  }
  return name.substr(0, name.find('/'));
}

TensorSource open_dataset(Hdf5File& hdf5, const std::shared_ptr<const MappedFile>& file, const std::string& path) {
  Hdf5Dataset dataset = hdf5.dataset(path);
  TensorSource source;
  source.data_type = dataset.data_type;
  source.shape = std::move(dataset.shape);
  source.file = file;
  source.file_offset = dataset.offset;
  source.bytes =
      file->bytes().subspan(static_cast<std::size_t>(dataset.offset), static_cast<std::size_t>(dataset.size));
  return source;
}

void check_name(std::string_view variable, const std::string& origin) {
  if (variable.size() <= kMaximumName) return;
  fail(origin + ": has a variable whose name is longer than " + std::to_string(kMaximumName) +
       " characters: " + quote_json(variable.substr(0, 60)) + "...");
}

// ---- The first level ------------------------------------------------------------------------------------------------

/// Embeddings that layers share stand outside the model's name: "shared/shared/embeddings:0" of T5,
/// "model.shared/model.shared/embeddings:0" of BART.
bool is_shared_embedding(std::string_view name) {
  const std::string_view last = level(name, 2);
  return level(name, 0) == level(name, 1) && (last == "embeddings:0" || last == "weight:0");
}

/// Whether names begin with the model's ("tf_bert_model/bert/...") or with a layer's ("bert/..."), as they do where a
/// model was built but never called. A layer's own variables tell.
class FirstLevel {
 public:
  void look_at(std::string_view variable, std::string_view layer) {
    if (is_shared_embedding(variable)) return;
    if (!layer.empty() && level(variable, 1) == layer) {
      ++models_;
    } else if (!layer.empty() && level(variable, 0) == layer) {
      ++layers_;
    } else if (variable.starts_with("tf")) {
      names_begin_with_tf_ = true;
    }
  }
  bool is_model() const { return models_ + layers_ > 0 ? models_ >= layers_ : names_begin_with_tf_; }

 private:
  int models_ = 0;
  int layers_ = 0;
  bool names_begin_with_tf_ = false;
};

std::string with_model(const std::string& variable, bool begins_with_model) {
  const bool is_complete =
      begins_with_model || variable.find('/') == std::string::npos || is_shared_embedding(variable);
  return is_complete ? variable : std::string(kAnyModel) + variable;
}

/// The name that save_pretrained gives a variable where there are no layers, in shards and in safetensors files.
std::string without_model(const std::string& variable) {
  const std::size_t slash = variable.find('/');
  const bool is_kept = slash == std::string::npos || variable.find("model.") != std::string::npos;
  return is_kept ? variable : variable.substr(slash + 1);
}

// ---- Axes -----------------------------------------------------------------------------------------------------------

TensorSource in_pytorch_order(TensorSource source, TensorFlowLayout layout) {
  switch (layout) {
    case TensorFlowLayout::Same:
      return source;
    case TensorFlowLayout::Conv1d:
      return transpose(std::move(source), {2, 1, 0});
    case TensorFlowLayout::Conv2d:
      return transpose(std::move(source), {3, 2, 0, 1});
    case TensorFlowLayout::Transposed:
      break;
  }
  std::vector<int> reversed(source.shape.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return transpose(std::move(source), std::move(reversed));
}

/// from_pretrained then gives a tensor the shape that the parameter has. Which that is follows from the name: these are
/// the parameters of all of transformers' models whose shapes differ.
std::optional<std::vector<std::int64_t>> parameter_shape(std::string_view name, const std::vector<std::int64_t>& shape,
                                                         bool is_separable) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  // Conv1D of GPT-2 and its like
  if (last == "bias" && shape.size() == 2 && shape[0] == 1) return std::vector{shape[1]};
  // The parameter of CLIP and its like is a scalar.
  if (last == "logit_scale" && shape == std::vector<std::int64_t>{1}) return std::vector<std::int64_t>{};
  // Separable convolution of ConvBERT: depthwise (1, in, width) once transposed, and a bias that is a column
  if (name.ends_with(".depthwise.weight") && shape.size() == 3)
    return std::vector{shape[0] * shape[1], std::int64_t{1}, shape[2]};
  if (last == "bias" && is_separable && shape.size() == 1) return std::vector{shape[0], std::int64_t{1}};
  // SwiftFormer scales channels of images, which come first in PyTorch.
  if (last.starts_with("layer_scale") && shape.size() == 1 && name.find("encoder.network.") != std::string_view::npos)
    return std::vector{shape[0], std::int64_t{1}, std::int64_t{1}};
  // Norm of a weight-normalized convolution, over another axis
  if (last == "original0" && shape.size() == 3) return std::vector{shape[2], shape[1], shape[0]};
  return std::nullopt;
}

/// torch.nn.utils.parametrizations.weight_norm calls the two parts of a weight so.
void rename_weight_norm(std::string& name) {
  for (const auto& [suffix, parameter] : {std::pair<std::string_view, std::string_view>{"_g", "original0"},
                                          std::pair<std::string_view, std::string_view>{"_v", "original1"}}) {
    const std::string ending = ".weight" + std::string(suffix);
    if (!name.ends_with(ending)) continue;
    name.replace(name.size() - ending.size(), ending.size(), ".parametrizations.weight." + std::string(parameter));
    return;
  }
}

// ---- The prefix -----------------------------------------------------------------------------------------------------

/// "TFGPT2LMHeadModel" and "tfgpt2lm_head_model" alike.
std::string squash(std::string_view name) {
  std::string result;
  for (const char character : name) {
    if (character != '_') result += static_cast<char>(std::tolower(static_cast<unsigned char>(character)));
  }
  return result;
}

/// Whether the class is a model without a head, which alone has no name for itself in PyTorch.
bool is_base_model(std::string_view class_name) {
  const std::string name = squash(class_name);
  return name.ends_with("model") && !name.ends_with("headmodel") && !name.ends_with("headsmodel") &&
         !name.ends_with("encoderdecodermodel");
}

/// Whether the class joins two models of any kind: its encoder is a model without a head then, which has no name for
/// itself in PyTorch ("encoder.bert.embeddings..." becomes "encoder.embeddings...").
bool is_encoder_decoder(std::string_view class_name) { return squash(class_name).ends_with("encoderdecodermodel"); }

/// "tf_bert_model", the name that Keras gives a model of a class, where variables have it.
std::string_view model_name(const TensorFlowVariables& variables) {
  for (const auto& [name, source] : variables) {
    if (name.starts_with("tf") && name.find('/') != std::string::npos) return level(name, 0);
  }
  return {};
}

/// Takes off the level that all names have in common behind `scope`; other names stay as they are.
TensorMap without_prefix(TensorMap tensors, std::string_view scope = {}) {
  std::set<std::string_view> prefixes;
  for (const auto& [name, source] : tensors) {
    if (!name.starts_with(scope)) continue;
    const std::string_view rest = std::string_view(name).substr(scope.size());
    prefixes.insert(rest.substr(0, rest.find('.') + 1));
  }
  if (prefixes.size() != 1 || prefixes.begin()->empty()) return tensors;
  const std::size_t length = prefixes.begin()->size();
  TensorMap result;
  for (auto& [name, source] : tensors) {
    std::string shorter = name;
    if (name.starts_with(scope)) shorter.erase(scope.size(), length);
    result.emplace(std::move(shorter), std::move(source));
  }
  return result;
}

}  // namespace

TensorFlowVariables read_tensorflow_file(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  Hdf5File hdf5(file->bytes(), path.string());
  TensorMap found;
  FirstLevel first_level;
  for (const std::string& layer : hdf5.strings("", "layer_names")) {
    for (const std::string& variable : hdf5.strings(layer, "weight_names")) {
      check_name(variable, path.string());
      first_level.look_at(variable, layer);
      found.insert_or_assign(variable, open_dataset(hdf5, file, layer + "/" + variable));
    }
  }
  refuse_repetition(found, file->bytes().size(), path.string());
  TensorFlowVariables variables;
  for (auto& [name, source] : found) variables.emplace(with_model(name, first_level.is_model()), std::move(source));
  return variables;
}

TensorFlowVariables read_tensorflow_shards(const std::filesystem::path& directory,
                                           const std::map<std::string, std::string>& weight_map) {
  std::map<std::string, std::vector<std::string>> by_file;
  FirstLevel first_level;
  for (const auto& [variable, file] : weight_map) {
    check_name(variable, directory.string());
    first_level.look_at(variable, {});
    by_file[file].push_back(variable);
  }
  TensorFlowVariables variables;
  for (const auto& [name, names] : by_file) {
    const std::shared_ptr<const MappedFile> file = MappedFile::open(directory / name);
    Hdf5File hdf5(file->bytes(), (directory / name).string());
    TensorMap found;
    for (const std::string& variable : names) {
      found.emplace(with_model(variable, first_level.is_model()), open_dataset(hdf5, file, without_model(variable)));
    }
    refuse_repetition(found, file->bytes().size(), (directory / name).string());
    variables.merge(found);
  }
  return variables;
}

TensorFlowVariables restore_first_level(TensorMap tensors) {
  TensorFlowVariables variables;
  for (auto& [name, source] : tensors) {
    const bool is_kept = without_model(name) == name;
    variables.emplace(is_kept ? name : std::string(kAnyModel) + name, std::move(source));
  }
  return variables;
}

TensorMap pytorch_parameters(const TensorFlowVariables& variables, std::string_view class_name,
                             const std::string& origin) {
  TensorMap parameters;
  for (const auto& [variable, source] : variables) {
    PyTorchName translated = pytorch_name(variable, source.shape.size());
    rename_weight_norm(translated.name);
    TensorSource tensor = in_pytorch_order(source, translated.layout);
    const std::size_t parent = variable.rfind('/') + 1;
    const bool is_separable = variables.contains(variable.substr(0, parent) + "depthwise_kernel:0");
    if (auto shape = parameter_shape(translated.name, tensor.shape, is_separable)) {
      tensor = reshape(std::move(tensor), *std::move(shape));
    }
    const auto [place, is_new] = parameters.try_emplace(translated.name, tensor);
    if (!is_new && place->second.shape != tensor.shape) {
      fail(origin + ": has two variables of different shapes for " + quote_json(translated.name));
    }
  }
  const std::string_view name = class_name.empty() ? model_name(variables) : class_name;
  if (is_base_model(name)) return without_prefix(std::move(parameters));
  if (is_encoder_decoder(name)) return without_prefix(std::move(parameters), "encoder.");
  return parameters;
}

}  // namespace onnxport
