#include "nn/rope.h"

#include <cmath>

#include "onnxport/error.h"

namespace onnxport::nn {
namespace {

/// theta^(-2i / size), rounded where transformers rounds to float32.
std::vector<float> default_frequencies(std::int64_t size, double theta) {
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < size; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(size);
    frequencies.push_back(1.0F / static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
  }
  return frequencies;
}

}  // namespace

ops::Rotation rotation(Tensor position_ids, std::int64_t size, const RopeParameters& rope) {
  const ScopeGuard scope(position_ids.graph(), "rotary_emb");
  if (rope.type != "default")
    throw Error(ErrorKind::UnsupportedArchitecture,
                "rope_scaling of the type \"" + rope.type + "\" of config.json is not supported");
  return ops::rotary_angles(position_ids, default_frequencies(size, rope.theta));
}

}  // namespace onnxport::nn
