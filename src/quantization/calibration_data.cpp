#include "quantization/calibration_data.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <type_traits>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "checkpoint/read_config.h"
#include "core/tensor_source.h"
#include "onnx/merge_decoders.h"
#include "onnxport/auto_tokenizer.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/dummy_inputs.h"
#include "runtime/model_inputs.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

/// Samples as they stand in a file: inputs of the model by name, with a batch axis of 1.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual std::optional<NamedArrays> next() = 0;
  virtual void rewind() = 0;
  /// "line 3 of texts.jsonl", for messages about the sample that was read last.
  virtual std::string where() const = 0;
};

// ---- JSON lines -----------------------------------------------------------------------------------------------------

/// Nested arrays of numbers, row by row.
class Numbers {
 public:
  Numbers(const Json& value, const ModelInput& input) : input_(input) {
    measure(value);
    read(value, 0);
  }

  Array array() {
    shape_.insert(shape_.begin(), 1);
    switch (input_.data_type) {
      case DataType::Float32:
        return as<float>();
      case DataType::Int64:
        return as<std::int64_t>();
      case DataType::Int32:
        return as<std::int32_t>();
      case DataType::Bool:
        return as<std::uint8_t>();
      default:
        fail("input " + input_.name + " has the type " + std::string(to_string(input_.data_type)) +
             ", which JSON lines cannot give: use a safetensors file");
    }
  }

 private:
  void measure(const Json& value) {
    const Json* inner = &value;
    while (inner->is_array()) {
      shape_.push_back(std::ssize(inner->array()));
      if (inner->array().empty()) return;
      inner = &inner->array().front();
    }
  }

  void read(const Json& value, std::size_t depth) {
    if (depth == shape_.size()) {
      if (!value.is_number() && !value.is_boolean()) fail("input " + input_.name + " is not made of numbers");
      values_.push_back(value.is_boolean() ? (value.boolean() ? 1 : 0) : value.number());
      return;
    }
    if (!value.is_array() || std::ssize(value.array()) != shape_[depth])
      fail("input " + input_.name + " has rows of different lengths");
    for (const Json& element : value.array()) read(element, depth + 1);
  }

  template <typename Value>
  Array as() {
    std::vector<Value> values;
    values.reserve(values_.size());
    for (const double value : values_) {
      if (!holds<Value>(value))
        fail("input " + input_.name + " has " + dump_json(value) + ", which is no " +
             std::string(to_string(input_.data_type)));
      values.push_back(static_cast<Value>(value));
    }
    return Array::of<Value>(input_.data_type, shape_, values);
  }

  /// Whether the value is one of the type; of integers as large as double tells apart.
  template <typename Value>
  static bool holds(double value) {
    if constexpr (std::is_same_v<Value, float>) {
      return std::fabs(value) <= static_cast<double>(std::numeric_limits<float>::max());
    } else {
      constexpr double limit = std::is_same_v<Value, std::int64_t>   ? 0x1p53
                               : std::is_same_v<Value, std::int32_t> ? 0x1p31 - 1
                                                                     : 1;  // bool
      return value == std::nearbyint(value) && value <= limit && value >= (std::is_signed_v<Value> ? -limit : 0);
    }
  }

  const ModelInput& input_;
  std::vector<std::int64_t> shape_;
  std::vector<double> values_;
};

class JsonLinesReader : public Reader {
 public:
  JsonLinesReader(const CalibrationDataOptions& options, const std::vector<ModelInput>& inputs)
      : options_(options), inputs_(inputs), file_(options.file, std::ios::binary) {
    if (!file_) fail("cannot read the calibration data " + options.file.string());
  }

  std::optional<NamedArrays> next() override {
    std::string line;
    while (std::getline(file_, line)) {
      ++number_;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      try {
        return sample(line);
      } catch (const Error& error) {
        fail("calibration data, " + where() + ": " + error.what());
      }
    }
    return std::nullopt;
  }

  void rewind() override {
    file_.clear();
    file_.seekg(0);
    number_ = 0;
  }

  std::string where() const override {
    return "line " + std::to_string(number_) + " of " + options_.file.filename().string();
  }

 private:
  NamedArrays sample(const std::string& line) {
    const Json json = parse_json(line, "the sample");
    if (json.is_string()) return tokenized(json.string(), nullptr);
    const Json* text = json.find("text");
    if (text != nullptr && text->is_string()) {
      const Json* pair = json.find("text_pair");
      return tokenized(text->string(), pair != nullptr && pair->is_string() ? &pair->string() : nullptr);
    }
    NamedArrays arrays;
    for (const ModelInput& input : inputs_)
      if (const Json* value = json.find(input.name)) arrays.emplace_back(input.name, Numbers(*value, input).array());
    return arrays;
  }

