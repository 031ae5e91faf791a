#include "runtime/model_inputs.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

// ---- Limits of the config -------------------------------------------------------------------------------------------

enum class Positions {
  Absolute,      ///< a table with a row for each position
  AfterPadding,  ///< ... whose first padding_idx + 1 rows no token has
};

struct Family {
  std::string_view model_type;
  Positions positions;
  std::int64_t padding_idx = 0;  ///< pad_token_id of configs that leave it out
};

/// Models whose rows cannot be longer than their table of positions. Of other model types nothing is claimed: their
/// positions are relative, rotary or computed, and their max_position_embeddings is what they were trained with.
constexpr auto families = std::to_array<Family>({
    {"albert", Positions::Absolute},
    {"bert", Positions::Absolute},
    {"bert-generation", Positions::Absolute},
    {"big_bird", Positions::Absolute},
    {"camembert", Positions::AfterPadding, 1},
    {"canine", Positions::Absolute},
    {"clip_text_model", Positions::Absolute},
    {"convbert", Positions::Absolute},
    {"data2vec-text", Positions::AfterPadding, 1},
    {"deberta", Positions::Absolute},
    {"deberta-v2", Positions::Absolute},
    {"distilbert", Positions::Absolute},
    {"electra", Positions::Absolute},
    {"ernie", Positions::Absolute},
    {"esm", Positions::AfterPadding, 1},
    {"flaubert", Positions::Absolute},
    {"fnet", Positions::Absolute},
    {"gpt2", Positions::Absolute},
    {"gpt_neo", Positions::Absolute},
    {"ibert", Positions::AfterPadding, 1},
    {"layoutlm", Positions::Absolute},
    {"lilt", Positions::AfterPadding, 0},
    {"longformer", Positions::AfterPadding, 1},
    {"luke", Positions::AfterPadding, 1},
    {"markuplm", Positions::AfterPadding, 0},
    {"megatron-bert", Positions::Absolute},
    {"mobilebert", Positions::Absolute},
    {"mpnet", Positions::AfterPadding, 1},
    {"mra", Positions::Absolute},
    {"nystromformer", Positions::Absolute},
    {"opt", Positions::Absolute},
    {"rembert", Positions::Absolute},
    {"roberta", Positions::AfterPadding, 1},
    {"roberta-prelayernorm", Positions::AfterPadding, 1},
    {"roc_bert", Positions::Absolute},
    {"roformer", Positions::Absolute},
    {"splinter", Positions::Absolute},
    {"squeezebert", Positions::Absolute},
    {"xlm", Positions::Absolute},
    {"xlm-roberta", Positions::AfterPadding, 1},
    {"xlm-roberta-xl", Positions::AfterPadding, 1},
    {"xmod", Positions::AfterPadding, 1},
    {"yoso", Positions::Absolute},
});

/// DeBERTa and ESM have their table of positions as an option.
bool has_table(const Config& config, std::string_view model_type) {
  if (model_type.starts_with("deberta")) return config.boolean("position_biased_input", true);
  if (model_type == "esm") return config.string("position_embedding_type", "absolute") == "absolute";
  return true;
}

std::int64_t padding_index(const Config& config, const Family& family) {
  // MPNet counts from 1 whatever its pad_token_id is.
  return family.model_type == "mpnet" ? 1 : config.integer("pad_token_id", family.padding_idx);
}

/// GPT-2 and old configs of XLM have other names for the two sizes.
std::optional<std::int64_t> first_of(const Config& config, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names)
    if (const auto value = config.optional_integer(name); value && *value > 0) return value;
  return std::nullopt;
}

void read_positions(const Config& config, TextLimits& limits) {
  const std::string model_type = config.string("model_type", "");
  const auto family = std::find_if(families.begin(), families.end(),
                                   [&](const Family& entry) { return entry.model_type == model_type; });
  if (family == families.end() || !has_table(config, model_type)) return;
  limits.max_length = first_of(config, {"max_position_embeddings", "n_positions"});
  if (family->positions != Positions::AfterPadding) return;
  limits.padding_idx = padding_index(config, *family);
  if (limits.max_length) limits.max_length = *limits.max_length - *limits.padding_idx - 1;
}

// ---- Shapes and types -----------------------------------------------------------------------------------------------

std::string quoted(const ModelInput& input) { return "the input " + quote_json(input.name); }

