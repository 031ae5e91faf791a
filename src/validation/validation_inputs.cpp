#include "validation/validation_inputs.h"

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport {
namespace {

/// splitmix64 (Steele et al., 2014): small, deterministic and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::int64_t below(std::int64_t limit) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(limit));
  }
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-23F - 1.0F; }  ///< in [-1, 1)

 private:
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

std::int64_t text_size(const Config& config, std::string_view name, std::int64_t fallback) {
  if (const auto size = config.optional_positive(name)) return *size;
  if (const auto text = config.optional_section("text_config")) return text->positive(name, fallback);
  return fallback;
}

/// How many positions at the end of a row of `length` are padding: another number for each row, at least one is real.
std::int64_t padding_of(std::int64_t row, std::int64_t length) { return std::min(row * (length / 3), length - 1); }

bool ends_with(const std::string& name, std::string_view suffix) { return name.ends_with(suffix); }

Array token_ids(const Value& value, const Config& config, const InputSet& set, Random& random) {
  Array array(DataType::Int64, evaluate(value.type.shape, set.sizes));
  const std::int64_t vocabulary = text_size(config, "vocab_size", 100);
  const std::optional<std::int64_t> padding = config.optional_integer("pad_token_id");
  const std::int64_t length = array.shape().back();
  for (std::int64_t i = 0; i < array.element_count(); ++i) {
    const bool padded = set.padded && padding && *padding >= 0 && *padding < vocabulary &&
                        i % length >= length - padding_of(i / length, length);
    array.mutable_data<std::int64_t>()[i] = padded ? *padding : random.below(vocabulary);
  }
  return array;
}

/// Ones; zeros where padded. The past of a cache is real throughout.
Array mask(const Value& value, const InputSet& set) {
  Array array(DataType::Int64, evaluate(value.type.shape, set.sizes));
  const std::int64_t length = array.shape().back();
  const std::int64_t past = value.type.shape.back().is_symbol() || value.type.shape.back().is_constant()
                                ? 0
                                : set.sizes.at("past_sequence_length");
  for (std::int64_t i = 0; i < array.element_count(); ++i) {
    const std::int64_t padding = set.padded ? padding_of(i / length, length - past) : 0;
    array.mutable_data<std::int64_t>()[i] = i % length < length - padding;
  }
  return array;
}

Array integers_below(const Value& value, const InputSet& set, std::int64_t limit, Random& random) {
  Array array(DataType::Int64, evaluate(value.type.shape, set.sizes));
  for (std::int64_t i = 0; i < array.element_count(); ++i) array.mutable_data<std::int64_t>()[i] = random.below(limit);
  return array;
}

/// Positions after the past.
Array positions(const Value& value, const InputSet& set) {
  Array array(DataType::Int64, evaluate(value.type.shape, set.sizes));
  const std::int64_t length = array.shape().back();
  const auto past = set.sizes.find("past_sequence_length");
  for (std::int64_t i = 0; i < array.element_count(); ++i)
    array.mutable_data<std::int64_t>()[i] = (past == set.sizes.end() ? 0 : past->second) + i % length;
  return array;
}

Array floats(const Value& value, const InputSet& set, Random& random) {
  Array array(DataType::Float32, evaluate(value.type.shape, set.sizes));
  for (std::int64_t i = 0; i < array.element_count(); ++i) array.mutable_data<float>()[i] = random.uniform();
  return array;
}

Array booleans(const Value& value, const InputSet& set, Random& random) {
  Array array(DataType::Bool, evaluate(value.type.shape, set.sizes));
  for (std::int64_t i = 0; i < array.element_count(); ++i) array.mutable_data<std::uint8_t>()[i] = random.below(2) == 1;
  return array;
}

/// The set with the sizes that are the only ones the model takes.
InputSet fitting(const Graph& graph, InputSet set) {
  for (const auto& [symbol, size] : graph.assumed_sizes()) set.sizes.insert_or_assign(symbol, size);
  return set;
}

}  // namespace

