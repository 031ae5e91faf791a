#include "architectures/vision/image_encoder_common.h"

namespace onnxport {
namespace {

std::vector<InputSpec> input_specs() {
  return {{"pixel_values",
           DataType::Float32,
           {Dim::symbol("batch_size"), Dim::symbol("num_channels"), Dim::symbol("height"), Dim::symbol("width")}}};
}

const std::string& output_name(const std::string& task) {
  static const std::map<std::string, std::string> outputs{
      {"feature-extraction", "last_hidden_state"}, {"image-classification", "logits"}, {"masked-im", "reconstruction"}};
  return outputs.at(task);
}

void build(const ImageEncoder& encoder, ModelBuilder& m) {
  const Tensor hidden_states = encoder.encode(m);
  if (m.task != "feature-extraction") {
    m.offer("last_hidden_state", [hidden_states] { return hidden_states; });
  } else if (encoder.pooler) {
    m.offer("pooler_output", [&m, hidden_states, pooler = encoder.pooler] { return pooler(m, hidden_states); });
  }
  const ImageEncoder::Head& head = encoder.heads.at(m.task);
  m.output(output_name(m.task), head ? head(m, hidden_states) : hidden_states);
}

}  // namespace

void register_image_encoder(Registry& registry, ImageEncoder encoder) {
  static const std::map<std::string, std::string> suffixes{{"feature-extraction", "Model"},
                                                           {"image-classification", "ForImageClassification"},
                                                           {"masked-im", "ForMaskedImageModeling"}};
  Architecture architecture{encoder.model_type, encoder.base_model_prefix, {}, encoder.aliases, encoder.defaults};
  encoder.heads.try_emplace("feature-extraction");
  for (const auto& [task, head] : encoder.heads)
    architecture.tasks.push_back(
        {task, encoder.class_prefix + suffixes.at(task), [encoder, task = task](const Config&) {
           return std::vector<Submodel>{{"model",
                                         input_specs(),
                                         [encoder](ModelBuilder& m) { build(encoder, m); },
                                         {{output_name(task), {{0, Dim::symbol("batch_size")}}}}}};
         }});
  registry.add(std::move(architecture));
}

ImageSize image_size(const Config& config, std::string_view name) {
  const Json* value = config.json().find(name);
  if (!value || !value->is_array()) return {config.positive(name), config.positive(name)};
  const std::vector<std::int64_t> sizes = config.integers(name);
  if (sizes.size() != 2 || sizes[0] < 1 || sizes[1] < 1) config.fail(name, "must be one size, or height and width");
  return {sizes[0], sizes[1]};
}

Tensor fixed_pixel_values(ModelBuilder& m) {
  const Tensor pixel_values = m.input("pixel_values");
  const ImageSize size = image_size(m.config, "image_size");
  return ops::assume_shape(pixel_values,
                           {pixel_values.dim(0), m.config.positive("num_channels"), size.height, size.width});
}

Tensor patch_embeddings(Tensor pixel_values, Weights w) {
  const std::vector<std::int64_t>& kernel = w.source("weight").shape;
  const Tensor x = nn::conv(pixel_values, w, {.strides = {kernel.begin() + 2, kernel.end()}});
  return ops::transpose(ops::reshape(x, {x.dim(0), x.dim(1), x.dim(2) * x.dim(3)}), {0, 2, 1});
}

Tensor prepend_token(Tensor x, Weights w, std::string_view name) {
  return ops::concat({ops::expand(w[name], {x.dim(0), 1, x.dim(2)}), x}, 1);
}

Tensor pixel_shuffle(Tensor x, std::int64_t scale) {
  const Dim &batch = x.dim(0), &height = x.dim(2), &width = x.dim(3);
  const std::int64_t channels = x.dim(1).constant() / (scale * scale);
  const Tensor split = ops::reshape(x, {batch, channels, scale, scale, height, width});
  return ops::reshape(ops::transpose(split, {0, 1, 4, 2, 5, 3}), {batch, channels, height * scale, width * scale});
}

}  // namespace onnxport
