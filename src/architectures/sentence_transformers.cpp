// sentence-transformers (Reimers & Gurevych, 2019): an encoder, a pooling of its tokens, and what follows.
#include "architectures/sentence_transformers.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>

#include "nn/layers.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

Json read_json(const fs::path& path) { return parse_json(read_text_file(path), path.string()); }

Config read_config(const fs::path& path) { return Config(read_json(path), path.string()); }

// ---- Pooling --------------------------------------------------------------------------------------------------------

using Pooling = Tensor (*)(Tensor token_embeddings, Tensor attention_mask);

/// One vector of a sequence: that of the token at index[row] of (batch, length, size); index is (batch, 1).
Tensor token_at(Tensor x, Tensor index) {
  const Tensor indices = ops::expand(ops::unsqueeze(index, 2), {x.dim(0), 1, x.dim(2)});
  return ops::squeeze(ops::gather_elements(x, indices, 1), 1);
}

/// (batch, length, 1) of ones and zeros.
Tensor token_weights(Tensor attention_mask) { return ops::unsqueeze(ops::cast(attention_mask, DataType::Float32), 2); }

Tensor weighted_sum(Tensor x, Tensor weights) { return ops::reduce_sum(x * weights, {1}, false); }
Tensor weight_sum(Tensor weights) { return ops::maximum(ops::reduce_sum(weights, {1}, false), 1e-9); }

/// The first token that is not padding, on whichever side the padding stands.
Tensor pool_cls(Tensor x, Tensor mask) { return token_at(x, ops::unsqueeze(ops::arg_max(mask, 1), 1)); }

Tensor pool_max(Tensor x, Tensor mask) {
  const Tensor is_padding = ops::equal(ops::unsqueeze(mask, 2), 0.0);
  return ops::reduce_max(ops::where(is_padding, -std::numeric_limits<double>::infinity(), x), {1}, false);
}

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
  // A common factor of the weights has no effect on the mean, and one that is a power of two none on the rounding; this
  // one keeps the sums within float16.
  constexpr double scale = 0x1p-10;
  const Tensor positions = ops::cast(ops::range(x.graph(), 1, x.dim(1)), DataType::Float32) * scale;
  const Tensor weights = token_weights(mask) * ops::unsqueeze(ops::unsqueeze(positions, 0), 2);
  return weighted_sum(x, weights) / weight_sum(weights);
}

/// The last token that is not padding, on whichever side the padding stands.
Tensor pool_last_token(Tensor x, Tensor mask) {
  const Tensor positions = ops::unsqueeze(ops::range(x.graph(), 0, x.dim(1)), 0);
  const Tensor last = token_at(x, ops::reduce_max(positions * mask, {1}));
  return last * ops::cast(ops::reduce_max(mask, {1}), DataType::Float32);  // zeros where all is padding
}

struct PoolingMode {
  std::string_view name;  ///< in pooling_mode, since sentence-transformers 5
  std::string_view flag;  ///< the boolean that stood in its place before
  Pooling pool;
};
/// In the order in which the results of several flags are concatenated.
constexpr PoolingMode pooling_modes[] = {
    {"cls", "pooling_mode_cls_token", pool_cls},
    {"max", "pooling_mode_max_tokens", pool_max},
    {"mean", "pooling_mode_mean_tokens", pool_mean},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", pool_mean_sqrt_length},
    {"weightedmean", "pooling_mode_weightedmean_tokens", pool_weighted_mean},
    {"lasttoken", "pooling_mode_lasttoken", pool_last_token},
};

std::vector<Pooling> named_poolings(const Config& config) {
  const bool one = config.json().find("pooling_mode")->is_string();
  std::vector<Pooling> chosen;
  for (const std::string& name : one ? std::vector{config.string("pooling_mode")} : config.strings("pooling_mode")) {
    const auto mode = std::find_if(std::begin(pooling_modes), std::end(pooling_modes),
                                   [&](const PoolingMode& known) { return known.name == name; });
    if (mode == std::end(pooling_modes)) config.unsupported("pooling_mode");
    chosen.push_back(mode->pool);
  }
  return chosen;
}

