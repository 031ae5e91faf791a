# Every file bench/*.cpp is one program, build/bench/<name>, linked with what bench/support holds.
# Programs are run as the tests run them.
file(GLOB bench_support_sources CONFIGURE_DEPENDS bench/support/*.cpp)
add_library(onnxport_bench_support STATIC ${bench_support_sources} tests/support/process.cpp)
onnxport_configure_target(onnxport_bench_support)
target_include_directories(onnxport_bench_support PUBLIC "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/bench"
                                                         "${PROJECT_SOURCE_DIR}/tests")
target_compile_definitions(onnxport_bench_support
                           PRIVATE ONNXPORT_BENCH_PROGRAM="$<TARGET_FILE:onnxport_program>"
                                   ONNXPORT_BENCH_BUILD_DIRECTORY="${PROJECT_BINARY_DIR}"
                           PUBLIC ONNXPORT_BENCH_SOURCE_DIRECTORY="${PROJECT_SOURCE_DIR}")
target_link_libraries(onnxport_bench_support PUBLIC onnxport fmt::fmt)

file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.cpp)
foreach(source IN LISTS bench_sources)
  cmake_path(GET source STEM name)
  add_executable(bench_${name} ${source})
  onnxport_configure_target(bench_${name})
  set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name}
                                                 RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
  target_link_libraries(bench_${name} PRIVATE onnxport_bench_support)
  add_dependencies(bench_${name} onnxport_program)
endforeach()
