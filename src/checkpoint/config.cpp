#include "checkpoint/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "onnxport/error.h"

namespace onnxport {
namespace {

constexpr std::int64_t kMaximumSize = std::int64_t{1} << 31;
constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53: doubles beyond it skip integers

/// The integer that a JSON number is, if it is one.
std::optional<std::int64_t> integral_value(const Json& value) {
  if (value.is_integer()) return value.integer();
  if (!value.is_number() || std::trunc(value.number()) != value.number()) return std::nullopt;
  if (std::fabs(value.number()) > kLargestExactInteger) return std::nullopt;
  return static_cast<std::int64_t>(value.number());
}

/// A value in a message, cut off where it would fill the screen.
std::string abbreviate(const Json& value) {
  constexpr std::size_t kMaximumLength = 60;
  if (value.is_object()) return "an object";
  std::string text = dump_json(value);
  if (text.size() <= kMaximumLength) return text;
  std::size_t length = kMaximumLength;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) --length;  // whole characters only
  return text.substr(0, length) + "...";
}

}  // namespace

Config::Config(Json json, std::string file) : file_(std::move(file)) {
  if (!json.is_object()) throw Error(ErrorKind::InvalidCheckpoint, file_ + ": is not a JSON object");
  json_ = std::make_shared<const Json>(std::move(json));
}

Config::Config(std::shared_ptr<const Json> json, std::string file, std::string prefix)
    : json_(std::move(json)), file_(std::move(file)), prefix_(std::move(prefix)) {}

const Json* Config::find(std::string_view name) const {
  const Json* value = json_->find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void Config::fail(std::string_view name, std::string_view problem) const {
  throw Error(ErrorKind::InvalidCheckpoint,
              file_ + ": " + quote_json(prefix_ + std::string(name)) + " " + std::string(problem));
}

void Config::unsupported(std::string_view name) const {
  const Json* value = find(name);
  throw Error(ErrorKind::UnsupportedArchitecture, prefix_ + std::string(name) + " " +
                                                      (value == nullptr ? "null" : abbreviate(*value)) + " of " +
                                                      file_ + " is not supported");
}

void Config::fail_type(std::string_view name, std::string_view expected, const Json& value) const {
  fail(name, "must be " + std::string(expected) + ", is " + abbreviate(value));
}

template <typename Value>
Value Config::require(std::string_view name, std::optional<Value> value) const {
  if (!value) fail(name, "is missing");
  return *std::move(value);
}

bool Config::has(std::string_view name) const { return find(name) != nullptr; }

std::optional<std::int64_t> Config::optional_integer(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<std::int64_t> integer = integral_value(*value);
  if (!integer) fail_type(name, "an integer", *value);
  return integer;
}

std::int64_t Config::integer(std::string_view name) const { return require(name, optional_integer(name)); }

std::int64_t Config::integer(std::string_view name, std::int64_t fallback) const {
  return optional_integer(name).value_or(fallback);
}

std::optional<std::int64_t> Config::optional_positive(std::string_view name) const {
  const std::optional<std::int64_t> value = optional_integer(name);
  if (value && (*value < 1 || *value > kMaximumSize)) {
    fail(name, "is out of range: must be between 1 and 2^31, is " + std::to_string(*value));
  }
  return value;
}

std::int64_t Config::positive(std::string_view name) const { return require(name, optional_positive(name)); }

std::int64_t Config::positive(std::string_view name, std::int64_t fallback) const {
  return optional_positive(name).value_or(fallback);
}

std::optional<double> Config::optional_number(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) fail_type(name, "a number", *value);
  return value->number();
}

double Config::number(std::string_view name) const { return require(name, optional_number(name)); }

double Config::number(std::string_view name, double fallback) const { return optional_number(name).value_or(fallback); }

std::optional<bool> Config::optional_boolean(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) fail_type(name, "true or false", *value);
  return value->boolean();
}

bool Config::boolean(std::string_view name) const { return require(name, optional_boolean(name)); }

bool Config::boolean(std::string_view name, bool fallback) const { return optional_boolean(name).value_or(fallback); }

std::optional<std::string> Config::optional_string(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail_type(name, "a string", *value);
  return value->string();
}

std::string Config::string(std::string_view name) const { return require(name, optional_string(name)); }

std::string Config::string(std::string_view name, std::string_view fallback) const {
  return optional_string(name).value_or(std::string(fallback));
}

std::optional<std::vector<std::int64_t>> Config::optional_integers(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) fail_type(name, "an array of integers", *value);
  std::vector<std::int64_t> integers;
  for (const Json& item : value->array()) {
    const std::optional<std::int64_t> integer = integral_value(item);
    if (!integer) fail_type(name, "an array of integers", *value);
    integers.push_back(*integer);
  }
  return integers;
}

