#include "export/ort_config.h"

#include <algorithm>
#include <utility>

namespace onnxport {
namespace {

Json sorted(Json::Object members) {
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return members;
}

}  // namespace

Json to_json(OrtConfig config) {
  return sorted({{"one_external_file", config.one_external_file},
                 {"opset", config.opset ? Json(*config.opset) : Json()},
                 {"optimization", sorted(std::move(config.optimization))},
                 {"quantization", sorted(std::move(config.quantization))},
                 {"use_external_data_format", config.use_external_data_format}});
}

}  // namespace onnxport