/// "(batch_size, sequence_length)"
std::string wanted_shape(const ModelInput& input) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < input.shape.size(); ++axis) {
    if (axis > 0) text += ", ";
    const std::string& name = input.axis_names[axis];
    text += input.shape[axis] >= 0 ? std::to_string(input.shape[axis]) : name.empty() ? "any" : name;
  }
  return text + (input.shape.size() == 1 ? ",)" : ")");
}

/// Sizes of the dynamic axes, each with the input that it was first seen in.
class AxisSizes {
 public:
  struct Entry {
    std::string_view axis;
    std::int64_t size;
    std::string_view input;
  };

  const Entry* find(std::string_view axis) const {
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.axis == axis; });
    return found == entries_.end() ? nullptr : &*found;
  }
  void add(std::string_view axis, std::int64_t size, std::string_view input) {
    entries_.push_back({axis, size, input});
  }

  /// Value of "past_sequence_length + sequence_length"; nullopt where a term has no size yet, or for other expressions.
  std::optional<std::int64_t> sum(std::string_view expression) const {
    std::int64_t total = 0;
    for (;;) {
      const std::size_t plus = expression.find(" + ");
      const Entry* entry = find(expression.substr(0, plus));
      if (entry == nullptr) return std::nullopt;
      total += entry->size;
      if (plus == std::string_view::npos) return total;
      expression.remove_prefix(plus + 3);
    }
  }

 private:
  std::vector<Entry> entries_;
};

void check_rank_and_fixed_axes(const ModelInput& input, const Array& array) {
  const std::vector<std::int64_t>& shape = array.shape();
  bool fits = shape.size() == input.shape.size();
  for (std::size_t axis = 0; fits && axis < shape.size(); ++axis)
    fits = input.shape[axis] < 0 || input.shape[axis] == shape[axis];
  if (!fits)
    fail(quoted(input) + " has the shape " + shape_to_string(shape) + "; the model takes " + wanted_shape(input));
}

bool is_expression(std::string_view axis) { return axis.find(' ') != std::string_view::npos; }

/// Axes of one name must have one size. Expressions are looked at when all plain names are known.
void check_dynamic_axes(const ModelInput& input, const Array& array, bool expressions, AxisSizes& sizes) {
  for (std::size_t axis = 0; axis < input.shape.size(); ++axis) {
    const std::string& name = input.axis_names[axis];
    if (input.shape[axis] >= 0 || name.empty() || is_expression(name) != expressions) continue;
    const std::int64_t size = array.shape()[axis];
    if (expressions) {
      if (const auto sum = sizes.sum(name); sum && *sum != size)
        fail(quoted(input) + " has " + std::to_string(size) + " as its " + name + ", which is " + std::to_string(*sum) +
             " by the other inputs; all its sizes are " + shape_to_string(array.shape()));
    } else if (const AxisSizes::Entry* known = sizes.find(name); known == nullptr) {
      sizes.add(name, size, input.name);
    } else if (known->size != size) {
      fail(quoted(input) + " has the " + name + " " + std::to_string(size) + ", but " +
           quote_json(std::string(known->input)) + " has " + std::to_string(known->size));
    }
  }
}

