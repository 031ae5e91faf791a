#include "onnxport/optimizer.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <utility>

#include "export/ort_config.h"
#include "export/rewrite.h"
#include "onnx/node_names.h"
#include "onnx/reader.h"
#include "onnxport/error.h"
#include "optimization/float16.h"
#include "optimization/optimize_model.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 10> kFusedOperators = {"Attention",
                                                              "BiasGelu",
                                                              "EmbedLayerNormalization",
                                                              "FastGelu",
                                                              "Gelu",
                                                              "MultiHeadAttention",
                                                              "QuickGelu",
                                                              "RotaryEmbedding",
                                                              "SkipLayerNormalization",
                                                              "SkipSimplifiedLayerNormalization"};

OperatorCounts count_operators(const onnx::Model& model) {
  OperatorCounts counts;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      ++counts[node.domain.empty() || node.domain == "ai.onnx" ? node.op_type : node.domain + "." + node.op_type];
  });
  return counts;
}

std::int64_t count_nodes(const OperatorCounts& counts) {
  std::int64_t sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum;
}

void refuse_quantized(const onnx::Model& model, const fs::path& file) {
  constexpr std::array<std::string_view, 8> kQuantized = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
                                                          "MatMulInteger",  "QLinearMatMul",    "MatMulNBits",
                                                          "ConvInteger",    "QLinearConv"};
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      if (std::find(kQuantized.begin(), kQuantized.end(), node.op_type) != kQuantized.end())
        throw Error(ErrorKind::InvalidModel, file.string() + " is already quantized: node " + quote_json(node.name) +
                                                 " is " + node.op_type + ". Optimize first, then quantize");
  });
}

void check_block_lists(const HalfPrecision& half_precision, const std::vector<fs::path>& files) {
  if (half_precision.op_block_list.empty() && half_precision.node_block_list.empty()) return;
  std::set<std::string> operators;
  std::set<std::string> nodes;
  onnx::for_each_node(files, [&](const onnx::Node& node) {
    operators.insert(node.op_type);
    if (!node.name.empty()) nodes.insert(node.name);
  });
  onnx::check_known(half_precision.op_block_list, operators, "operator is called", files);
  onnx::check_known(half_precision.node_block_list, nodes, "node is called", files);
}

optimization::Float16Options float16_options(const HalfPrecision& half_precision) {
  optimization::Float16Options options;
  if (half_precision.bfloat16) options.type = DataType::BFloat16;
  options.op_block_list.insert(half_precision.op_block_list.begin(), half_precision.op_block_list.end());
  options.node_block_list.insert(half_precision.node_block_list.begin(), half_precision.node_block_list.end());
  return options;
}

}  // namespace

ORTOptimizer ORTOptimizer::from_pretrained(const fs::path& model, const std::vector<std::string>& file_names) {
  find_onnx_files(model, file_names);
  ORTOptimizer optimizer;
  optimizer.model_ = model;
  optimizer.file_names_ = file_names;
  return optimizer;
}

OptimizationResult ORTOptimizer::optimize(const OptimizationConfig& config, const fs::path& save_dir,
                                          const std::string& file_suffix, bool external_data) const {
  if (config.fp16) check_block_lists(half_precision, find_onnx_files(model_, file_names_));
  OptimizationResult result;
  bool has_external_data = external_data;
  RewriteOptions options;
  options.model = model_;
  options.output = save_dir;
  options.suffix = file_suffix;
  options.file_names = file_names_;
  options.external_data = external_data;
  options.progress = progress;
  options.documents = [&] {
    OrtConfig ort_config;
    ort_config.use_external_data_format = has_external_data;
    ort_config.optimization = config.to_json().object();
    return std::vector<std::pair<std::string, Json>>{{"ort_config.json", to_json(std::move(ort_config))}};
  };
  RewriteResult rewritten = rewrite_models(options, [&](onnx::Model& model, const fs::path& file) {
    refuse_quantized(model, file);
    onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
      for (const onnx::Initializer& initializer : graph.initializers)
        if (!initializer.location.empty()) has_external_data = true;
    });
    OptimizedModel entry;
    entry.source_operators = count_operators(model);
    optimization::optimize_model(model, config, entry);
    if (config.fp16)
      entry.applied["Float16"] = optimization::convert_to_float16(model, float16_options(half_precision));
    entry.operators = count_operators(model);
    result.models.push_back(std::move(entry));
  });
  for (std::size_t i = 0; i < result.models.size(); ++i) {
    const RewrittenModel& source = rewritten.models[i];
    OptimizedModel& entry = result.models[i];
    entry.source = source.source;
    entry.path = source.path;
    entry.source_bytes = source.source_bytes;
    entry.bytes = source.bytes;
  }
  result.files = std::move(rewritten.files);
  return result;
}

OperatorCounts ORTOptimizer::get_fused_operators(const fs::path& onnx_model_path) {
  OperatorCounts fused;
  const onnx::Model model = onnx::read_model(onnx_model_path);
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      if (node.domain == "com.microsoft" &&
          std::find(kFusedOperators.begin(), kFusedOperators.end(), node.op_type) != kFusedOperators.end())
        ++fused[node.op_type];
  });
  return fused;
}

std::int64_t ORTOptimizer::get_nodes_number_difference(const fs::path& onnx_model_path,
                                                       const fs::path& onnx_optimized_model_path) {
  return count_nodes(count_operators(onnx::read_model(onnx_model_path))) -
         count_nodes(count_operators(onnx::read_model(onnx_optimized_model_path)));
}

OperatorCounts ORTOptimizer::get_operators_difference(const fs::path& onnx_model_path,
                                                      const fs::path& onnx_optimized_model_path) {
  OperatorCounts difference = count_operators(onnx::read_model(onnx_model_path));
  for (const auto& [name, count] : count_operators(onnx::read_model(onnx_optimized_model_path)))
    difference[name] -= count;
  std::erase_if(difference, [](const auto& entry) { return entry.second == 0; });
  return difference;
}

}  // namespace onnxport
