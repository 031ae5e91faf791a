// onnxport env: what a bug report should say about the machine.
#include <fstream>
#include <string>

#include <fmt/core.h>
#include <sys/utsname.h>

#include "cli/commands.h"
#include "core/parallel_for.h"
#include "onnxport/error.h"
#include "runtime/session.h"

namespace onnxport::cli {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string system_name() {
  utsname name{};
  return uname(&name) == 0 ? fmt::format("{} {} {}", name.sysname, name.release, name.machine) : "unknown";
}

std::string describe_onnxruntime() {
  try {
    const std::string version = onnxruntime_version();
    return fmt::format("{}, {}", version, onnxruntime_library().string());
  } catch (const Error& error) {
    return error.what();
  }
}

int print_environment() {
  fmt::print("onnxport      {}\n", ONNXPORT_VERSION);
  fmt::print("ONNX Runtime  {}\n", describe_onnxruntime());
  fmt::print("system        {}\n", system_name());
  fmt::print("processor     {}, {} threads used\n", processor_name(), thread_count());
  return 0;
}

}  // namespace

Command env_command() {
  return {.name = "env",
          .summary = "Prints versions, the ONNX Runtime library in use and the machine, for bug reports",
          .run = print_environment};
}

}  // namespace onnxport::cli