std::pair<std::int64_t, std::int64_t> integer_range(DataType type) {
  switch (type) {
    case DataType::Int32:
      return {std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
    case DataType::Int16:
      return {std::numeric_limits<std::int16_t>::min(), std::numeric_limits<std::int16_t>::max()};
    case DataType::Int8:
      return {std::numeric_limits<std::int8_t>::min(), std::numeric_limits<std::int8_t>::max()};
    case DataType::UInt64:
      return {0, std::numeric_limits<std::int64_t>::max()};
    case DataType::UInt32:
      return {0, std::numeric_limits<std::uint32_t>::max()};
    case DataType::UInt16:
      return {0, std::numeric_limits<std::uint16_t>::max()};
    case DataType::UInt8:
      return {0, std::numeric_limits<std::uint8_t>::max()};
    case DataType::Bool:
      return {0, 1};
    default:
      return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
  }
}

Array as_type(const Array& array, DataType type) {
  return array.data_type() == type ? array : materialize(cast(from_array(array), type));
}

/// The first value outside [begin, end), as its index; nullopt if there is none.
std::optional<std::size_t> find_outside(std::span<const std::int64_t> values, std::int64_t begin, std::int64_t end) {
  // All values are looked at, since a loop without a way out is many times faster.
  bool outside = false;
  for (const std::int64_t value : values) outside |= value < begin || value >= end;
  if (!outside) return std::nullopt;
  const auto found =
      std::find_if(values.begin(), values.end(), [&](std::int64_t value) { return value < begin || value >= end; });
  return static_cast<std::size_t>(found - values.begin());
}

/// The array in the graph's type. Numbers become any float type, integers any integer type that can hold them.
Array converted(const ModelInput& input, const Array& array) {
  if (array.data_type() == input.data_type) return array;
  if (is_floating_point(input.data_type)) return as_type(array, input.data_type);
  if (is_floating_point(array.data_type()))
    fail(quoted(input) + " is of type " + std::string(to_string(array.data_type())) + "; the model takes " +
         std::string(to_string(input.data_type)));
  const auto [lowest, highest] = integer_range(input.data_type);
  const Array wide = as_type(array, DataType::Int64);
  for (const std::int64_t value : wide.values<std::int64_t>())
    if (value < lowest || value > highest)
      fail(quoted(input) + " has the value " + std::to_string(value) + ", which is no " +
           std::string(to_string(input.data_type)) + ", the type that the model takes");
  return as_type(wide, input.data_type);
}

// ---- Tokens ---------------------------------------------------------------------------------------------------------

/// "row 0, position 5" of an index into all values.
std::string place(const Array& array, std::size_t index) {
  const auto length = static_cast<std::size_t>(std::max<std::int64_t>(array.shape().back(), 1));
  return "row " + std::to_string(index / length) + ", position " + std::to_string(index % length);
}

/// ONNX would take negative ids for ones counted from the end, so these are no ids either.
void check_ids(const ModelInput& input, const Array& array, std::int64_t size, std::string_view member,
               std::string_view advice) {
  if (is_floating_point(array.data_type()) || array.rank() == 0) return;
  const Array ids = as_type(array, DataType::Int64);
  const auto index = find_outside(ids.values<std::int64_t>(), 0, size);
  if (!index) return;
  fail(quoted(input) + " has the id " + std::to_string(ids.data<std::int64_t>()[*index]) + " (" + place(ids, *index) +
       "); by config.json, whose " + std::string(member) + " is " + std::to_string(size) + ", ids lie below that and " +
       "not below 0. " + std::string(advice));
}

/// The largest number of tokens in a row that are not padding.
std::int64_t longest_row(const Array& input_ids, std::int64_t padding_idx) {
  const Array ids = as_type(input_ids, DataType::Int64);
  const std::int64_t length = ids.shape().back();
  std::int64_t longest = 0;
  for (std::int64_t begin = 0; begin < ids.element_count(); begin += length) {
    const std::int64_t* row = ids.data<std::int64_t>() + begin;
    longest = std::max<std::int64_t>(longest, length - std::count(row, row + length, padding_idx));
  }
  return longest;
}

void check_length(const ModelInput& input, const Array& array, std::int64_t past_length, const TextLimits& limits) {
  if (!limits.max_length || array.rank() == 0) return;
  const std::int64_t length = array.shape().back() + past_length;
  if (length <= *limits.max_length) return;
  if (limits.padding_idx && longest_row(array, *limits.padding_idx) <= *limits.max_length) return;
  fail(quoted(input) + " has rows of " + std::to_string(length) + " tokens, but the model has positions for " +
       std::to_string(*limits.max_length) + " (max_position_embeddings of config.json): truncate the text to " +
       "max_length " + std::to_string(*limits.max_length) + " in the tokenizer's call");
}

Array filled(const std::vector<std::int64_t>& shape, std::int64_t value) {
  Array array(DataType::Int64, shape);
  std::fill_n(array.mutable_data<std::int64_t>(), array.element_count(), value);
  return array;
}

/// create_position_ids_from_input_ids of RoBERTa: tokens are counted from padding_idx + 1 on, padding has padding_idx.
Array positions_after_padding(const Array& input_ids, std::int64_t padding_idx) {
  const Array ids = as_type(input_ids, DataType::Int64);
  Array positions(DataType::Int64, ids.shape());
  const std::int64_t length = ids.shape().back();
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < ids.element_count(); ++i) {
    if (i % length == 0) count = 0;
    const bool is_token = ids.data<std::int64_t>()[i] != padding_idx;
    count += is_token ? 1 : 0;
    positions.mutable_data<std::int64_t>()[i] = padding_idx + (is_token ? count : 0);
  }
  return positions;
}

