#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/array.h"

namespace onnxport {

enum class GraphOptimization { Disabled, Basic, Extended, All };

struct SessionOptions {
  int intra_op_num_threads = 0;  ///< 0: ONNX Runtime's choice
  GraphOptimization graph_optimization = GraphOptimization::All;
  /// False keeps ONNX Runtime from copying weights into its packed layout: less memory, slower products.
  bool prepacking = true;
};

/// An ONNX Runtime session on the CPU. libonnxruntime.so is loaded when the first one is made, so that commands which
/// do not need it start at once. No header of ONNX Runtime is needed by users of this class.
class Session {
 public:
  struct Value {
    std::string name;
    DataType data_type;
    std::vector<std::int64_t> shape;          ///< -1 for a dynamic axis
    std::vector<std::string> symbolic_shape;  ///< "" for a fixed axis
  };

  /// Throws Error(RuntimeFailed) with ONNX Runtime's message; says how to install it if the library is not found.
  explicit Session(const std::filesystem::path& model, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  const std::vector<Value>& inputs() const;
  const std::vector<Value>& outputs() const;

  /// Runs the model; results stand in the order of `output_names`, or of outputs() if it is empty.
  std::vector<Array> run(std::span<const std::pair<std::string, Array>> inputs,
                         std::span<const std::string> output_names = {}) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Version of the ONNX Runtime library in use ("1.32.0"), and where it was found.
std::string onnxruntime_version();
std::filesystem::path onnxruntime_library();

}  // namespace onnxport
