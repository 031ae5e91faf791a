# Every file bench/*.cpp is one program, build/bench/<name>. Most use Google Benchmark; main stands in each file.
find_package(benchmark REQUIRED)

file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.cpp)
foreach(source IN LISTS bench_sources)
  cmake_path(GET source STEM name)
  add_executable(bench_${name} ${source})
  onnxport_configure_target(bench_${name})
  set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name}
                                                 RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
  target_include_directories(bench_${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(bench_${name} PRIVATE onnxport fmt::fmt benchmark::benchmark)
endforeach()