  NamedArrays tokenized(const std::string& text, const std::string* pair) {
    if (!tokenizer_) tokenizer_ = AutoTokenizer::from_pretrained(options_.model_directory);
    const TokenizerCallOptions call{
        .truncation = TruncationStrategy::LongestFirst,
        .max_length = std::min(static_cast<std::size_t>(options_.max_length), tokenizer_->model_max_length())};
    const BatchEncoding encoding = pair == nullptr ? (*tokenizer_)(text, call) : (*tokenizer_)(text, *pair, call);
    NamedArrays arrays;
    for (auto& [name, array] : encoding.tensors())
      if (std::any_of(inputs_.begin(), inputs_.end(), [&, &key = name](const auto& i) { return i.name == key; }))
        arrays.emplace_back(name, array);
    return arrays;
  }

  const CalibrationDataOptions& options_;
  const std::vector<ModelInput>& inputs_;
  std::ifstream file_;
  std::size_t number_ = 0;
  std::optional<PreTrainedTokenizer> tokenizer_;
};

// ---- Safetensors ----------------------------------------------------------------------------------------------------

class SafetensorsReader : public Reader {
 public:
  SafetensorsReader(const CalibrationDataOptions& options, const std::vector<ModelInput>& inputs)
      : file_(options.file) {
    std::map<std::string, TensorSource, std::less<>> tensors;
    try {
      tensors = read_safetensors(options.file);
    } catch (const Error& error) {
      fail(error.what());
    }
    for (const ModelInput& input : inputs) {
      const auto tensor = tensors.find(input.name);
      if (tensor == tensors.end()) continue;
      if (tensor->second.shape.empty())
        fail(file_.string() + ": " + input.name + " is a scalar; its first axis is to count the samples");
      if (count_ >= 0 && tensor->second.shape[0] != count_) {
        fail(file_.string() + ": " + input.name + " has " + std::to_string(tensor->second.shape[0]) +
             " samples, others have " + std::to_string(count_));
      }
      count_ = tensor->second.shape[0];
      tensors_.emplace_back(input.name, tensor->second);
    }
    if (tensors_.empty()) {
      std::string names;
      for (const ModelInput& input : inputs) names += (names.empty() ? "" : ", ") + input.name;
      fail(file_.string() + " has no input of the model: " + names);
    }
  }

  std::optional<NamedArrays> next() override {
    if (next_ >= count_) return std::nullopt;
    NamedArrays arrays;
    for (const auto& [name, tensor] : tensors_)
      arrays.emplace_back(name, materialize(slice(tensor, 0, next_, next_ + 1)));
    ++next_;
    return arrays;
  }

  void rewind() override { next_ = 0; }
  std::string where() const override { return "sample " + std::to_string(next_) + " of " + file_.filename().string(); }

 private:
  fs::path file_;
  std::vector<std::pair<std::string, TensorSource>> tensors_;
  std::int64_t count_ = -1;
  std::int64_t next_ = 0;
};

// ---- Random inputs --------------------------------------------------------------------------------------------------

class DummyReader : public Reader {
 public:
  DummyReader(const CalibrationDataOptions& options, DummyInputs inputs)
      : num_samples_(options.num_samples), inputs_(std::move(inputs)) {}

  std::optional<NamedArrays> next() override {
    if (sample_ == num_samples_) return std::nullopt;
    ++sample_;
    return inputs_.next();
  }

  void rewind() override {
    sample_ = 0;
    inputs_.rewind();
  }
  std::string where() const override { return "random sample " + std::to_string(sample_); }

 private:
  std::int64_t num_samples_;
  DummyInputs inputs_;
  std::int64_t sample_ = 0;
};

std::unique_ptr<Reader> open_reader(const CalibrationDataOptions& options, const std::vector<ModelInput>& inputs,
                                    const Config& config, const TextLimits& limits) {
  if (options.num_samples < 1)
    fail("calibration needs at least one sample, not " + std::to_string(options.num_samples));
  if (options.max_length < 1) fail("calibration needs texts of at least one token");
  if (options.file.empty())
    return std::make_unique<DummyReader>(options, DummyInputs(inputs, config, limits, options.max_length));
  std::error_code error;
  if (!fs::is_regular_file(options.file, error)) fail("there is no calibration data " + options.file.string());
  if (options.file.extension() == ".safetensors") return std::make_unique<SafetensorsReader>(options, inputs);
  return std::make_unique<JsonLinesReader>(options, inputs);
}

// ---- What samples leave out -----------------------------------------------------------------------------------------

/// The size that a dynamic axis has in the inputs that are given; 0 if none has it.
std::int64_t axis_size(std::string_view axis, const NamedArrays& sample, const std::vector<ModelInput>& inputs) {
  for (const ModelInput& input : inputs)
    for (const auto& [name, array] : sample)
      for (std::size_t i = 0; name == input.name && i < input.shape.size() && i < array.shape().size(); ++i)
        if (input.shape[i] < 0 && input.axis_names[i] == axis) return array.shape()[i];
  return 0;
}

