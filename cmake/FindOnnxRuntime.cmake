# ONNX Runtime: its headers, and the directory of a library to load at run time. Nothing links the library: the program
# loads it when it first runs a model, so that everything else starts at once and works without it.
#
# Looks in ONNXRUNTIME_ROOT (CMake or environment variable), then in .deps/onnxruntime, which tools/setup.sh fills, then
# in the system's directories. Defines OnnxRuntime::Headers and OnnxRuntime_LIBRARY_DIR (empty if there is none: the
# program then finds a library by itself, or says how to install one).
set(OnnxRuntime_hints ${ONNXRUNTIME_ROOT} $ENV{ONNXRUNTIME_ROOT} "${PROJECT_SOURCE_DIR}/.deps/onnxruntime")
find_path(OnnxRuntime_INCLUDE_DIR NAMES onnxruntime_cxx_api.h HINTS ${OnnxRuntime_hints}
          PATH_SUFFIXES include include/onnxruntime onnxruntime)
find_library(OnnxRuntime_LIBRARY NAMES onnxruntime HINTS ${OnnxRuntime_hints} PATH_SUFFIXES lib)
mark_as_advanced(OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY)

set(OnnxRuntime_LIBRARY_DIR "")
if(OnnxRuntime_LIBRARY)
  cmake_path(GET OnnxRuntime_LIBRARY PARENT_PATH OnnxRuntime_LIBRARY_DIR)
endif()
# The headers state the version of the C API alone: 21 in ONNX Runtime 1.21.
set(OnnxRuntime_VERSION "")
if(OnnxRuntime_INCLUDE_DIR)
  file(STRINGS "${OnnxRuntime_INCLUDE_DIR}/onnxruntime_c_api.h" OnnxRuntime_version_line
       REGEX "^#define ORT_API_VERSION [0-9]+" LIMIT_COUNT 1)
  string(REGEX REPLACE "^#define ORT_API_VERSION ([0-9]+).*" "1.\\1" OnnxRuntime_VERSION "${OnnxRuntime_version_line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxRuntime REQUIRED_VARS OnnxRuntime_INCLUDE_DIR VERSION_VAR OnnxRuntime_VERSION
                                  REASON_FAILURE_MESSAGE "run tools/setup.sh, or set ONNXRUNTIME_ROOT")

if(OnnxRuntime_FOUND AND NOT TARGET OnnxRuntime::Headers)
  add_library(OnnxRuntime::Headers INTERFACE IMPORTED)
  set_target_properties(OnnxRuntime::Headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntime_INCLUDE_DIR}")
endif()
