#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "architectures/registry.h"
#include "nn/layers.h"

namespace onnxport {

/// An encoder of images, given as pixel_values, with the tasks that its family has. Every head is given what `encode`
/// returns, and returns logits (image-classification) or the image (masked-im).
struct ImageEncoder {
  using Head = std::function<Tensor(ModelBuilder&, Tensor hidden_states)>;

  std::string model_type;
  std::string base_model_prefix;
  std::string class_prefix;  ///< "ViT" of ViTForImageClassification
  std::function<Tensor(ModelBuilder&)> encode{};
  std::map<std::string, Head> heads{};  ///< by task; feature-extraction needs none
  std::vector<WeightStore::Alias> aliases{};
  Json::Object defaults{};  ///< see Architecture
  Head pooler{};            ///< of the base class, which feature-extraction returns if it is asked to
};

void register_image_encoder(Registry& registry, ImageEncoder encoder);

struct ImageSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
};
/// A size of the config, one number for a square or [height, width]: image_size, patch_size.
ImageSize image_size(const Config& config, std::string_view name);

/// The input pixel_values of a model that takes images of one size only (image_size, num_channels), although its axes
/// are declared dynamic as in Optimum's exports.
Tensor fixed_pixel_values(ModelBuilder& m);
/// A convolution without overlap as a sequence: (batch, height / patch_height * width / patch_width, channels).
Tensor patch_embeddings(Tensor pixel_values, Weights w);
/// x with the token `w[name]` (1, 1, size) before each row.
Tensor prepend_token(Tensor x, Weights w, std::string_view name);
/// torch.nn.PixelShuffle: (batch, channels * scale², height, width) to (batch, channels, height * scale, width *
/// scale).
Tensor pixel_shuffle(Tensor x, std::int64_t scale);

}  // namespace onnxport
