#include <algorithm>

#include "onnxport/auto_tokenizer.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

}  // namespace

BatchEncoding::BatchEncoding(std::vector<Encoding> encodings, std::vector<std::string> names,
                             std::vector<std::size_t> sample_mapping)
    : encodings_(std::move(encodings)), names_(std::move(names)), sample_mapping_(std::move(sample_mapping)) {}

Array BatchEncoding::tensor(std::string_view name) const {
  if (std::ranges::find(names_, name) == names_.end()) {
    std::string known;
    for (const std::string& one : names_) known += (known.empty() ? "" : ", ") + one;
    fail("the tokenizer was not asked for \"" + std::string(name) + "\"; there are " + known);
  }
  const std::size_t length = encodings_.empty() ? 0 : encodings_.front().size();
  for (std::size_t row = 0; row < encodings_.size(); ++row) {
    if (encodings_[row].size() != length) {
      fail("rows of different lengths (" + std::to_string(length) + " tokens, and " +
           std::to_string(encodings_[row].size()) + " in row " + std::to_string(row) +
           ") make no tensor: ask for padding, or for truncation to one length");
    }
  }
  const auto batch = static_cast<std::int64_t>(encodings_.size());
  const auto width = static_cast<std::int64_t>(length);
  const bool is_offsets = name == "offset_mapping";
  Array array(DataType::Int64,
              is_offsets ? std::vector<std::int64_t>{batch, width, 2} : std::vector<std::int64_t>{batch, width});
  auto* out = array.mutable_data<std::int64_t>();
  for (const Encoding& encoding : encodings_) {
    if (is_offsets) {
      for (const Offset& offset : encoding.offsets) {
        *out++ = offset.begin;
        *out++ = offset.end;
      }
      continue;
    }
    const std::vector<std::uint32_t>& values = name == "input_ids"        ? encoding.ids
                                               : name == "token_type_ids" ? encoding.type_ids
                                               : name == "attention_mask" ? encoding.attention_mask
                                                                          : encoding.special_tokens_mask;
    out = std::ranges::copy(values, out).out;
  }
  return array;
}

NamedArrays BatchEncoding::tensors() const {
  NamedArrays arrays;
  for (const std::string& name : names_) arrays.emplace_back(name, tensor(name));
  return arrays;
}

}  // namespace onnxport
