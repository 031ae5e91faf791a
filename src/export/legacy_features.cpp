#include "export/legacy_features.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "checkpoint/config.h"
#include "core/nearest.h"
#include "onnx/lowering.h"
#include "onnxport/error.h"

namespace onnxport {

const std::vector<LegacyType>& legacy_types() {
  static const std::vector<LegacyType> types{
      {.model_type = "albert",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering"},
      {.model_type = "bart",
       .features = "default default-with-past causal-lm causal-lm-with-past seq2seq-lm seq2seq-lm-with-past "
                   "sequence-classification question-answering",
       .has_use_cache = true},
      {.model_type = "beit", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "bert",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "big-bird",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "bigbird-pegasus",
       .features = "default default-with-past causal-lm causal-lm-with-past seq2seq-lm seq2seq-lm-with-past "
                   "sequence-classification question-answering",
       .has_use_cache = true},
      {.model_type = "blenderbot",
       .features = "default default-with-past causal-lm causal-lm-with-past seq2seq-lm seq2seq-lm-with-past",
       .has_use_cache = true},
      {.model_type = "blenderbot-small",
       .features = "default default-with-past causal-lm causal-lm-with-past seq2seq-lm seq2seq-lm-with-past",
       .has_use_cache = true},
      {.model_type = "bloom",
       .features =
           "default default-with-past causal-lm causal-lm-with-past sequence-classification token-classification",
       .opset = 13,
       .atol = 0.001,
       .has_use_cache = true},
      {.model_type = "camembert",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "clip", .features = "default", .opset = 14, .atol = 0.0001},
      {.model_type = "codegen", .features = "default causal-lm", .opset = 13, .has_use_cache = true},
      {.model_type = "convbert",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering"},
      {.model_type = "convnext", .features = "default image-classification"},
      {.model_type = "data2vec-text",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering",
       .has_use_cache = true},
      {.model_type = "data2vec-vision", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "deberta",
       .features = "default masked-lm sequence-classification token-classification question-answering",
       .opset = 12},
      {.model_type = "deberta-v2",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering",
       .opset = 12},
      {.model_type = "deit", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "detr", .features = "default object-detection image-segmentation", .opset = 12},
      {.model_type = "distilbert",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering"},
      {.model_type = "electra",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "flaubert",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering"},
      {.model_type = "gpt2",
       .features =
           "default default-with-past causal-lm causal-lm-with-past sequence-classification token-classification",
       .opset = 13,
       .has_use_cache = true},
      {.model_type = "gptj",
       .features = "default default-with-past causal-lm causal-lm-with-past question-answering sequence-classification",
       .opset = 13,
       .has_use_cache = true},
      {.model_type = "gpt-neo",
       .features = "default default-with-past causal-lm causal-lm-with-past sequence-classification",
       .opset = 13,
       .has_use_cache = true},
      {.model_type = "groupvit", .features = "default", .opset = 14, .atol = 0.0001},
      {.model_type = "ibert",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering"},
      {.model_type = "imagegpt", .features = "default image-classification", .has_use_cache = true},
      {.model_type = "layoutlm",
       .features = "default masked-lm sequence-classification token-classification",
       .has_use_cache = true},
      {.model_type = "layoutlmv3",
       .features = "default question-answering sequence-classification token-classification",
       .opset = 12},
      {.model_type = "levit", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "longt5",
       .features = "default default-with-past seq2seq-lm seq2seq-lm-with-past",
       .opset = 13,
       .has_use_cache = true},
      {.model_type = "longformer",
       .features = "default masked-lm multiple-choice question-answering sequence-classification token-classification",
       .opset = 14,
       .atol = 0.0001},
      {.model_type = "marian",
       .features = "default default-with-past seq2seq-lm seq2seq-lm-with-past causal-lm causal-lm-with-past",
       .atol = 0.0001,
       .has_use_cache = true},
      {.model_type = "mbart",
       .features = "default default-with-past causal-lm causal-lm-with-past seq2seq-lm seq2seq-lm-with-past "
                   "sequence-classification question-answering",
       .has_use_cache = true},
      {.model_type = "mobilebert",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering"},
      {.model_type = "mobilenet-v1", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "mobilenet-v2", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "mobilevit", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "mt5",
       .features = "default default-with-past seq2seq-lm seq2seq-lm-with-past",
       .opset = 13,
       .atol = 0.0005,
       .has_use_cache = true},
      {.model_type = "m2m-100",
       .features = "default default-with-past seq2seq-lm seq2seq-lm-with-past",
       .has_use_cache = true},
      {.model_type = "owlvit", .features = "default", .opset = 14, .atol = 0.0001},
      {.model_type = "perceiver", .features = "image-classification masked-lm sequence-classification", .atol = 0.0001},
      {.model_type = "poolformer", .features = "default image-classification", .atol = 0.002},
      {.model_type = "rembert",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .atol = 0.0001,
       .has_use_cache = true},
      {.model_type = "resnet", .features = "default image-classification", .atol = 0.001},
      {.model_type = "roberta",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "roformer",
       .features = "default masked-lm causal-lm sequence-classification token-classification multiple-choice "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "segformer",
       .features = "default image-classification semantic-segmentation",
       .opset = 12,
       .atol = 0.0001},
      {.model_type = "squeezebert",
       .features = "default masked-lm sequence-classification multiple-choice token-classification question-answering"},
      {.model_type = "swin", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "t5",
       .features = "default default-with-past seq2seq-lm seq2seq-lm-with-past",
       .opset = 13,
       .has_use_cache = true},
      {.model_type = "vision-encoder-decoder", .features = "vision2seq-lm"},
      {.model_type = "vit", .features = "default image-classification", .atol = 0.0001},
      {.model_type = "whisper",
       .features = "default default-with-past speech2seq-lm speech2seq-lm-with-past",
       .atol = 0.001,
       .has_use_cache = true},
      {.model_type = "xlm",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering"},
      {.model_type = "xlm-roberta",
       .features = "default masked-lm causal-lm sequence-classification multiple-choice token-classification "
                   "question-answering",
       .has_use_cache = true},
      {.model_type = "yolos", .features = "default object-detection", .opset = 12, .atol = 0.0001}};
  return types;
}

namespace {

/// What transformers 4 calls an axis that Optimum names otherwise. Axes of its cache are as long as past and new
/// tokens, also those of the inputs.
std::string legacy_axis(const std::string& name) {
  static const std::map<std::string, std::string, std::less<>> names{
      {"batch_size", "batch"},
      {"num_choices", "choice"},
      {"encoder_sequence_length", "encoder_sequence"},
      {"decoder_sequence_length", "decoder_sequence"},
      {"sequence_length", "sequence"},
      {"past_sequence_length", "past_sequence + sequence"},
      {"past_sequence_length + sequence_length", "past_sequence + sequence"}};
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

std::vector<OnnxValue> with_legacy_axes(std::vector<OnnxValue> values) {
  for (OnnxValue& value : values)
    for (auto& [axis, name] : value.axes) name = legacy_axis(name);
  return values;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> all_features() {
  std::set<std::string> names;
  for (const LegacyType& type : legacy_types())
    for (const std::string& feature : features_of(type)) names.insert(feature);
  return {names.begin(), names.end()};
}

/// The model type as FeaturesManager spells it.
std::string with_hyphens(std::string_view model_type) {
  std::string name(model_type);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace

const LegacyType& legacy_type(std::string_view model_type) {
  const std::string name = with_hyphens(model_type);
  std::vector<std::string> known;
  for (const LegacyType& type : legacy_types()) {
    if (type.model_type == name) return type;
    known.emplace_back(type.model_type);
  }
  throw Error(ErrorKind::UnsupportedArchitecture, name + " is not supported yet. Only " + join(known) +
                                                      " are supported. Without --export_with_transformers, " +
                                                      "all model types of `onnxport list` are.");
}

std::vector<std::string> features_of(const LegacyType& type) {
  std::vector<std::string> names;
  std::istringstream words{std::string(type.features)};
  for (std::string word; words >> word;) names.push_back(word);
  return names;
}

void check_feature(const LegacyType& type, std::string_view model_type, std::string_view feature) {
  const std::vector<std::string> features = features_of(type);
  if (std::find(features.begin(), features.end(), feature) != features.end()) return;
  const std::vector<std::string> all = all_features();
  if (std::find(all.begin(), all.end(), feature) == all.end())
    throw Error(ErrorKind::UnsupportedTask, "Unknown task: " + std::string(feature) + describe_nearest(feature, all) +
                                                ". Possible values for " + std::string(model_type) +
                                                " are: " + join(features));
  throw Error(ErrorKind::UnsupportedTask, std::string(model_type) + " doesn't support feature " + std::string(feature) +
                                              ". Supported values are: " + join(features));
}

namespace {

/// The feature, if the model type of the config has it.
const std::string& checked_feature(const Json& config, const std::string& feature) {
  const std::string model_type = Config(config).string("model_type");
  check_feature(legacy_type(model_type), model_type, feature);
  return feature;
}

}  // namespace

LegacyOnnxConfig::LegacyOnnxConfig(const Json& config, const std::string& feature)
    : OnnxConfig(config, checked_feature(config, feature), true), type_(&legacy_type(model_type())), feature_(feature) {
  if (feature == "default-with-past")
    throw Error(ErrorKind::UnsupportedTask,
                "--export_with_transformers is not supported for default-with-past; causal-lm-with-past has the cache, "
                "too");
  if (files().size() > 1)
    throw Error(ErrorKind::UnsupportedTask,
                "--export_with_transformers is not supported for " + model_type() +
                    " with the past: encoder and decoder with a cache make several files. Leave it out, or choose " +
                    feature.substr(0, feature.find("-with-past")));
}

std::vector<OnnxValue> LegacyOnnxConfig::inputs(std::string_view file) const {
  std::vector<OnnxValue> values = with_legacy_axes(OnnxConfig::inputs(file));
  // Inputs that only Optimum has.
  const bool has_token_types = type_->model_type != "flaubert" && type_->model_type != "longformer";
  std::erase_if(values, [&](const OnnxValue& value) {
    return value.name == "position_ids" || (value.name == "token_type_ids" && !has_token_types);
  });
  if (std::any_of(values.begin(), values.end(), [](const auto& value) { return value.name == "decoder_input_ids"; }))
    values.push_back({"decoder_attention_mask", {{0, "batch"}, {1, "decoder_sequence"}}});
  return values;
}

std::vector<OnnxValue> LegacyOnnxConfig::outputs(std::string_view file) const {
  std::vector<OnnxValue> values = with_legacy_axes(OnnxConfig::outputs(file));
  if (type_->model_type == "longformer" && feature_ == "default") values.push_back({"pooler_output", {{0, "batch"}}});
  return values;
}

int LegacyOnnxConfig::default_onnx_opset() const { return std::max(type_->opset, onnx::minimum_opset); }

Json LegacyOnnxConfig::values_override() const {
  Json overrides = Json::Object{};
  if (type_->has_use_cache) overrides.set("use_cache", feature_.ends_with("-with-past"));
  return overrides;
}

}  // namespace onnxport
