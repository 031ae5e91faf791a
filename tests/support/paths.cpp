#include "support/paths.h"

namespace onnxport::testing {

std::filesystem::path source_directory() { return ONNXPORT_SOURCE_DIRECTORY; }
std::string test_program() { return ONNXPORT_TEST_PROGRAM; }

}  // namespace onnxport::testing
