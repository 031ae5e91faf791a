#include "architectures/sentence_transformers.h"

#include <algorithm>

#include "nn/layers.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

struct Module {
  std::string type;  ///< "Transformer", "Pooling", ...: the last part of the Python class' name
  fs::path path;
};

Json read_json(const fs::path& path) { return parse_json(read_text_file(path), path.string()); }

/// The modules of modules.json; a directory without one is a transformer with mean pooling, as SentenceTransformer has
/// it.
std::vector<Module> read_modules(const fs::path& directory) {
  const fs::path file = directory / "modules.json";
  if (!fs::exists(file)) return {{"Transformer", directory}, {"Pooling", {}}};
  const Json json = read_json(file);
  const auto invalid = [&] {
    return Error(ErrorKind::InvalidCheckpoint,
                 file.string() + ": each module needs a \"type\" and a \"path\" inside the directory");
  };
  if (!json.is_array()) throw invalid();
  std::vector<Module> modules;
  for (const Json& entry : json.array()) {
    const Json* type = entry.find("type");
    const Json* path = entry.find("path");
    if (!type || !type->is_string() || !path || !path->is_string()) throw invalid();
    const fs::path relative(path->string());
    if (relative.is_absolute() || std::find(relative.begin(), relative.end(), "..") != relative.end()) throw invalid();
    modules.push_back({type->string().substr(type->string().rfind('.') + 1), directory / relative});
  }
  if (modules.empty()) throw invalid();
  return modules;
}

Config module_config(const Module& module) {
  const fs::path file = module.path / "config.json";
  return Config(read_json(file), file.string());
}

using Pooling = Tensor (*)(Tensor token_embeddings, Tensor attention_mask);

/// (batch, length, 1) of ones and zeros.
Tensor token_weights(Tensor attention_mask) { return ops::unsqueeze(ops::cast(attention_mask, DataType::Float32), 2); }

Tensor pool_cls(Tensor x, Tensor) { return ops::select(x, 1, 0); }

Tensor pool_max(Tensor x, Tensor mask) {
  return ops::reduce_max(ops::where(ops::equal(ops::unsqueeze(mask, 2), 0.0), -1e9, x), {1}, false);
}

/// Sum of the weighted tokens over the sum of `weights`, or over its square root.
Tensor weighted_sum(Tensor x, Tensor weights) { return ops::reduce_sum(x * weights, {1}, false); }
Tensor weight_sum(Tensor weights) { return ops::maximum(ops::reduce_sum(weights, {1}, false), 1e-9); }

Tensor pool_mean(Tensor x, Tensor mask) {
  const Tensor weights = token_weights(mask);
  return weighted_sum(x, weights) / weight_sum(weights);
}

Tensor pool_mean_sqrt_length(Tensor x, Tensor mask) {
  const Tensor weights = token_weights(mask);
  return weighted_sum(x, weights) / ops::sqrt(weight_sum(weights));
}

/// Position-weighted mean of SGPT (Muennighoff, 2022): token i counts i + 1 times.
Tensor pool_weighted_mean(Tensor x, Tensor mask) {
  const Tensor positions = ops::cast(ops::range(x.graph(), 1, x.dim(1)), DataType::Float32);
  const Tensor weights = token_weights(mask) * ops::unsqueeze(ops::unsqueeze(positions, 0), 2);
  return weighted_sum(x, weights) / weight_sum(weights);
}

/// The last token that is not padding, on whichever side the padding stands.
Tensor pool_last_token(Tensor x, Tensor mask) {
  const Tensor positions = ops::unsqueeze(ops::range(x.graph(), 0, x.dim(1)), 0);
  const Tensor last = ops::reduce_max(positions * mask, {1});
  const Tensor index = ops::expand(ops::unsqueeze(last, 2), {x.dim(0), 1, x.dim(2)});
  return ops::squeeze(ops::gather_elements(x, index, 1), 1) * ops::cast(ops::reduce_max(mask, {1}), DataType::Float32);
}

struct PoolingMode {
  std::string_view field;  ///< in 1_Pooling/config.json
  Pooling pool;
};
/// In the order in which sentence-transformers concatenates them.
constexpr PoolingMode pooling_modes[] = {
    {"pooling_mode_cls_token", pool_cls},
    {"pooling_mode_max_tokens", pool_max},
    {"pooling_mode_mean_tokens", pool_mean},
    {"pooling_mode_mean_sqrt_len_tokens", pool_mean_sqrt_length},
    {"pooling_mode_weightedmean_tokens", pool_weighted_mean},
    {"pooling_mode_lasttoken", pool_last_token},
};

