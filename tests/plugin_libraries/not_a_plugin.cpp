// A shared library that is no plugin, and that leaves a file behind when it is loaded.
#include <cstdio>

namespace {

__attribute__((constructor)) void loaded() {
  if (std::FILE* file = std::fopen("the-library-was-loaded", "w")) std::fclose(file);
}

}  // namespace
