#include "cli/architecture_options.h"

namespace onnxport::cli {

Option plugin_option(std::vector<std::filesystem::path>& plugins) {
  return {
      .names = "--plugin",
      .value = "LIBRARY",
      .help = "Shared library of further architectures; may be repeated. Its code is run: name only what you trust.",
      .apply = [&plugins](const std::string& path) { plugins.emplace_back(path); },
      .repeated = true};
}

OptionGroup architecture_options(ArchitectureOptions& options) {
  return {"Models that onnxport does not know",
          {{"--as", "MODEL_TYPE", "Take the checkpoint for one of this model type, whatever its config.json says.",
            "model_type of config.json", store(options.model_type)},
           {"--config-map", "JSON",
            "JSON object, or a file of one, that renames members of config.json: {\"n_layer\": \"num_hidden_layers\"}. "
            "Dots lead into sections. --model-kwargs then sets members, under their new names.",
            "", store(options.config_map)},
           {"--weights-map", "JSON",
            "JSON object, or a file of one, that renames tensors: {\"h.*.attn.*\": \"encoder.layer.*.attention.*\"}. "
            "Each * stands for one or more characters, on both sides. The first rule that fits a name decides; null "
            "drops a tensor.",
            "", store(options.weights_map)},
           plugin_option(options.plugins)}};
}

}  // namespace onnxport::cli