Tensor pooling(const Module& module, Tensor token_embeddings, Tensor attention_mask) {
  if (module.path.empty()) return pool_mean(token_embeddings, attention_mask);
  const Config config = module_config(module);
  std::vector<Tensor> pooled;
  for (const PoolingMode& mode : pooling_modes)
    if (config.boolean(mode.field, false)) pooled.push_back(mode.pool(token_embeddings, attention_mask));
  if (pooled.empty())
    throw Error(ErrorKind::UnsupportedArchitecture,
                module.path.string() + "/config.json chooses no pooling mode that onnxport knows");
  return pooled.size() == 1 ? pooled.front() : ops::concat(pooled, 1);
}

Tensor dense(const Module& module, Tensor x) {
  const Config config = module_config(module);
  const auto tensors = read_safetensors(module.path / "model.safetensors");
  const std::string scope = module.path.filename().string();
  const auto parameter = [&](const std::string& name) {
    const auto found = tensors.find("linear." + name);
    if (found == tensors.end())
      throw Error(ErrorKind::MissingTensor,
                  (module.path / "model.safetensors").string() + " has no tensor \"linear." + name + "\"");
    return x.graph().add_parameter(scope + ".linear." + name, found->second);
  };
  std::optional<Tensor> bias;
  if (config.boolean("bias", true)) bias = parameter("bias");
  x = ops::linear(x, parameter("weight"), bias);
  const std::string function = config.string("activation_function", "torch.nn.modules.activation.Tanh");
  const std::string name = function.substr(function.rfind('.') + 1);
  if (name == "Identity") return x;
  if (name == "Tanh") return ops::tanh(x);
  if (name == "GELU") return ops::gelu(x);
  if (name == "ReLU") return ops::relu(x);
  throw Error(ErrorKind::UnsupportedArchitecture,
              module.path.string() + "/config.json: the activation_function " + function + " is not supported");
}

/// x / max(‖x‖, 1e-12), as torch.nn.functional.normalize.
Tensor normalize(Tensor x) { return x / ops::maximum(ops::sqrt(ops::reduce_sum(x * x, {1})), 1e-12); }

Tensor apply(const Module& module, Tensor embedding, Tensor token_embeddings, Tensor attention_mask) {
  Graph& graph = embedding.graph();
  const ScopeGuard scope(graph, module.path.empty() ? module.type : module.path.filename().string());
  if (module.type == "Pooling") return pooling(module, token_embeddings, attention_mask);
  if (module.type == "Dense") return dense(module, embedding);
  if (module.type == "Normalize") return normalize(embedding);
  if (module.type == "Dropout") return embedding;  // nothing happens at inference
  throw Error(ErrorKind::UnsupportedArchitecture, "the module " + module.type + " of modules.json is not supported");
}

}  // namespace

bool is_sentence_transformer(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("sentence_") || name == "config_sentence_transformers.json" || name == "modules.json")
      return true;
  }
  return false;
}

fs::path transformer_directory(const fs::path& directory) {
  const Module first = read_modules(directory).front();
  if (first.type != "Transformer")
    throw Error(ErrorKind::UnsupportedArchitecture,
                "the module " + first.type + " of modules.json is not supported: the first must be a Transformer");
  return first.path.filename().empty() ? first.path.parent_path() : first.path;
}

BuiltTask build_sentence_transformer(const fs::path& directory, const Checkpoint& checkpoint,
                                     const Architecture& architecture, const DimBindings& sizes) {
  // token_type_ids are no input: sentence-transformers leaves them to the model, which takes zeros.
  const auto extend = [&](ModelBuilder& m, const std::function<void(ModelBuilder&)>& encode) {
    const std::int64_t zero = 0;
    m.set_input("token_type_ids", m.graph().add_constant(Array::int64({1, 1}, {&zero, 1})));
    encode(m);
    const Tensor token_embeddings(m.graph(), m.graph().outputs().front().value);
    m.graph().clear_outputs();
    Tensor embedding = token_embeddings;
    const std::vector<Module> modules = read_modules(directory);
    for (std::size_t i = 1; i < modules.size(); ++i)
      embedding = apply(modules[i], embedding, token_embeddings, m.input("attention_mask"));
    if (embedding.rank() != 2) throw Error(ErrorKind::UnsupportedArchitecture, "modules.json has no Pooling module");
    m.output("token_embeddings", token_embeddings);
    m.output("sentence_embedding", embedding);
  };

  const TaskDefinition* base = architecture.find("feature-extraction");
  if (!base) throw Error(ErrorKind::UnsupportedTask, architecture.model_type + " has no task feature-extraction");
  Architecture wrapped = architecture;
  wrapped.tasks = {{"feature-extraction", base->class_name, [&](const Config& config) {
                      std::vector<Submodel> submodels = base->submodels(config);
                      for (Submodel& submodel : submodels) {
                        std::erase_if(submodel.inputs,
                                      [](const InputSpec& input) { return input.name == "token_type_ids"; });
                        submodel.build = [&extend, encode = submodel.build](ModelBuilder& m) { extend(m, encode); };
                      }
                      return submodels;
                    }}};
  return build_task(checkpoint, wrapped, "feature-extraction", sizes);
}

}  // namespace onnxport
