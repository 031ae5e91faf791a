#include "cli/calibration_options.h"

#include <utility>

namespace onnxport::cli {

Option calibration_option(const std::string& purpose, Apply apply) {
  return {
      .names = "--calibration",
      .value = "FILE",
      .help = purpose +
              " on this data: JSON lines ({\"text\": ...}, or the model's inputs by name), a safetensors file of the "
              "model's inputs whose first axis counts the samples, or the word random for made-up inputs, which tell "
              "nothing of accuracy.",
      .apply = [apply = std::move(apply)](const std::string& value) { apply(value == "random" ? "" : value); }};
}

}  // namespace onnxport::cli
