#include "checkpoint/read_config.h"

#include <system_error>

#include "checkpoint/checkpoint.h"
#include "onnxport/json.h"

namespace onnxport {

Config read_config(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "config.json";
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return Config(Json::Object{}, file.string());
  return Config(parse_json(read_text_file(file), file.string()), file.string());
}

}  // namespace onnxport
