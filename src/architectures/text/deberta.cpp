// DeBERTa (He et al., 2020): HF's DebertaModel, whose attention tells content from position, and its heads.
#include "architectures/text/deberta_layers.h"

namespace onnxport {
namespace {

/// One of query, key and value, which lie together head by head in `in_proj`.
Tensor in_projection(ModelBuilder& m, Weights w, Tensor x, std::int64_t part, std::string_view name,
                     std::optional<Tensor> bias) {
  const TensorSource& packed = w.source("in_proj.weight");
  const std::int64_t heads = m.config.positive("num_attention_heads");
  const std::int64_t hidden_size = packed.shape.back();
  if (packed.shape[0] != 3 * hidden_size || hidden_size % heads != 0)
    m.config.fail("num_attention_heads", "must divide hidden_size");
  const TensorSource by_head = reshape(packed, {heads, 3, hidden_size / heads, hidden_size});
  const TensorSource own = reshape(slice(by_head, 1, part, part + 1), {hidden_size, hidden_size});
  return ops::linear(x, w.add("in_proj." + std::string(name) + ".weight", own), bias);
}

DisentangledProjections project(ModelBuilder& m, Weights w, Tensor x, std::optional<Tensor> relative) {
  if (m.config.boolean("talking_head", false)) m.config.unsupported("talking_head");
  DisentangledProjections result{.query = in_projection(m, w, x, 0, "query", w["q_bias"]),
                                 .key = in_projection(m, w, x, 1, "key", std::nullopt),
                                 .value = in_projection(m, w, x, 2, "value", w["v_bias"])};
  if (relative && attends(m.config, "c2p")) result.position_key = nn::linear(*relative, w / "pos_proj");
  if (relative && attends(m.config, "p2c")) result.position_query = nn::linear(*relative, w / "pos_q_proj");
  return result;
}

}  // namespace

void register_deberta(Registry& registry) {
  TextEncoder encoder = deberta_family("deberta", "Deberta", {.project = project});
  encoder.defaults.emplace_back("vocab_size", 50265);
  register_text_encoder(registry, std::move(encoder));
}

}  // namespace onnxport