std::vector<Pooling> flagged_poolings(const Config& config) {
  for (const auto& [key, value] : config.json().object()) {
    const bool known = std::any_of(std::begin(pooling_modes), std::end(pooling_modes),
                                   [&key = key](const PoolingMode& mode) { return mode.flag == key; });
    if (key.starts_with("pooling_mode_") && !known && value != Json(false)) config.unsupported(key);
  }
  std::vector<Pooling> chosen;
  for (const PoolingMode& mode : pooling_modes)
    if (config.boolean(mode.flag, false)) chosen.push_back(mode.pool);
  return chosen;
}

std::vector<Pooling> chosen_poolings(const Config& config) {
  const std::vector<Pooling> chosen = config.has("pooling_mode") ? named_poolings(config) : flagged_poolings(config);
  return chosen.empty() ? std::vector<Pooling>{pool_mean} : chosen;
}

// ---- Modules --------------------------------------------------------------------------------------------------------

/// What the modules hand on: sentence-transformers' `features`.
struct Features {
  Tensor token_embeddings;  ///< (batch, length, size)
  Tensor attention_mask;
  std::optional<Tensor> sentence_embedding{};  ///< (batch, size), from the pooling on
};

/// A module as it lies in the file system, while the graph is built.
struct OpenModule {
  const SentenceModule& module;
  fs::path directory;

  /// Prefix of its weights, and the scope of its nodes: "2_Dense".
  std::string name() const { return module.path.empty() ? module.class_name() : module.path.filename().string(); }
  fs::path config_path() const { return directory / "config.json"; }
  /// Its weights under its name, as no name but the file's says whose they are.
  Checkpoint open() const {
    Checkpoint checkpoint = open_checkpoint(directory);
    std::map<std::string, TensorSource, std::less<>> tensors;
    for (auto& [key, source] : checkpoint.tensors) tensors.emplace(name() + "." + key, std::move(source));
    checkpoint.tensors = std::move(tensors);
    return checkpoint;
  }
};

Tensor sentence_embedding(const OpenModule& opened, const Features& features) {
  if (features.sentence_embedding) return *features.sentence_embedding;
  throw Error(ErrorKind::UnsupportedArchitecture, "modules.json has no Pooling before " + opened.module.class_name() +
                                                      ", which takes a sentence embedding");
}

/// `include_prompt: false` leaves out the tokens of a prompt, of which a model that is given nothing but token ids does
/// not know: its sentences have none.
void pool(const OpenModule& opened, Features& features) {
  const std::vector<Pooling> poolings = fs::exists(opened.config_path())
                                            ? chosen_poolings(read_config(opened.config_path()))
                                            : std::vector<Pooling>{pool_mean};
  std::vector<Tensor> pooled;
  for (const Pooling& pooling : poolings) pooled.push_back(pooling(features.token_embeddings, features.attention_mask));
  features.sentence_embedding = pooled.size() == 1 ? pooled.front() : ops::concat(pooled, 1);
}

/// The classes of torch.nn that Dense may name, and what transformers calls them.
Tensor torch_activation(const Config& config, Tensor x) {
  constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"torch.nn.modules.activation.GELU", "gelu"},   {"torch.nn.modules.activation.LeakyReLU", "leaky_relu"},
      {"torch.nn.modules.activation.Mish", "mish"},   {"torch.nn.modules.activation.ReLU", "relu"},
      {"torch.nn.modules.activation.ReLU6", "relu6"}, {"torch.nn.modules.activation.SiLU", "silu"},
      {"torch.nn.modules.activation.Tanh", "tanh"},   {"torch.nn.modules.activation.Sigmoid", "sigmoid"},
      {"torch.nn.modules.linear.Identity", "linear"}};
  const std::string function = config.string("activation_function", "torch.nn.modules.activation.Tanh");
  for (const auto& [torch_name, name] : names)
    if (function == torch_name) return nn::activation(name, x);
  config.unsupported("activation_function");
}

void dense(const OpenModule& opened, Features& features) {
  const Checkpoint checkpoint = opened.open();
  const Config config(checkpoint.config, opened.config_path().string());
  const std::string input = config.string("module_input_name", "sentence_embedding");
  const std::string output = config.string("module_output_name", input);
  const bool of_tokens = input == "token_embeddings";
  if (!of_tokens && input != "sentence_embedding") config.unsupported("module_input_name");
  if (output != input) config.unsupported("module_output_name");

  Tensor x = of_tokens ? features.token_embeddings : sentence_embedding(opened, features);
  WeightStore store(x.graph(), checkpoint, "");
  const Weights w = Weights(store, opened.name()) / "linear";
  std::optional<Tensor> bias;
  if (config.boolean("bias", true)) bias = w["bias"];
  const Tensor weight = w.expect("weight", {config.positive("out_features"), config.positive("in_features")});
  x = torch_activation(config, ops::linear(x, weight, bias));
  if (of_tokens) {
    features.token_embeddings = x;
  } else {
    features.sentence_embedding = x;
  }
}

