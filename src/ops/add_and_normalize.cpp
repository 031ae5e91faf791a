#include "ops/add_and_normalize.h"

namespace onnxport::ops {

std::optional<std::string> add_and_normalize(LowerContext& c, std::string_view op_type, float epsilon) {
  const std::size_t rank = c.input_type(0).shape.size();
  if (!c.target().contrib_operators || (rank != 2 && rank != 3)) return std::nullopt;
  const auto summands = c.summands(0);
  if (!summands) return std::nullopt;
  std::vector<std::string> inputs{summands->first, summands->second};
  for (std::size_t i = 1; i < c.input_count(); ++i) inputs.push_back(c.input(i));

  // The outputs are the result, mean and deviation, which only training needs, and the sum.
  const bool gives_sum = c.is_used_elsewhere(0);
  const std::vector<std::string> outputs =
      c.emit_outputs(op_type, inputs, {{"epsilon", epsilon}}, gives_sum ? 4 : 1, contrib_domain);
  if (gives_sum) {
    c.leave_out(outputs[1]);
    c.leave_out(outputs[2]);
    c.replace_input(0, outputs[3]);
  }
  return outputs[0];
}

}  // namespace onnxport::ops
