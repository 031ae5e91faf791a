#include "checkpoint/tensorflow_file.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "compare.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using testing::TensorMap;

fs::path root() { return testing::format_fixtures() / "tensorflow"; }

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(root())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// Those that are there in every form.
std::vector<std::string> models_of_all_formats() {
  std::vector<std::string> names = models();
  std::erase_if(names, [](const std::string& name) { return !fs::exists(root() / name / "tf.safetensors"); });
  return names;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& model) {
  std::string name = model.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string class_of(const fs::path& directory) {
  const Json config = parse_json(read_text_file(directory / "config.json"), "config.json");
  return config.find("architectures")->array().front().string();
}

/// What is no parameter of PyTorch's model, or tied to another: from_pretrained(from_tf=True) drops it, we keep it.
/// Buffers of batch normalization and BART's final_logits_bias matter to what a model computes.
bool is_dropped_by_transformers(std::string_view name) {
  return name.ends_with(".running_mean") || name.ends_with(".running_var") || name == "final_logits_bias" ||
         name.ends_with("predictions.decoder.bias") || name == "cls.predictions.decoder.weight" ||
         name == "lm_head.weight";
}

/// The parameters, without what transformers drops, and without tied ones that TensorFlow keeps twice.
void expect_parameters(TensorMap actual, TensorMap expected) {
  std::erase_if(actual, [&](const auto& tensor) {
    return is_dropped_by_transformers(tensor.first) && !expected.contains(tensor.first);
  });
  // A buffer that from_pretrained left at its initial zeros.
  if (expected.erase("final_logits_bias") > 0) {
    EXPECT_EQ(actual.erase("final_logits_bias"), 1U);
  }
  // Integers that PyTorch's model computes anew.
  for (TensorMap* tensors : {&actual, &expected}) {
    std::erase_if(*tensors, [](const auto& tensor) {
      return tensor.first.ends_with(".relative_position_index") || tensor.first.ends_with(".num_batches_tracked");
    });
  }
  testing::expect_equal(actual, expected);
}

class TensorFlowModel : public ::testing::TestWithParam<std::string> {};

/// Every variable arrives, to the bit, where transformers' from_pretrained(from_tf=True) puts it.
TEST_P(TensorFlowModel, BecomesPyTorchs) {
  const fs::path directory = root() / GetParam();
  const TensorMap expected = read_safetensors(directory / "expected.safetensors");
  for (const char* file : {"tf_model.h5", "unnamed.h5"}) {
    if (!fs::exists(directory / file)) continue;
    SCOPED_TRACE(file);
    const TensorFlowVariables variables = read_tensorflow_file(directory / file);
    expect_parameters(pytorch_parameters(variables, class_of(directory), file), expected);
    // The class is known from the variables, too, where the model has a name.
    if (std::string_view(file) == "tf_model.h5") {
      expect_parameters(pytorch_parameters(variables, {}, file), expected);
    }
  }
}

class TensorFlowModelInAllFormats : public ::testing::TestWithParam<std::string> {};

TEST_P(TensorFlowModelInAllFormats, OfShardsAndSafetensors) {
  const fs::path directory = root() / GetParam();
  const TensorMap expected = read_safetensors(directory / "expected.safetensors");
  std::map<std::string, std::string> weight_map;
  const Json index = parse_json(read_text_file(directory / "tf_model.h5.index.json"), "index");
  for (const auto& [variable, file] : index.find("weight_map")->object()) weight_map.emplace(variable, file.string());
  ASSERT_GT(weight_map.size(), 3U);
  expect_parameters(pytorch_parameters(read_tensorflow_shards(directory, weight_map), class_of(directory), "shards"),
                    expected);
  expect_parameters(pytorch_parameters(restore_first_level(read_safetensors(directory / "tf.safetensors")),
                                       class_of(directory), "tf.safetensors"),
                    expected);
}

INSTANTIATE_TEST_SUITE_P(Models, TensorFlowModel, ::testing::ValuesIn(models()), test_name);
INSTANTIATE_TEST_SUITE_P(Models, TensorFlowModelInAllFormats, ::testing::ValuesIn(models_of_all_formats()), test_name);

TEST(TensorFlowFile, StatisticsOfBatchNormalizationAreKept) {
  const TensorFlowVariables variables = read_tensorflow_file(root() / "resnet" / "tf_model.h5");
  const TensorMap parameters = pytorch_parameters(variables, "ResNetForImageClassification", "tf_model.h5");
  const std::string variable = "tf_res_net_for_image_classification/resnet/embedder/embedder/normalization/";
  const std::string parameter = "resnet.embedder.embedder.normalization.";
  EXPECT_TRUE(testing::bytes_of(parameters.at(parameter + "running_mean")) ==
              testing::bytes_of(variables.at(variable + "moving_mean:0")));
  EXPECT_TRUE(testing::bytes_of(parameters.at(parameter + "running_var")) ==
              testing::bytes_of(variables.at(variable + "moving_variance:0")));
}

/// SwiftFormer multiplies images by (C, 1, 1), EfficientFormer rows by (C): parameters of one name, in TensorFlow of
/// one shape. Both were compared whole; the files are too large to keep.
TEST(TensorFlowFile, ScalesOfLayersHaveTheShapeOfTheirModel) {
  const TensorSource scale = from_array(Array(DataType::Float32, {4}));
  const TensorFlowVariables variables{
      {"tf_swift_former_model/swiftformer/encoder/network_._0/blocks_._0/layer_scale_1:0", scale},
      {"tf_swift_former_model/swiftformer/encoder/last_stage/blocks_._0/layer_scale_1:0", scale}};
  const TensorMap parameters = pytorch_parameters(variables, "SwiftFormerModel", "tf_model.h5");
  EXPECT_EQ(parameters.at("encoder.network.0.blocks.0.layer_scale_1").shape, (std::vector<std::int64_t>{4, 1, 1}));
  EXPECT_EQ(parameters.at("encoder.last_stage.blocks.0.layer_scale_1").shape, (std::vector<std::int64_t>{4}));
}

TEST(TensorFlowFile, DenseKernelsAreTransposedLazily) {
  const TensorFlowVariables variables = read_tensorflow_file(root() / "bert" / "tf_model.h5");
  const TensorMap parameters = pytorch_parameters(variables, "BertForMaskedLM", "tf_model.h5");
  const TensorSource& kernel = parameters.at("bert.encoder.layer.0.intermediate.dense.weight");
  EXPECT_TRUE(kernel.bytes.empty());
  EXPECT_EQ(kernel.shape, (std::vector<std::int64_t>{12, 8}));
  const TensorSource& embeddings = parameters.at("bert.embeddings.word_embeddings.weight");
  ASSERT_NE(embeddings.file, nullptr);
  EXPECT_EQ(embeddings.bytes.data(), embeddings.file->bytes().data() + embeddings.file_offset);
}

}  // namespace
}  // namespace onnxport
