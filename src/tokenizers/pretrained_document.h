#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/json.h"

namespace onnxport::tokenizers {

/// The text of a tokenizer.json whose small members are read and replaced while the large one, "model", stays text:
/// parsing that is the tokenizer's part. Text that is no object keeps as it is; whoever parses it says so.
class TokenizerDocument {
 public:
  explicit TokenizerDocument(std::string text);

  /// The member's value; null if it is absent, "model", or not to be parsed.
  Json get(std::string_view name) const;
  void set(std::string_view name, const Json& value);
  bool is_changed() const { return !changes_.empty(); }
  std::string text() const;

 private:
  struct Member {
    std::string name;
    std::size_t begin;
    std::size_t end;
  };
  const Member* find(std::string_view name) const;

  std::string text_;
  std::size_t first_member_ = 0;  ///< behind the opening brace
  std::vector<Member> members_;
  std::vector<std::pair<std::string, std::string>> changes_;
};

}  // namespace onnxport::tokenizers
