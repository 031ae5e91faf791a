// onnxport new-architecture: what it writes builds as it is, and exports.
#include "architectures/registry.h"
#include "checkpoint/checkpoint.h"
#include "cli_test.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliNewArchitecture : public CliTest {
 protected:
  /// As much of a checkout as the command looks at.
  void make_checkout() const {
    fs::create_directories(path("onnxport/tests/golden/tools"));
    fs::create_directories(path("onnxport/src"));
    fs::copy(source_directory() / "src/architectures", path("onnxport/src/architectures"), fs::copy_options::recursive);
    fs::copy(source_directory() / "tests/golden/tools/text.py", path("onnxport/tests/golden/tools/text.py"));
  }

  ProcessResult run_in(const std::string& directory, const std::vector<std::string>& arguments) const {
    std::vector<std::string> command{test_program(), "new-architecture"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run_process(command, {.working_directory = path(directory)});
  }
};

TEST_F(CliNewArchitecture, InACheckout) {
  make_checkout();
  const ProcessResult result = run_in("onnxport/src", {"my_model", "--from", "distilbert"});
  ASSERT_TRUE(succeeded(result));
  for (const char* part : {"src/architectures/text/my_model.cpp: ", "text.py --out tests/golden/fixtures my_model",
                           "--gtest_filter='*/my_model*"})
    EXPECT_TRUE(contains(result.output, part)) << result.output;
  const std::string file = read_file(path("onnxport/src/architectures/text/my_model.cpp"));
  for (const char* part : {"// MyModel, begun as a copy of distilbert.cpp",
                           "void register_my_model(Registry& registry)", ".model_type = \"my_model\"",
                           ".base_model_prefix = \"my_model\"", ".class_prefix = \"MyModel\"", "{\"n_layers\", 6}"})
    EXPECT_TRUE(contains(file, part)) << part << "\n" << file;
  EXPECT_FALSE(contains(file, "\"distilbert\""));
  const std::string tool = read_file(path("onnxport/tests/golden/tools/text.py"));
  EXPECT_TRUE(contains(tool, "\"xlm-roberta-xl\", \"my_model\"]")) << tool.substr(0, 3000);

  const ProcessResult again = run_in("onnxport", {"my_model", "--from", "bert"});
  EXPECT_TRUE(failed(again, 1, {"my_model.cpp exists; it is left as it is"}));
  EXPECT_EQ(read_file(path("onnxport/src/architectures/text/my_model.cpp")), file);
}

