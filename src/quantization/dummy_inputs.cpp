#include "quantization/dummy_inputs.h"

#include <algorithm>
#include <optional>

#include "onnx/merge_decoders.h"

namespace onnxport {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool is_made_by_rules(const ModelInput& input) {
  return input.name == "token_type_ids" || input.name == "position_ids";
}

/// The section that tells of images: CLIP and its like keep it apart.
Config image_config(const Config& config) {
  const std::optional<Config> vision = config.optional_section("vision_config");
  return vision && !config.has("image_size") ? *vision : config;
}

}  // namespace

DummyInputs::DummyInputs(const std::vector<ModelInput>& inputs, const Config& config, const TextLimits& limits,
                         std::int64_t length)
    : inputs_(inputs), vocab_size_(limits.vocab_size.value_or(1)) {
  // A table of positions may be shorter than asked for; where positions are computed, the number is large.
  const std::optional<std::int64_t> positions =
      limits.max_length ? limits.max_length : config.optional_positive("max_position_embeddings");
  length_ = std::max<std::int64_t>(1, std::min(length, positions.value_or(length)));
  const bool has_past = std::any_of(inputs.begin(), inputs.end(),
                                    [](const ModelInput& input) { return input.name.starts_with("past_key_values"); });
  if (has_past) past_length_ = length_ / 2;
  length_ -= past_length_;
  has_branches_ = std::any_of(inputs.begin(), inputs.end(),
                              [](const ModelInput& input) { return input.name == onnx::use_cache_branch; });

  const Config images = image_config(config);
  channels_ = images.positive("num_channels", channels_);
  const Json* size = images.json().find("image_size");
  if (size != nullptr && size->is_array()) {
    const std::vector<std::int64_t> sizes = images.integers("image_size");
    if (sizes.size() != 2 || sizes[0] < 1 || sizes[1] < 1) images.fail("image_size", "is not a height and a width");
    height_ = sizes[0];
    width_ = sizes[1];
  } else {
    height_ = width_ = images.positive("image_size", height_);
  }
}

void DummyInputs::rewind() {
  generator_.seed();
  use_cache_ = true;
}

NamedArrays DummyInputs::next() {
  if (has_branches_) use_cache_ = !use_cache_;
  NamedArrays arrays;
  for (const ModelInput& input : inputs_)
    if (!is_made_by_rules(input)) arrays.emplace_back(input.name, make(input));
  return arrays;
}

std::int64_t DummyInputs::size_of(std::string_view axis) const {
  if (const std::size_t plus = axis.find(" + "); plus != std::string_view::npos)
    return size_of(axis.substr(0, plus)) + size_of(axis.substr(plus + 3));
  if (contains(axis, "batch")) return 1;
  if (contains(axis, "channels")) return channels_;
  if (contains(axis, "height")) return height_;
  if (contains(axis, "width")) return width_;
  if (contains(axis, "past")) return use_cache_ ? past_length_ : 0;
  return use_cache_ ? length_ : length_ + past_length_;
}

Array DummyInputs::make(const ModelInput& input) {
  std::vector<std::int64_t> shape = input.shape;
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    if (shape[axis] < 0) shape[axis] = axis == 0 ? 1 : size_of(input.axis_names[axis]);
  const bool is_mask = contains(input.name, "mask");
  if (is_floating_point(input.data_type) && !is_mask) {
    Array array(DataType::Float32, shape);
    std::generate_n(array.mutable_data<float>(), array.element_count(), [&] { return normal(); });
    return array;
  }
  // Boxes, languages and whatever else is counted: 0 is always one of them.
  Array array(DataType::Int64, shape);
  const bool is_flag = input.name == onnx::use_cache_branch;
  const bool is_text = input.name.ends_with("input_ids");
  std::generate_n(array.mutable_data<std::int64_t>(), array.element_count(), [&]() -> std::int64_t {
    if (is_text) return static_cast<std::int64_t>(generator_() % static_cast<std::uint64_t>(vocab_size_));
    return is_mask || (is_flag && use_cache_) ? 1 : 0;
  });
  return array;
}

/// Nearly: the sum of twelve uniform numbers.
float DummyInputs::normal() {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(generator_() >> 11) * 0x1p-53;
  return static_cast<float>(sum);
}

}  // namespace onnxport