/// Keys and values of no tokens; nullopt if the input has another dynamic axis, as those of an encoder's tokens have.
std::optional<Array> empty_past(const ModelInput& input, const NamedArrays& sample,
                                const std::vector<ModelInput>& inputs) {
  const bool has_branches =
      std::any_of(sample.begin(), sample.end(), [](const auto& item) { return item.first == onnx::use_cache_branch; });
  std::vector<std::int64_t> shape = input.shape;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] >= 0) continue;
    const bool is_past = input.axis_names[axis].find("past") != std::string::npos;
    // The branch without a past does not look at them, whatever they are.
    if (!is_past && axis != 0 && !has_branches) return std::nullopt;
    shape[axis] = is_past ? 0 : axis == 0 ? 1 : axis_size(input.axis_names[axis], sample, inputs);
  }
  Array past(input.data_type, shape);
  std::fill(past.mutable_bytes().begin(), past.mutable_bytes().end(), std::byte{0});
  return past;
}

bool is_past(const std::string& name) { return name.starts_with("past_key_values"); }

/// A merged decoder uses its cache where the sample has one.
void choose_branch(NamedArrays& sample, const std::vector<ModelInput>& inputs) {
  const auto is_flag = [](const auto& input) { return input.name == onnx::use_cache_branch; };
  const auto is_given = [](const auto& item) { return item.first == onnx::use_cache_branch; };
  if (std::none_of(inputs.begin(), inputs.end(), is_flag) || std::any_of(sample.begin(), sample.end(), is_given))
    return;
  const bool use_cache =
      std::any_of(sample.begin(), sample.end(), [](const auto& item) { return is_past(item.first); });
  sample.emplace_back(onnx::use_cache_branch, Array::int64({1}, std::vector<std::int64_t>{use_cache ? 1 : 0}));
}

/// A text alone is the beginning: nothing came before it, and all of it is seen.
void add_empty_past(NamedArrays& sample, const std::vector<ModelInput>& inputs) {
  const auto find = [&](std::string_view name) {
    return std::find_if(sample.begin(), sample.end(), [&](const auto& item) { return item.first == name; });
  };
  if (find("input_ids") == sample.end() ||
      std::any_of(sample.begin(), sample.end(), [&](const auto& item) { return is_past(item.first); }))
    return;
  bool has_past = false;
  for (const ModelInput& input : inputs) {
    if (!is_past(input.name)) continue;
    has_past = true;
    if (std::optional<Array> past = empty_past(input, sample, inputs))
      sample.emplace_back(input.name, std::move(*past));
  }
  if (!has_past || find("attention_mask") != sample.end()) return;
  Array mask(DataType::Int64, find("input_ids")->second.shape());
  std::fill_n(mask.mutable_data<std::int64_t>(), mask.element_count(), 1);
  sample.emplace_back("attention_mask", std::move(mask));
}

/// The parent of a file that is named without a directory is the current one.
CalibrationDataOptions with_directory(CalibrationDataOptions options) {
  if (options.model_directory.empty()) options.model_directory = ".";
  return options;
}

}  // namespace

struct CalibrationData::Implementation {
  Implementation(CalibrationDataOptions given, std::vector<ModelInput> model_inputs)
      : options(with_directory(std::move(given))),
        inputs(std::move(model_inputs)),
        config(read_config(options.model_directory)),
        rules(inputs, text_limits(config)),
        reader(open_reader(options, inputs, config, rules.limits())) {}

  CalibrationDataOptions options;
  std::vector<ModelInput> inputs;
  Config config;
  InputRules rules;
  std::unique_ptr<Reader> reader;
  std::int64_t count = 0;
};

CalibrationData::CalibrationData(CalibrationDataOptions options, std::vector<ModelInput> inputs)
    : implementation_(std::make_unique<Implementation>(std::move(options), std::move(inputs))) {}
CalibrationData::~CalibrationData() = default;
CalibrationData::CalibrationData(CalibrationData&&) noexcept = default;

std::optional<NamedArrays> CalibrationData::next() {
  Implementation& self = *implementation_;
  if (self.count == self.options.num_samples) return std::nullopt;
  std::optional<NamedArrays> sample = self.reader->next();
  if (!sample) {
    if (self.count == 0) fail("the calibration data " + self.options.file.string() + " is empty");
    return std::nullopt;
  }
  ++self.count;
  try {
    if (sample->empty()) fail("none of the model's inputs is in it");
    choose_branch(*sample, self.inputs);
    add_empty_past(*sample, self.inputs);
    return self.rules.prepare(*sample);
  } catch (const Error& error) {
    fail("calibration data, " + self.reader->where() + ": " + error.what());
  }
}

void CalibrationData::rewind() {
  implementation_->count = 0;
  implementation_->reader->rewind();
}

}  // namespace onnxport
