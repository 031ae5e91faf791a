#include "architectures/cache.h"

#include "ops/ops.h"

namespace onnxport {
namespace {

std::string past_name(const std::string& name, std::string_view part) {
  return "past_key_values." + name + "." + std::string(part);
}

}  // namespace

bool Cache::has_past(const std::string& name) const { return m_->has_input(past_name(name, "key")); }

KeyValue Cache::past(const std::string& name) const {
  return {m_->input(past_name(name, "key")), m_->input(past_name(name, "value"))};
}

KeyValue Cache::extend(const std::string& name, const KeyValue& added) {
  KeyValue whole = added;
  if (has_past(name)) {
    const KeyValue earlier = past(name);
    whole = {ops::concat({earlier.key, added.key}, 2), ops::concat({earlier.value, added.value}, 2)};
  }
  // The sum as Optimum writes it, the past first, also where a first step has none.
  const std::string sum = past_length_.to_string() + " + " + added.key.dim(2).to_string();
  const Dim& length = whole.key.dim(2);
  presents_.push_back({name, whole, length.is_constant() ? length : Dim::symbol(sum)});
  return whole;
}

void Cache::keep(const std::string& name, const KeyValue& whole) {
  presents_.push_back({name, whole, whole.key.dim(2)});
}

void Cache::write_outputs() const {
  for (const Present& present : presents_) {
    const auto write = [&](std::string_view part, Tensor tensor) {
      m_->output("present." + present.name + "." + std::string(part), tensor,
                 {tensor.dim(0), tensor.dim(1), present.length, tensor.dim(3)});
    };
    write("key", present.whole.key);
    write("value", present.whole.value);
  }
}

void append_present_outputs(std::vector<OutputSpec>& outputs, const std::string& name, const Dim& length) {
  for (const char* part : {"key", "value"})
    outputs.push_back({"present." + name + "." + part, {{0, Dim::symbol("batch_size")}, {2, length}}});
}

void append_past_inputs(std::vector<InputSpec>& inputs, const std::string& name, const CacheShape& shape,
                        const Dim& length) {
  const Dim batch = Dim::symbol("batch_size");
  inputs.push_back({past_name(name, "key"), DataType::Float32, {batch, shape.num_heads, length, shape.key_size}});
  inputs.push_back({past_name(name, "value"), DataType::Float32, {batch, shape.num_heads, length, shape.value_size}});
}

}  // namespace onnxport
