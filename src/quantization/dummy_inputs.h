#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "onnxport/session_types.h"
#include "runtime/model_inputs.h"

namespace onnxport {

/// Made-up inputs of a model, the same in every run and with every standard library: tokens of the whole vocabulary,
/// normally distributed numbers, masks of ones. Dynamic axes have the sizes that config.json gives; a past is half of
/// the tokens. Of a merged decoder every second sample, from the first on, has no past and use_cache_branch false.
/// Types and positions of tokens are left to InputRules.
class DummyInputs {
 public:
  /// `length`: tokens at most, those of the past with them.
  DummyInputs(const std::vector<ModelInput>& inputs, const Config& config, const TextLimits& limits,
              std::int64_t length);

  NamedArrays next();
  void rewind();

 private:
  std::int64_t size_of(std::string_view axis) const;
  Array make(const ModelInput& input);
  float normal();

  const std::vector<ModelInput>& inputs_;
  std::int64_t vocab_size_ = 1;
  std::int64_t length_ = 1;
  std::int64_t past_length_ = 0;
  bool has_branches_ = false;
  bool use_cache_ = true;
  std::int64_t channels_ = 3;
  std::int64_t height_ = 224;
  std::int64_t width_ = 224;
  std::mt19937_64 generator_;
};

}  // namespace onnxport
