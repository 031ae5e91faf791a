#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace onnxport {

/// A JSON value. Objects keep the order of their members, so a file that is read and written again differs only where
/// it was changed.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(std::int64_t{value}) {}
  Json(std::int64_t value) : value_(value) {}
  Json(double value) : value_(value) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_boolean() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  /// The value as one type; the caller has asked is_...() before. number() also gives an integer's value.
  bool boolean() const { return std::get<bool>(value_); }
  std::int64_t integer() const { return std::get<std::int64_t>(value_); }
  double number() const;
  const std::string& string() const { return std::get<std::string>(value_); }
  const Array& array() const { return std::get<Array>(value_); }
  Array& array() { return std::get<Array>(value_); }
  const Object& object() const { return std::get<Object>(value_); }
  Object& object() { return std::get<Object>(value_); }

  /// Member of an object, nullptr if this is not an object or has no such member.
  const Json* find(std::string_view key) const;
  /// Sets or appends a member of an object (null becomes an empty object first).
  Json& set(std::string_view key, Json value);
  void erase(std::string_view key);

  bool operator==(const Json&) const = default;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

/// What to do with integers beyond int64. Python has no such bound: tokenizer_config.json states "no maximum length" as
/// 1000000000000000019884624838656.
enum class LargeIntegers {
  Reject,
  AsDouble,  ///< the nearest double: is_number(), but not is_integer()
};

/// Parses UTF-8 JSON text. `origin` names the file in messages.
/// Throws Error(InvalidCheckpoint): syntax (with line and column), duplicate keys, nesting deeper than 128,
/// integers beyond int64 (unless `large_integers` allows them), numbers beyond double, invalid UTF-8. The literals NaN,
/// Infinity and -Infinity, which Python writes, are accepted as numbers.
Json parse_json(std::string_view text, std::string_view origin, LargeIntegers large_integers = LargeIntegers::Reject);

/// JSON text as Python's json.dumps writes it: indent < 0 on one line with ", " and ": ", else that many spaces a
/// level. Non-ASCII characters stay UTF-8.
std::string dump_json(const Json& value, int indent = -1);

/// A string as dump_json writes it. Also for messages that contain a name from an untrusted file, whose control
/// characters must not reach a terminal.
std::string quote_json(std::string_view text);

}  // namespace onnxport
