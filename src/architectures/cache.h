#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "architectures/registry.h"

namespace onnxport {

/// Keys and values of one attention: (batch, heads, length, size).
struct KeyValue {
  Tensor key;
  Tensor value;
};

/// Sizes of the keys and values of every layer.
struct CacheShape {
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t key_size = 0;
  std::int64_t value_size = key_size;
};

/// What a layer remembers of earlier tokens: inputs past_key_values.<name>.{key,value} and outputs
/// present.<name>.{key,value}. The name is the layer's index, or "0.decoder" and "0.encoder" beside an encoder.
class Cache {
 public:
  /// `past_length` is the symbol that lengths of outputs are declared with.
  Cache(ModelBuilder& m, Dim past_length) : m_(&m), past_length_(std::move(past_length)) {}

  bool has_past(const std::string& name) const;
  KeyValue past(const std::string& name) const;
  /// The past, if there is one, followed by `added`; the whole becomes present.<name>.
  KeyValue extend(const std::string& name, const KeyValue& added);
  /// Makes present.<name> of what never grows, as the keys and values of an encoder's states.
  void keep(const std::string& name, const KeyValue& whole);

  /// Adds the outputs in the order in which they were extended or kept.
  void write_outputs() const;

 private:
  struct Present {
    std::string name;
    KeyValue whole;
    Dim length;
  };

  ModelBuilder* m_;
  Dim past_length_;
  std::vector<Present> presents_;
};

/// The outputs present.<name>.{key,value} of one layer.
void append_present_outputs(std::vector<OutputSpec>& outputs, const std::string& name, const Dim& length);

/// The inputs past_key_values.<name>.{key,value} of one layer.
void append_past_inputs(std::vector<InputSpec>& inputs, const std::string& name, const CacheShape& shape,
                        const Dim& length);

}  // namespace onnxport