DimBindings input_sizes(const InputShapes& shapes, const Config& config) {
  DimBindings sizes{{"batch_size", shapes.batch_size},
                    {"sequence_length", shapes.sequence_length},
                    {"num_choices", shapes.num_choices},
                    {"encoder_sequence_length", shapes.sequence_length},
                    {"decoder_sequence_length", shapes.sequence_length},
                    {"past_sequence_length", shapes.sequence_length},
                    {"past_decoder_sequence_length", shapes.sequence_length},
                    {"num_channels", shapes.num_channels},
                    {"height", shapes.height},
                    {"width", shapes.width}};
  if (const auto channels = config.optional_positive("num_channels")) sizes["num_channels"] = *channels;
  if (config.has("image_size")) {
    // One number for both sides, or (height, width).
    if (config.json().find("image_size")->is_array()) {
      const std::vector<std::int64_t> sides = config.integers("image_size");
      if (sides.size() != 2) config.fail("image_size", "must be a number or [height, width]");
      sizes["height"] = sides[0];
      sizes["width"] = sides[1];
    } else {
      sizes["height"] = sizes["width"] = config.positive("image_size");
    }
  }
  return sizes;
}

std::vector<InputSet> validation_sets(const InputShapes& shapes, const Config& config, bool dynamic_axes) {
  std::vector<InputSet> sets{{input_sizes(shapes, config), false, 1}, {input_sizes(shapes, config), true, 2}};
  if (!dynamic_axes) return sets;
  const auto other_length = [&](std::int64_t difference) {
    return shapes.sequence_length > 2 * difference ? shapes.sequence_length - difference
                                                   : shapes.sequence_length + difference;
  };
  DimBindings& sizes = sets[1].sizes;
  sizes["batch_size"] = shapes.batch_size + 1;
  sizes["num_choices"] = shapes.num_choices > 1 ? shapes.num_choices - 1 : 2;
  for (std::string_view name : {"sequence_length", "decoder_sequence_length"})
    sizes.find(name)->second = other_length(5);
  for (std::string_view name : {"past_sequence_length", "past_decoder_sequence_length"})
    sizes.find(name)->second = other_length(3);
  sizes["encoder_sequence_length"] = other_length(4);
  return sets;
}

NamedArrays make_inputs(const Graph& graph, const Config& config, const InputSet& requested) {
  const InputSet set = fitting(graph, requested);
  Random random(set.seed);
  NamedArrays inputs;
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const std::string& name = value.name;
    Array array;
    if (value.type.data_type == DataType::Float32) {
      array = floats(value, set, random);
    } else if (value.type.data_type == DataType::Bool) {
      array = booleans(value, set, random);
    } else if (ends_with(name, "input_ids")) {
      array = token_ids(value, config, set, random);
    } else if (name == "global_attention_mask") {
      array = integers_below(value, set, 2, random);
    } else if (ends_with(name, "attention_mask")) {
      array = mask(value, set);
    } else if (name == "token_type_ids") {
      array = integers_below(value, set, text_size(config, "type_vocab_size", 2), random);
    } else if (name == "position_ids") {
      array = positions(value, set);
    } else {
      throw Error(ErrorKind::InvalidArgument, "no validation input is known for \"" + name + "\"");
    }
    inputs.emplace_back(name, std::move(array));
  }
  return inputs;
}

std::string describe(const Graph& graph, const InputSet& requested) {
  const InputSet set = fitting(graph, requested);
  std::vector<std::string> seen;
  for (ValueId id : graph.inputs())
    for (const Dim& dim : graph.value(id).type.shape) {
      const std::string name = dim.to_string();
      const auto size = set.sizes.find(name);
      if (size == set.sizes.end()) continue;
      const std::string text = name + " " + std::to_string(size->second);
      if (std::find(seen.begin(), seen.end(), text) == seen.end()) seen.push_back(text);
    }
  std::string text;
  for (const std::string& item : seen) text += (text.empty() ? "" : ", ") + item;
  return text + (set.padded ? ", padded rows" : "");
}

}  // namespace onnxport