void layer_norm(const OpenModule& opened, Features& features) {
  const Tensor x = sentence_embedding(opened, features);
  const Checkpoint checkpoint = opened.open();
  WeightStore store(x.graph(), checkpoint, "");
  const Weights w = Weights(store, opened.name()) / "norm";
  features.sentence_embedding = ops::layer_norm(x, w["weight"], w["bias"], 1e-5F);
}

/// x / max(‖x‖, 1e-12), as torch.nn.functional.normalize.
void normalize(const OpenModule& opened, Features& features) {
  const Tensor x = sentence_embedding(opened, features);
  features.sentence_embedding = x / ops::maximum(ops::sqrt(ops::reduce_sum(x * x, {1})), 1e-12);
}

/// Nothing is dropped at inference.
void dropout(const OpenModule&, Features&) {}

void apply(const OpenModule& opened, Features& features) {
  struct Known {
    std::string_view class_name;
    void (*apply)(const OpenModule&, Features&);
  };
  constexpr Known known[] = {
      {"Pooling", pool}, {"Dense", dense}, {"Normalize", normalize}, {"LayerNorm", layer_norm}, {"Dropout", dropout}};
  // A class of the checkpoint's own code may have the name of one of the library's, and do something else.
  const bool own_code = !opened.module.type.starts_with("sentence_transformers.");
  const auto found = std::find_if(std::begin(known), std::end(known),
                                  [&](const Known& k) { return k.class_name == opened.module.class_name(); });
  if (own_code || found == std::end(known))
    throw Error(ErrorKind::UnsupportedArchitecture,
                "the module " + quote_json(opened.module.type) + " of modules.json is not supported");
  const ScopeGuard scope(features.token_embeddings.graph(), opened.name());
  found->apply(opened, features);
}

// ---- The transformer ------------------------------------------------------------------------------------------------

/// Refuses what makes another model of the transformer: a head, or another output than the last hidden state.
void check_transformer_options(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("sentence_") || !name.ends_with("_config.json")) continue;
    const Config config = read_config(entry.path());
    if (config.string("transformer_task", "feature-extraction") != "feature-extraction")
      config.unsupported("transformer_task");
    if (config.string("module_output_name", "token_embeddings") != "token_embeddings")
      config.unsupported("module_output_name");
    const auto modalities = config.optional_section("modality_config");
    const auto text = modalities ? modalities->optional_section("text") : std::nullopt;
    if (!text) continue;
    if (text->string("method", "forward") != "forward") text->unsupported("method");
    const Json* output = text->json().find("method_output_name");
    if (output && *output != Json("last_hidden_state") && *output != Json(Json::Array{"last_hidden_state"}))
      text->unsupported("method_output_name");
  }
}

/// The file that is the encoder of a model that has a decoder too, which SentenceTransformer leaves out, or else the
/// one file of feature-extraction.
Submodel encoder_of(const Architecture& architecture, const Config& config) {
  for (const TaskDefinition& task : architecture.tasks)
    for (Submodel& submodel : task.submodels(config))
      if (submodel.name == "encoder_model") return std::move(submodel);
  const TaskDefinition* task = architecture.find("feature-extraction");
  if (!task) throw Error(ErrorKind::UnsupportedTask, architecture.model_type + " has no task feature-extraction");
  return task->submodels(config).front();
}

/// What SentenceTransformer.encode gives a model beside token ids and mask; nullopt for those. The tokenizers of models
/// with token types (of XLM too, which has another default) make zeros of a single sentence; positions are counted from
/// the beginning of the row, padding or not.
std::optional<Tensor> default_input(Graph& graph, const std::string& name, const Dim& length) {
  if (name == "input_ids" || name == "attention_mask") return std::nullopt;
  const std::int64_t zero = 0;
  if (name == "token_type_ids") return graph.add_constant(Array::int64({1, 1}, {&zero, 1}));
  if (name == "position_ids") return ops::unsqueeze(ops::range(graph, 0, length), 0);
  throw Error(ErrorKind::UnsupportedArchitecture,
              "a sentence-transformers directory cannot hold a transformer with the input " + name);
}

