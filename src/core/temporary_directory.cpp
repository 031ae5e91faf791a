#include "core/temporary_directory.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "onnxport/error.h"

namespace onnxport {

namespace fs = std::filesystem;

TemporaryDirectory::TemporaryDirectory() {
  std::error_code error;
  std::string name = (fs::canonical(fs::temp_directory_path(error), error) / "onnxport-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr)
    throw Error(ErrorKind::OutputFailed, "a temporary directory cannot be made" +
                                             (error ? std::string() : " as " + name) + ": " +
                                             (error ? error.message() : std::generic_category().message(errno)) +
                                             ". TMPDIR names another place");
  path_ = std::move(name);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace onnxport