std::vector<std::int64_t> Config::integers(std::string_view name) const {
  return require(name, optional_integers(name));
}

std::optional<std::vector<std::string>> Config::optional_strings(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) fail_type(name, "an array of strings", *value);
  std::vector<std::string> strings;
  for (const Json& item : value->array()) {
    if (!item.is_string()) fail_type(name, "an array of strings", *value);
    strings.push_back(item.string());
  }
  return strings;
}

std::vector<std::string> Config::strings(std::string_view name) const { return require(name, optional_strings(name)); }

std::optional<Config> Config::optional_section(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail_type(name, "an object", *value);
  return Config(std::shared_ptr<const Json>(json_, value), file_, prefix_ + std::string(name) + ".");
}

Config Config::section(std::string_view name) const { return require(name, optional_section(name)); }

// ---- Both dialects ------------------------------------------------------------------------------------------------

namespace {

using Names = std::vector<std::string_view>;

/// The first of the members that is there.
std::optional<double> first_number(const Config& config, const Names& names) {
  for (const std::string_view name : names) {
    if (const std::optional<double> value = config.optional_number(name)) return value;
  }
  return std::nullopt;
}

/// The base has to be a number that frequencies can be computed from.
double checked_theta(const Config& config, std::optional<double> theta, double default_theta) {
  if (!theta) return default_theta;
  if (!(*theta > 0.0) || std::isinf(*theta)) config.fail("rope_theta", "must be a positive number");
  return *theta;
}

/// Names that older configs still have.
std::string current_type_name(std::string type) {
  if (type == "su") return "longrope";
  if (type == "mrope")
    return "default";  // sections of the head for several positions; the frequencies are the usual ones
  return type;
}

/// Reads what both dialects have in the object: its type, and sometimes the factor.
void read_scaling(const Config& scaling, RopeParameters& parameters) {
  std::optional<std::string> type = scaling.optional_string("rope_type");
  if (!type) type = scaling.optional_string("type");
  if (type) parameters.type = current_type_name(*std::move(type));
  if (const auto factor = scaling.optional_number("partial_rotary_factor")) parameters.partial_rotary_factor = factor;
  parameters.scaling = scaling.json();
}

bool has_one_object_for_each_layer_type(const Config& parameters) {
  const Json::Object& members = parameters.json().object();
  return std::any_of(members.begin(), members.end(),
                     [](const Json::Member& member) { return member.second.is_object(); });
}

Config parameters_of_layer_type(const Config& parameters, std::string_view layer_type) {
  if (!has_one_object_for_each_layer_type(parameters)) return parameters;
  return parameters.section(layer_type.empty() ? "full_attention" : layer_type);
}

std::optional<double> stated_partial_rotary_factor(const Config& config) {
  return first_number(config, {"partial_rotary_factor", "rotary_pct"});
}

RopeParameters version_5_parameters(const Config& config, const Config& stated, double default_theta) {
  RopeParameters parameters;
  parameters.partial_rotary_factor = stated_partial_rotary_factor(config);
  read_scaling(stated, parameters);
  std::optional<double> theta = stated.optional_number("rope_theta");
  if (!theta) theta = config.optional_number("rope_theta");
  parameters.theta = checked_theta(stated, theta, default_theta);
  return parameters;
}

RopeParameters version_4_parameters(const Config& config, std::string_view layer_type, double default_theta) {
  RopeParameters parameters;
  parameters.partial_rotary_factor = stated_partial_rotary_factor(config);
  if (layer_type == "sliding_attention") {
    if (const auto theta = first_number(config, {"rope_local_base_freq", "local_rope_theta"})) {
      parameters.theta = checked_theta(config, theta, default_theta);
      return parameters;
    }
  }
  const auto theta =
      first_number(config, {"rope_theta", "global_rope_theta", "rotary_emb_base", "rotary_embedding_base"});
  parameters.theta = checked_theta(config, theta, default_theta);
  if (const auto scaling = config.optional_section("rope_scaling")) read_scaling(*scaling, parameters);
  return parameters;
}

}  // namespace

std::optional<std::string> config_dtype(const Config& config) {
  for (const std::string_view name : {"dtype", "torch_dtype"}) {
    if (!config.has(name)) continue;
    std::string type = config.string(name);
    if (type == "auto") continue;
    constexpr std::string_view kPrefix = "torch.";
    return type.starts_with(kPrefix) ? type.substr(kPrefix.size()) : type;
  }
  return std::nullopt;
}

RopeParameters rope_parameters(const Config& config, std::string_view layer_type, double default_theta) {
  if (const auto stated = config.optional_section("rope_parameters")) {
    return version_5_parameters(config, parameters_of_layer_type(*stated, layer_type), default_theta);
  }
  return version_4_parameters(config, layer_type, default_theta);
}

}  // namespace onnxport