Tensor last_hidden_state(const ModelBuilder& m) {
  for (const GraphOutput& output : m.graph().outputs())
    if (output.name == "last_hidden_state") return Tensor(m.graph(), output.value);
  throw Error(ErrorKind::UnsupportedTask, "the transformer of modules.json gives no last_hidden_state");
}

void build(const fs::path& directory, const Submodel& encoder, ModelBuilder& m) {
  for (const InputSpec& input : encoder.inputs)
    if (const auto value = default_input(m.graph(), input.name, m.input("input_ids").dim(1)))
      m.set_input(input.name, *value);
  encoder.build(m);
  Features features{last_hidden_state(m), m.input("attention_mask")};
  m.graph().clear_outputs();

  const std::vector<SentenceModule> modules = sentence_modules(directory);
  for (std::size_t i = 1; i < modules.size(); ++i) apply({modules[i], directory / modules[i].path}, features);
  if (!features.sentence_embedding)
    throw Error(ErrorKind::UnsupportedArchitecture, "modules.json has no Pooling: there is no sentence embedding");
  m.output("token_embeddings", features.token_embeddings);
  m.output("sentence_embedding", *features.sentence_embedding);
}

/// True if the model of config_sentence_transformers.json (sentence-transformers 5) is the one of that class.
bool is_model_of(const fs::path& directory, std::string_view class_name) {
  const fs::path path = directory / "config_sentence_transformers.json";
  return fs::exists(path) && read_config(path).string("model_type", "SentenceTransformer") == class_name;
}

}  // namespace

bool is_sentence_transformer(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("sentence_") || name == "config_sentence_transformers.json" || name == "modules.json")
      return !is_model_of(directory, "CrossEncoder");
  }
  return false;
}

std::vector<SentenceModule> sentence_modules(const fs::path& directory) {
  const fs::path file = directory / "modules.json";
  if (!fs::exists(file))
    return {{"sentence_transformers.models.Transformer", {}}, {"sentence_transformers.models.Pooling", "1_Pooling"}};
  const auto invalid = [&] {
    return Error(ErrorKind::InvalidCheckpoint,
                 file.string() + ": each module needs a \"type\" and a \"path\" inside the directory");
  };
  const Json json = read_json(file);
  if (!json.is_array() || json.array().empty()) throw invalid();
  std::vector<SentenceModule> modules;
  for (const Json& entry : json.array()) {
    const Json* type = entry.find("type");
    const Json* path = entry.find("path");
    if (!type || !type->is_string() || !path || !path->is_string()) throw invalid();
    const fs::path relative = fs::path(path->string()).lexically_normal();
    if (relative.is_absolute() || std::find(relative.begin(), relative.end(), "..") != relative.end()) throw invalid();
    modules.push_back({type->string(), relative.has_filename() ? relative : relative.parent_path()});
  }
  return modules;
}

fs::path transformer_directory(const fs::path& directory) {
  const SentenceModule first = sentence_modules(directory).front();
  if (first.type.starts_with("sentence_transformers.") && first.class_name() == "Transformer")
    return first.path.empty() ? directory : directory / first.path;
  throw Error(
      ErrorKind::UnsupportedArchitecture,
      "the module " + quote_json(first.type) + " of modules.json is not supported: the first must be a Transformer");
}

BuiltTask build_sentence_transformer(const fs::path& directory, const Checkpoint& checkpoint,
                                     const Architecture& architecture, const DimBindings& sizes,
                                     const OutputRequest& outputs) {
  check_transformer_options(transformer_directory(directory));
  const auto submodels = [&](const Config& config) {
    const Submodel encoder = encoder_of(architecture, config);
    const Shape shape{Dim::symbol("batch_size"), Dim::symbol("sequence_length")};
    return std::vector<Submodel>{{"model",
                                  {{"input_ids", DataType::Int64, shape}, {"attention_mask", DataType::Int64, shape}},
                                  [&directory, encoder](ModelBuilder& m) { build(directory, encoder, m); }}};
  };
  Architecture with_modules = architecture;
  with_modules.tasks = {{"feature-extraction", "SentenceTransformer", submodels}};
  return build_task(checkpoint, with_modules, "feature-extraction", sizes, outputs);
}

}  // namespace onnxport
