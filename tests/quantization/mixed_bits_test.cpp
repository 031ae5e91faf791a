// Which layers k_quant_mixed gives 8 bits, against the rule of onnxruntime-genai's builder evaluated by Python:
//   [i for i in range(n) if i < n / 8 or i >= 7 * n / 8 or (i - round(n / 8)) % 3 == 2]
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quantization/weight_only/weight_graph.h"

namespace onnxport::quantization {
namespace {

std::vector<WeightNode> decoder(int layers) {
  std::vector<WeightNode> nodes;
  for (int i = 0; i < layers; ++i)
    for (const char* part : {"attn/c_attn", "attn/c_proj", "mlp/c_fc", "mlp/c_proj"})
      nodes.push_back({"/transformer/h." + std::to_string(i) + "/" + part + "/Gemm", "Gemm", "w", WeightLayout::Rows});
  nodes.push_back({"/lm_head/Gemm", "Gemm", "w", WeightLayout::Rows});
  return nodes;
}

TEST(MixedBits, LayersAreThoseOfOnnxRuntimeGenAi) {
  const std::map<int, std::vector<int>> expected = {{1, {0}},
                                                    {2, {0}},
                                                    {6, {0, 3}},
                                                    {8, {0, 3, 6, 7}},
                                                    {12, {0, 1, 4, 7, 10, 11}},
                                                    {20, {0, 1, 2, 4, 7, 10, 13, 16, 18, 19}}};
  for (const auto& [layers, more] : expected) {
    std::vector<std::string> names;
    for (const int layer : more)
      for (const char* part : {"attn/c_attn", "mlp/c_proj"})
        names.push_back("/transformer/h." + std::to_string(layer) + "/" + part + "/Gemm");
    names.push_back("/lm_head/Gemm");
    std::vector<std::string> chosen;
    for (const auto& [name, bits] : k_quant_mixed_bits(decoder(layers))) {
      EXPECT_EQ(bits, 8);
      chosen.push_back(name);
    }
    EXPECT_EQ(chosen, names) << layers << " layers";
  }
}

}  // namespace
}  // namespace onnxport::quantization
