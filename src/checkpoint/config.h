#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"

namespace onnxport {

/// A typed view of config.json or of a section of it. Copies are cheap: they share the parsed file.
///
/// A member that is null counts as absent. Every accessor throws Error(InvalidCheckpoint) that names file and member
/// ('config.json: "text_config.hidden_size" must be an integer, is "abc"') when the member is of another type or out of
/// range; without a default, or `optional_`, also when it is absent.
class Config {
 public:
  /// `json` is an object; `file` names it in messages. Throws Error(InvalidCheckpoint) if it is something else.
  explicit Config(Json json, std::string file = "config.json");

  bool has(std::string_view name) const;
  const Json& json() const { return *json_; }

  /// Numbers such as 768.0 count as integers.
  std::int64_t integer(std::string_view name) const;
  std::int64_t integer(std::string_view name, std::int64_t fallback) const;
  std::optional<std::int64_t> optional_integer(std::string_view name) const;

  /// An integer in [1, 2^31]: sizes and counts.
  std::int64_t positive(std::string_view name) const;
  std::int64_t positive(std::string_view name, std::int64_t fallback) const;
  std::optional<std::int64_t> optional_positive(std::string_view name) const;

  double number(std::string_view name) const;
  double number(std::string_view name, double fallback) const;
  std::optional<double> optional_number(std::string_view name) const;

  bool boolean(std::string_view name) const;
  bool boolean(std::string_view name, bool fallback) const;
  std::optional<bool> optional_boolean(std::string_view name) const;

  std::string string(std::string_view name) const;
  std::string string(std::string_view name, std::string_view fallback) const;
  std::optional<std::string> optional_string(std::string_view name) const;

  std::vector<std::int64_t> integers(std::string_view name) const;
  std::optional<std::vector<std::int64_t>> optional_integers(std::string_view name) const;
  std::vector<std::string> strings(std::string_view name) const;
  std::optional<std::vector<std::string>> optional_strings(std::string_view name) const;

  /// A member that is an object itself, such as text_config.
  Config section(std::string_view name) const;
  std::optional<Config> optional_section(std::string_view name) const;

  /// For errors that an accessor cannot see: 'config.json: "name" <problem>'.
  [[noreturn]] void fail(std::string_view name, std::string_view problem) const;
  /// For options that no definition implements: throws Error(UnsupportedArchitecture)
  /// 'quant_mode true of config.json is not supported'.
  [[noreturn]] void unsupported(std::string_view name) const;

 private:
  Config(std::shared_ptr<const Json> json, std::string file, std::string prefix);

  const Json* find(std::string_view name) const;
  template <typename Value>
  Value require(std::string_view name, std::optional<Value> value) const;
  [[noreturn]] void fail_type(std::string_view name, std::string_view expected, const Json& value) const;

  std::shared_ptr<const Json> json_;
  std::string file_;
  std::string prefix_;  ///< "text_config." in a section
};

/// The type that the weights are meant to have ("float32", "bfloat16"): `dtype` in configs of transformers 5,
/// `torch_dtype` in those of 4. A prefix "torch." is taken off; "auto" counts as absent.
std::optional<std::string> config_dtype(const Config& config);

/// Rotary position embeddings, from either dialect of the config.
struct RopeParameters {
  double theta = 10000.0;
  std::string type = "default";  ///< "default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional", ...
  Json scaling;                  ///< the object that `type` takes its further parameters from; null if there is none
  /// The share of the head's elements that is rotated, where the config states it.
  std::optional<double> partial_rotary_factor;
};

/// Reads `rope_parameters` (transformers 5: one object, or one for each layer type such as "full_attention"), or
/// `rope_theta` and `rope_scaling` (transformers 4, and the other names that some of its configs have for the base;
/// those for "sliding_attention" among them, whose layers no scaling applies to).
/// `layer_type` may stay empty where there is only one kind of layers. Throws Error(InvalidCheckpoint).
RopeParameters rope_parameters(const Config& config, std::string_view layer_type = {}, double default_theta = 10000.0);

}  // namespace onnxport
