#include "checkpoint/tensorflow_names.h"

#include <gtest/gtest.h>

namespace onnxport {
namespace {

using Layout = TensorFlowLayout;

/// What convert_tf_weight_name_to_pt_weight_name gives for the same names.
TEST(TensorFlowNames, AreTranslatedAsTransformersDoes) {
  const auto expect = [](std::string_view variable, std::size_t rank, std::string_view name, Layout layout) {
    EXPECT_EQ(pytorch_name(variable, rank), (PyTorchName{std::string(name), layout})) << variable;
  };
  expect("tf_bert/bert/encoder/layer_._0/attention/self/query/kernel:0", 2,
         "bert.encoder.layer.0.attention.self.query.weight", Layout::Transposed);
  expect("tf_bert/bert/embeddings/LayerNorm/gamma:0", 1, "bert.embeddings.LayerNorm.weight", Layout::Same);
  expect("tf_bert/bert/embeddings/LayerNorm/beta:0", 1, "bert.embeddings.LayerNorm.bias", Layout::Same);
  expect("tf_bert/bert/embeddings/position_embeddings/embeddings:0", 2, "bert.embeddings.position_embeddings.weight",
         Layout::Same);
  expect("tf_bert/mlm___cls/predictions/bias:0", 1, "cls.predictions.bias", Layout::Same);
  expect("tf_vit/vit/patch/projection/kernel:0", 4, "vit.patch.projection.weight", Layout::Conv2d);
  expect("tf_whisper/model/encoder/conv1/kernel:0", 3, "model.encoder.conv1.weight", Layout::Conv1d);
  expect("tf_x/conv/depthwise_kernel:0", 3, "conv.depthwise.weight", Layout::Transposed);
  expect("tf_x/conv/pointwise_kernel:0", 3, "conv.pointwise.weight", Layout::Transposed);
  expect("tf_x/crit/out_projs_._1:0", 2, "crit.out_projs.1", Layout::Transposed);
  expect("tf_x/word_emb/emb_projs_._0:0", 2, "word_emb.emb_projs.0", Layout::Transposed);
  expect("final_logits_bias:0", 2, "final_logits_bias", Layout::Same);
  expect("model.shared/model.shared/embeddings:0", 2, "model.shared.weight", Layout::Same);
  expect("tf_x//a///kernel:0", 2, "a.weight", Layout::Transposed);
  expect("tf_x/a___b___c/d:0", 1, "c.d", Layout::Same);
  expect("tf_x/a____b/d:0", 1, "b.d", Layout::Same);
  // The slash behind one match cannot begin the next one.
  expect("tf_x/a___b/c___d/e:0", 1, "b.c___d.e", Layout::Same);
  expect("tf_x/layer/a___b:0", 1, "layer.a___b", Layout::Same);
  expect("tf_x/bn/moving_mean:0", 1, "bn.running_mean", Layout::Same);
  expect("", 0, "", Layout::Same);
  expect("/", 0, "", Layout::Same);
  expect("///", 0, "", Layout::Same);
}

}  // namespace
}  // namespace onnxport