/// As ORTModelForCausalLM makes them: tokens are counted from 0 on along the mask, padding has 1. The mask of a model
/// with a past is longer than input_ids, of which the last positions count.
Array positions_along_mask(const std::vector<std::int64_t>& shape, const Array* attention_mask) {
  const std::int64_t length = shape.back();
  const Array mask = attention_mask != nullptr ? as_type(*attention_mask, DataType::Int64) : filled(shape, 1);
  const std::int64_t mask_length = mask.shape().back();
  if (mask.rank() == 0 || mask_length < length) fail("position_ids cannot be made: attention_mask is too short");
  Array positions(DataType::Int64, shape);
  const std::int64_t rows = length == 0 ? 0 : positions.element_count() / length;
  if (mask.element_count() != rows * mask_length) fail("position_ids cannot be made: attention_mask has other rows");
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t count = 0;
    for (std::int64_t column = 0; column < mask_length; ++column) {
      const bool is_token = mask.data<std::int64_t>()[row * mask_length + column] != 0;
      count += is_token ? 1 : 0;
      if (const std::int64_t target = column - (mask_length - length); target >= 0)
        positions.mutable_data<std::int64_t>()[row * length + target] = is_token ? count - 1 : 1;
    }
  }
  return positions;
}

const Array* find(const NamedArrays& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const auto& item) { return item.first == name; });
  return found == arrays.end() ? nullptr : &found->second;
}

std::string names_of(const NamedArrays& arrays) {
  std::string names;
  for (const auto& [name, array] : arrays) names += (names.empty() ? "" : ", ") + quote_json(name);
  return names.empty() ? "nothing" : names;
}

}  // namespace

TextLimits text_limits(const Config& config) {
  TextLimits limits;
  limits.vocab_size = first_of(config, {"vocab_size", "n_words"});
  if (!limits.vocab_size) {
    // CLIP and its like keep what is said of the text in a section.
    if (const auto text = config.optional_section("text_config"); text && text->has("vocab_size"))
      return text_limits(*text);
  }
  limits.type_vocab_size = first_of(config, {"type_vocab_size"});
  read_positions(config, limits);
  return limits;
}

InputRules::InputRules(std::vector<ModelInput> inputs, TextLimits limits)
    : inputs_(std::move(inputs)), limits_(std::move(limits)) {
  has_past_ = std::any_of(inputs_.begin(), inputs_.end(),
                          [](const ModelInput& input) { return input.name.starts_with("past_key_values"); });
}

NamedArrays InputRules::prepare(const NamedArrays& given) const {
  NamedArrays prepared;
  prepared.reserve(inputs_.size());
  AxisSizes sizes;
  for (const ModelInput& input : inputs_) {
    const Array* array = find(given, input.name);
    prepared.emplace_back(input.name, converted(input, array != nullptr ? *array : make_missing(input, given)));
    check_rank_and_fixed_axes(input, prepared.back().second);
    check_dynamic_axes(input, prepared.back().second, false, sizes);
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) check_dynamic_axes(inputs_[i], prepared[i].second, true, sizes);
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    check_tokens(inputs_[i], prepared[i].second, sizes.sum("past_sequence_length").value_or(0));
  return prepared;
}

Array InputRules::make_missing(const ModelInput& input, const NamedArrays& given) const {
  if (const Array* input_ids = find(given, "input_ids"); input_ids != nullptr && input_ids->rank() > 0) {
    if (input.name == "token_type_ids") return filled(input_ids->shape(), 0);
    // How much of a past is masked only the caller knows.
    if (input.name == "attention_mask" && !has_past_) return filled(input_ids->shape(), 1);
    if (input.name == "position_ids" && limits_.padding_idx)
      return positions_after_padding(*input_ids, *limits_.padding_idx);
    if (input.name == "position_ids") return positions_along_mask(input_ids->shape(), find(given, "attention_mask"));
  }
  fail(quoted(input) + " " + wanted_shape(input) + " is missing; what was given is " + names_of(given));
}

void InputRules::check_tokens(const ModelInput& input, const Array& array, std::int64_t past_length) const {
  const bool has_text = input.name == "input_ids" || input.name == "decoder_input_ids";
  if (has_text && array.element_count() == 0)
    fail(quoted(input) + " is empty: its shape is " + shape_to_string(array.shape()));
  if (has_text && limits_.vocab_size)
    check_ids(input, array, *limits_.vocab_size, "vocab_size", "Is the tokenizer that of this model?");
  if (input.name == "token_type_ids" && limits_.type_vocab_size)
    check_ids(input, array, *limits_.type_vocab_size, "type_vocab_size", "Leave the input out to have zeros.");
  if (input.name == "input_ids") check_length(input, array, past_length, limits_);
}

}  // namespace onnxport
