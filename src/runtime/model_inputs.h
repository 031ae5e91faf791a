#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "onnxport/array.h"
#include "onnxport/session_types.h"

namespace onnxport {

/// What config.json says of the tokens that a model takes.
struct TextLimits {
  std::optional<std::int64_t> vocab_size;
  std::optional<std::int64_t> type_vocab_size;
  /// Tokens in a row: rows of the table of positions, less those that no token has. nullopt where positions are
  /// relative or rotary, and for a model_type whose positions are not known here.
  std::optional<std::int64_t> max_length;
  /// In the families of RoBERTa positions are counted from here on, over the tokens that are not this one.
  std::optional<std::int64_t> padding_idx;
};

/// Throws Error(InvalidCheckpoint) for members of another type.
TextLimits text_limits(const Config& config);

/// Turns what a caller has into what a session takes, or says what is wrong with it before ONNX Runtime does.
class InputRules {
 public:
  InputRules(std::vector<ModelInput> inputs, TextLimits limits);

  /// The graph's inputs in its order; see ORTModel. Throws Error(InvalidArgument).
  NamedArrays prepare(const NamedArrays& given) const;
  const TextLimits& limits() const { return limits_; }

 private:
  Array make_missing(const ModelInput& input, const NamedArrays& given) const;
  void check_tokens(const ModelInput& input, const Array& array, std::int64_t past_length) const;

  std::vector<ModelInput> inputs_;
  TextLimits limits_;
  bool has_past_ = false;  ///< the graph takes the keys and values of tokens before those of input_ids
};

}  // namespace onnxport
