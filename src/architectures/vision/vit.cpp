// ViT (Dosovitskiy et al., 2020): HF's ViTModel and its heads.
#include "architectures/text/text_encoder_common.h"
#include "architectures/vision/image_encoder_common.h"

namespace onnxport {
namespace {

Tensor norm(ModelBuilder& m, Tensor x, Weights w) { return nn::layer_norm(x, w, m.config.number("layer_norm_eps")); }

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor patches = patch_embeddings(fixed_pixel_values(m), w / "patch_embeddings.projection");
  return prepend_token(patches, w, "cls_token") + w["position_embeddings"];
}

Tensor layer(ModelBuilder& m, Weights w, Tensor x) {
  const auto scope = w.scope();
  const Weights attention = w / "attention.attention";
  const Tensor normal = norm(m, x, w / "layernorm_before");
  const Tensor context = nn::attention({.query = nn::linear(normal, attention / "query"),
                                        .key = nn::linear(normal, attention / "key"),
                                        .value = nn::linear(normal, attention / "value"),
                                        .num_heads = m.config.positive("num_attention_heads")});
  x = x + nn::linear(context, w / "attention.output.dense");
  const Tensor h = nn::linear(norm(m, x, w / "layernorm_after"), w / "intermediate.dense");
  return x + nn::linear(nn::activation(m.config.string("hidden_act"), h), w / "output.dense");
}

Tensor encode(ModelBuilder& m) {
  if (m.task == "feature-extraction") (m.base() / "pooler").idle();
  if (m.task == "masked-im") m.base().idle("mask_token");
  Tensor x = embeddings(m, m.base() / "embeddings");
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = layer(m, m.base() / "encoder.layer" / i, m.hidden_state(x));
  return norm(m, m.hidden_state(x), m.base() / "layernorm");
}

Tensor classification(ModelBuilder& m, Tensor x) { return heads::classifier(m, heads::first_token(x)); }

/// ViTPooler.
Tensor pooler(ModelBuilder& m, Tensor x) {
  const Tensor dense = nn::linear(heads::first_token(x), m.base() / "pooler.dense");
  return nn::activation(m.config.string("pooler_act"), dense);
}

/// The image that the patches stand for, as SimMIM (Xie et al., 2021) reconstructs it.
Tensor reconstruction(ModelBuilder& m, Tensor x) {
  const ImageSize image = image_size(m.config, "image_size");
  const ImageSize patch = image_size(m.config, "patch_size");
  const Tensor patches = ops::transpose(ops::slice(x, 1, 1, x.dim(1)), {0, 2, 1});
  const Tensor grid =
      ops::reshape(patches, {patches.dim(0), patches.dim(1), image.height / patch.height, image.width / patch.width});
  return pixel_shuffle(nn::conv(grid, m.root() / "decoder.0"), m.config.positive("encoder_stride"));
}

}  // namespace

void register_vit(Registry& registry) {
  register_image_encoder(registry, {.model_type = "vit",
                                    .base_model_prefix = "vit",
                                    .class_prefix = "ViT",
                                    .encode = encode,
                                    .heads = {{"image-classification", classification}, {"masked-im", reconstruction}},
                                    .defaults = {{"hidden_size", 768},
                                                 {"num_hidden_layers", 12},
                                                 {"num_attention_heads", 12},
                                                 {"hidden_act", "gelu"},
                                                 {"layer_norm_eps", 1e-12},
                                                 {"image_size", 224},
                                                 {"patch_size", 16},
                                                 {"num_channels", 3},
                                                 {"encoder_stride", 16},
                                                 {"pooler_act", "tanh"}},
                                    .pooler = pooler});
}

}  // namespace onnxport
