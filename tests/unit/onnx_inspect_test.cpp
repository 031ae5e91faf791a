#include "onnx/inspect.h"
#include "onnx/writer.h"
#include "onnx_test_support.h"

namespace onnxport::onnx {
namespace {

class OnnxInspectTest : public TemporaryDirectoryTest {
 protected:
  Json inspect(const Model& model, const WriteOptions& options = {}) {
    write_model(model, directory_ / "model.onnx", options);
    return inspect_model(directory_ / "model.onnx");
  }

  static Model example() {
    Model model = small_model(from_array(counting({30, 100})));
    model.metadata["task"] = "text-classification";
    model.graph.initializers.push_back({"bias", from_array(counting({4}))});
    for (int i = 0; i < 3; ++i) model.graph.nodes.push_back({"MatMul", "", "", {"x", "weight"}, {"h"}, {}});
    model.graph.nodes.push_back({"QuickGelu", "com.microsoft", "", {"x"}, {"z"}, {}});
    return model;
  }
};

TEST_F(OnnxInspectTest, TellsWhatIsInTheModel) {
  const Json inspection = inspect(example());
  EXPECT_EQ(dump_json(*inspection.find("opsets")), R"({"": 17, "com.microsoft": 1})");
  EXPECT_EQ(dump_json(*inspection.find("metadata")), R"({"task": "text-classification"})");
  EXPECT_EQ(dump_json(*inspection.find("inputs")),
            R"([{"name": "x", "data_type": "float32", "shape": ["batch_size", 4]}])");
  EXPECT_EQ(dump_json(*inspection.find("nodes")),
            R"({"count": 5, "in_subgraphs": 0, "operators": [)"
            R"({"op_type": "MatMul", "domain": "", "count": 3}, )"
            R"({"op_type": "Add", "domain": "", "count": 1}, )"
            R"({"op_type": "QuickGelu", "domain": "com.microsoft", "count": 1}], "functions": 0})");
  EXPECT_EQ(dump_json(*inspection.find("initializers")),
            R"({"count": 2, "elements": 3004, "bytes": 12016, "missing": 0, "tensors": [)"
            R"({"name": "weight", "data_type": "float32", "shape": [30, 100], "bytes": 12000, "location": "model"}, )"
            R"({"name": "bias", "data_type": "float32", "shape": [4], "bytes": 16, "location": "model"}]})");
  EXPECT_EQ(inspection.find("external_files")->array().size(), 0U);
}

TEST_F(OnnxInspectTest, DrawsAlignedColumns) {
  Json inspection = inspect(example());
  inspection.set("file", "model.onnx");
  inspection.set("file_size", 12345);
  EXPECT_EQ(format_inspection(inspection),
            R"(model.onnx  12.3 kB
  producer    onnxport 1.2
  IR version  8
  opsets      ai.onnx 17, com.microsoft 1
  graph       main_graph
  task        text-classification

Inputs
  x  float32  [batch_size, 4]

Outputs
  y  float32  [batch_size, 4]

Operators: 5 nodes of 3 kinds
  MatMul                   3  ████████████████████████
  Add                      1  ████████
  com.microsoft.QuickGelu  1  ████████

Weights: 2 initializers, 3,004 elements, 12.0 kB
  weight  float32  [30, 100]  12.0 kB  99.9 %  ████████████████████████
  bias    float32  [4]           16 B   0.1 %  ▏
)");
}

TEST_F(OnnxInspectTest, NamesExternalFiles) {
  WriteOptions options;
  options.weights = WeightStorage::External;
  const Json inspection = inspect(example(), options);
  EXPECT_EQ(dump_json(*inspection.find("external_files")), R"([{"name": "model.onnx_data", "size": 12000}])");
  const std::string drawing = format_inspection(inspection);
  EXPECT_NE(drawing.find("external data  model.onnx_data  12.0 kB"), std::string::npos) << drawing;
}

TEST_F(OnnxInspectTest, ReportsMissingExternalData) {
  WriteOptions options;
  options.weights = WeightStorage::External;
  inspect(example(), options);
  std::filesystem::remove(directory_ / "model.onnx_data");
  const Json inspection = inspect_model(directory_ / "model.onnx");
  EXPECT_EQ(inspection.find("initializers")->find("missing")->integer(), 1);
  const std::string drawing = format_inspection(inspection);
  EXPECT_NE(drawing.find("weight (missing)"), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("the external data of 1 is missing"), std::string::npos) << drawing;
}

TEST_F(OnnxInspectTest, SumsUpSmallerTensors) {
  Model model = example();
  for (int i = 0; i < 40; ++i) model.graph.initializers.push_back({"t" + std::to_string(i), from_array(counting({1}))});
  const std::string drawing = format_inspection(inspect(model));
  EXPECT_NE(drawing.find("… and 27 smaller ones"), std::string::npos) << drawing;
}

TEST_F(OnnxInspectTest, UnknownShapesAndEmptyModelsAreDrawn) {
  Model model;
  model.graph.outputs = {{"y", DataType::Float32, {}, false}, {"z", DataType::Float32, {std::string()}}};
  const std::string drawing = format_inspection(inspect(model));
  EXPECT_NE(drawing.find("y  float32  of unknown rank"), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("z  float32  [?]"), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("Operators: 0 nodes of 0 kinds"), std::string::npos) << drawing;
}

TEST_F(OnnxInspectTest, HostileTextNeitherBreaksJsonNorReachesTheTerminal) {
  Model model = example();
  model.producer_name = "\x1b[2J\xff\xc2\x9b";
  model.metadata["line\nbreak"] = std::string(1000, 'x');
  const Json inspection = inspect(model);
  EXPECT_NO_THROW(parse_json(dump_json(inspection), "inspection"));
  const std::string drawing = format_inspection(inspection);
  EXPECT_EQ(drawing.find('\x1b'), std::string::npos);
  EXPECT_EQ(drawing.find("\xc2\x9b"), std::string::npos);
  EXPECT_EQ(drawing.find("line\nbreak"), std::string::npos);
  EXPECT_EQ(drawing.find(std::string(100, 'x')), std::string::npos);
}

}  // namespace
}  // namespace onnxport::onnx