TEST_F(CliNewArchitecture, InTheRoomOfItsRelative) {
  make_checkout();
  const ProcessResult result = run({"new-architecture", "my-vit", "--from", "vit", "--output", "onnxport"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(fs::exists(path("onnxport/src/architectures/vision/my_vit.cpp")));
  EXPECT_TRUE(contains(result.output, "text.py does not make fixtures of vit")) << result.output;
}

TEST_F(CliNewArchitecture, EveryArchitectureHasASkeleton) {
  for (const auto& [model_type, architecture] : registry().architectures()) {
    const std::string output = "new-" + model_type;
    const ProcessResult result = run_process({test_program(), "new-architecture", "my_model", "--from", model_type,
                                              "--plugin", "--output", path(output).string()},
                                             {.working_directory = source_directory()});
    ASSERT_TRUE(succeeded(result)) << model_type;
    EXPECT_EQ(files(output), (std::vector<std::string>{"CMakeLists.txt", "my_model.cpp"}));
    const std::string text = read_file(path(output + "/my_model.cpp"));
    EXPECT_TRUE(contains(text, "\nvoid register_my_model(Registry& registry)")) << model_type;
    EXPECT_TRUE(contains(text, "model_type = \"my_model\"")) << model_type;
  }
}

TEST_F(CliNewArchitecture, WrongInputsAreRefused) {
  make_checkout();
  EXPECT_TRUE(failed(run_in("onnxport", {"bert", "--from", "electra"}), 1, {"has the model type bert already"}));
  EXPECT_TRUE(failed(run_in("onnxport", {"my_model", "--from", "brt"}), 1,
                     {"model_type \"brt\" of --from is not supported", "nearest: bert"}));
  for (const char* name : {"My_Model", "../x", "9", "a b", "a.b"})
    EXPECT_TRUE(failed(run_in("onnxport", {name}), 2, {"small letters, digits, - and _"})) << name;
  EXPECT_TRUE(failed(run({"new-architecture", "my_model", "--from", "bert"}), 1, {"is in no checkout", "--plugin"}));
  write_file(path("my_model/notes.txt"), "mine");
  EXPECT_TRUE(failed(
      run_process({test_program(), "new-architecture", "my_model", "--plugin", "--output", path("my_model").string()},
                  {.working_directory = source_directory()}),
      1, {"my_model exists; it is left as it is"}));
  EXPECT_EQ(files("my_model"), std::vector<std::string>{"notes.txt"});
}

/// With what an installation has, and nothing of the checkout.
TEST_F(CliNewArchitecture, APluginBuildsAsItIsWrittenAndExports) {
  const std::string prefix = path("prefix").string();
  ASSERT_TRUE(succeeded(run_process({ONNXPORT_CMAKE, "--install", ONNXPORT_BINARY_DIRECTORY, "--prefix", prefix})));
  const std::string program = prefix + "/bin/onnxport";
  // One that a file of its own defines, and one of a family: whose names of tensors stay.
  for (const auto& [from, task, old_prefix] :
       {std::tuple<std::string, std::string, std::string>{"bert", "fill-mask", "bert."},
        {"xlm-roberta", "text-classification", ""}}) {
    const std::string name = "my_" + from.substr(0, 3);
    ASSERT_TRUE(succeeded(
        run_process({program, "new-architecture", name, "--from", from, "--plugin"}, {.working_directory = path("")})));
    const std::string project = path(name).string();
    const std::string build = project + "/build";
    ASSERT_TRUE(succeeded(run_process({ONNXPORT_CMAKE, "-S", project, "-B", build, "-G", ONNXPORT_CMAKE_GENERATOR,
                                       "-DCMAKE_PREFIX_PATH=" + prefix, "-DCMAKE_BUILD_TYPE=Debug",
                                       std::string("-DCMAKE_CXX_COMPILER=") + ONNXPORT_CXX_COMPILER,
                                       std::string("-DCMAKE_CXX_FLAGS=") + ONNXPORT_CXX_FLAGS})));
    ASSERT_TRUE(succeeded(run_process({ONNXPORT_CMAKE, "--build", build})));

    make_checkpoint(from, task, name + "/checkpoint");
    Checkpoint checkpoint = open_checkpoint(project + "/checkpoint");
    checkpoint.config.set("model_type", name);
    write_file(project + "/checkpoint/config.json", dump_json(checkpoint.config));
    std::map<std::string, TensorSource, std::less<>> tensors;
    for (const auto& [tensor, source] : checkpoint.tensors)
      tensors.emplace(
          !old_prefix.empty() && tensor.starts_with(old_prefix) ? name + tensor.substr(old_prefix.size() - 1) : tensor,
          source);
    write_safetensors(project + "/model.safetensors", tensors);
    fs::rename(project + "/model.safetensors", project + "/checkpoint/model.safetensors");
    const ProcessResult result = run_process({program, "export", "onnx", "--plugin", build + "/lib" + name + ".so",
                                              "--model", project + "/checkpoint", "--reference",
                                              reference_file(from, task).string(), "--json", project + "/exported"});
    ASSERT_TRUE(succeeded(result));
    const Json report = parse_json(result.output, "stdout");
    EXPECT_EQ(at(report, "task").string(), task);
    EXPECT_EQ(at(report, "model_type").string(), name);
    EXPECT_TRUE(at(report, "validated").boolean());
    EXPECT_EQ(dump_json(at(report, "unused_tensors")), "[]");
  }
}

}  // namespace
}  // namespace onnxport::testing
