#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"

namespace onnxport::tokenizers {

/// A value of a JSON file that is being read, and where it stands, for messages. The functions throw
/// Error(InvalidTokenizer) where the value is not what they are asked for.
class JsonField {
 public:
  /// `origin` is the file. Both must outlive the field.
  JsonField(const Json& value, std::string_view origin) : value_(&value), origin_(origin) {}

  const Json& value() const { return *value_; }
  std::string_view origin() const { return origin_; }
  bool is_null() const { return value_->is_null(); }

  /// A member that must be there.
  JsonField at(std::string_view key) const;
  /// A member, if it is there and not null.
  std::optional<JsonField> find(std::string_view key) const;
  bool has(std::string_view key) const { return value_->find(key) != nullptr; }
  std::vector<JsonField> elements() const;
  /// The members of an object, in their order.
  std::vector<std::pair<std::string_view, JsonField>> members() const;

  const std::string& string() const;
  bool boolean() const;
  std::uint32_t unsigned_32() const;
  std::size_t size() const;
  char32_t character() const;

  /// The number of the name that the value, a string, has in a list.
  std::size_t one_of(std::initializer_list<std::string_view> names) const;

  /// "<origin>: <field>: <reason>"
  [[noreturn]] void fail(const std::string& reason) const;

 private:
  JsonField(const Json& value, std::string_view origin, std::string path)
      : value_(&value), origin_(origin), path_(std::move(path)) {}
  void require(bool is_right, std::string_view what) const;

  const Json* value_;
  std::string_view origin_;
  std::string path_;
};

}  // namespace onnxport::tokenizers
