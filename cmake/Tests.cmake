# Every folder of tests/ is one executable, onnxport_<folder>_tests; a new file or folder needs no word here.
#   tests/support/         linked into all of them
#   tests/fuzz/            fuzzers, one executable for each file, see below
#   tests/cmake_package/   a project that uses the installed package
#   tests/plugin_libraries/   shared libraries to load as plugins, one for each file; most of them are wrong
find_package(GTest REQUIRED)
include(GoogleTest)

file(GLOB_RECURSE support_sources CONFIGURE_DEPENDS tests/support/*.cpp)
add_library(onnxport_test_support STATIC ${support_sources})
onnxport_configure_target(onnxport_test_support)
target_include_directories(onnxport_test_support PUBLIC "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
target_link_libraries(onnxport_test_support PUBLIC onnxport fmt::fmt nlohmann_json::nlohmann_json Protozero::Protozero
                                                   GTest::gtest)
# What tests know of their surroundings is told to single sources: the others compile to the same wherever they lie.
set_property(
  SOURCE tests/support/paths.cpp
  PROPERTY COMPILE_DEFINITIONS ONNXPORT_TEST_PROGRAM="${PROJECT_BINARY_DIR}/onnxport"
           ONNXPORT_SOURCE_DIRECTORY="${PROJECT_SOURCE_DIR}")

file(GLOB test_folders CONFIGURE_DEPENDS LIST_DIRECTORIES true RELATIVE "${PROJECT_SOURCE_DIR}/tests" tests/*)
list(REMOVE_ITEM test_folders support fuzz cmake_package plugin_libraries)
foreach(folder IN LISTS test_folders)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "tests/${folder}/*.cpp")
  if(NOT sources)
    continue()
  endif()
  set(test onnxport_${folder}_tests)
  add_executable(${test} ${sources})
  onnxport_configure_target(${test})
  target_link_libraries(${test} PRIVATE onnxport_test_support)
  # A folder may bring its own main.
  if(NOT EXISTS "${PROJECT_SOURCE_DIR}/tests/${folder}/main.cpp")
    target_link_libraries(${test} PRIVATE GTest::gtest_main)
  endif()
  if(TARGET onnxport_program)
    add_dependencies(${test} onnxport_program)
  endif()
  # Tests are listed when ctest starts, and again when the executable changed. Fixtures count as parts of it, as they
  # make tests of their own: else ctest would not hear of a new one.
  file(GLOB_RECURSE fixtures CONFIGURE_DEPENDS "tests/${folder}/*")
  list(REMOVE_ITEM fixtures ${sources})
  set_target_properties(${test} PROPERTIES LINK_DEPENDS "${fixtures}")
  gtest_discover_tests(${test} DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES TEST_PREFIX "${folder}/" DISCOVERY_TIMEOUT 60
                       WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}" PROPERTIES TIMEOUT 600)
endforeach()

# ---- Plugins: examples/plugin and tests/plugin_libraries/*.cpp -------------------------------------------------------

onnxport_add_plugin(acme "${PROJECT_SOURCE_DIR}/examples/plugin/acme.cpp")
set(plugins acme)
file(GLOB plugin_sources CONFIGURE_DEPENDS tests/plugin_libraries/*.cpp)
foreach(source IN LISTS plugin_sources)
  cmake_path(GET source STEM name)
  add_library(plugin_${name} MODULE ${source})
  target_link_libraries(plugin_${name} PRIVATE onnxport::plugin)
  set_target_properties(plugin_${name} PROPERTIES OUTPUT_NAME ${name})
  list(APPEND plugins plugin_${name})
endforeach()
set_target_properties(${plugins} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/plugins")
add_dependencies(onnxport_cli_tests ${plugins})
onnxport_enable_plugins(onnxport_cli_tests)
set_property(
  SOURCE tests/cli/plugin_test.cpp tests/cli/new_architecture_test.cpp tests/cli/usage_test.cpp
  PROPERTY
    COMPILE_DEFINITIONS
    ONNXPORT_VERSION="${PROJECT_VERSION}" ONNXPORT_TEST_PLUGINS="${PROJECT_BINARY_DIR}/plugins" ONNXPORT_BINARY_DIRECTORY="${PROJECT_BINARY_DIR}"
    ONNXPORT_CMAKE="${CMAKE_COMMAND}" ONNXPORT_CMAKE_GENERATOR="${CMAKE_GENERATOR}"
    ONNXPORT_CXX_COMPILER="${CMAKE_CXX_COMPILER}" ONNXPORT_CXX_FLAGS="${CMAKE_CXX_FLAGS}")

# ---- Fuzzers: tests/fuzz/*.cpp, each with an LLVMFuzzerTestOneInput --------------------------------------------------

# GCC has no libFuzzer: tests/fuzz/driver.cpp feeds the corpus and deterministic mutations of it, so every run of the
# tests fuzzes a little. For real campaigns: clang++ with -DONNXPORT_LIBFUZZER=ON and
# -DCMAKE_CXX_FLAGS=-fsanitize=fuzzer-no-link,address,undefined, and then build/fuzz/<name> as libFuzzer's manual says.
option(ONNXPORT_LIBFUZZER "Link the fuzzers with clang's libFuzzer" OFF)
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/*.cpp)
list(FILTER fuzz_sources EXCLUDE REGEX "/driver\\.cpp$")
foreach(source IN LISTS fuzz_sources)
  cmake_path(GET source STEM name)
  set(fuzzer fuzz_${name})
  add_executable(${fuzzer} ${source})
  onnxport_configure_target(${fuzzer})
  set_target_properties(${fuzzer} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
  target_link_libraries(${fuzzer} PRIVATE onnxport_test_support)
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  if(NOT EXISTS "${corpus}")
    set(corpus "")
  endif()
  if(ONNXPORT_LIBFUZZER)
    target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz/${name} COMMAND ${fuzzer} -runs=10000 -max_total_time=10 ${corpus})
  else()
    target_sources(${fuzzer} PRIVATE tests/fuzz/driver.cpp)
    add_test(NAME fuzz/${name} COMMAND ${fuzzer} --mutations=10000 --seconds=5 ${corpus})
  endif()
  set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 120)
endforeach()

# ---- Examples: examples/*.cpp ---------------------------------------------------------------------------------------

# They see what a user of the library sees, and no more; some see ONNX Runtime, too.
set(onnxruntime_examples session_by_hand)
file(GLOB example_sources CONFIGURE_DEPENDS examples/*.cpp)
foreach(source IN LISTS example_sources)
  cmake_path(GET source STEM name)
  if(name IN_LIST onnxruntime_examples AND NOT OnnxRuntime_LIBRARY)
    continue()
  endif()
  add_executable(example_${name} ${source})
  onnxport_configure_target(example_${name})
  set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name}
                                                   RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/examples")
  target_link_libraries(example_${name} PRIVATE onnxport::onnxport)
  if(name IN_LIST onnxruntime_examples)
    target_link_libraries(example_${name} PRIVATE OnnxRuntime::Headers "${OnnxRuntime_LIBRARY}")
  endif()
endforeach()

# ---- The installed package ------------------------------------------------------------------------------------------

# Installs into the build tree, then configures, builds and runs a project that finds the package there.
if(EXISTS "${PROJECT_SOURCE_DIR}/tests/cmake_package/CMakeLists.txt")
  set(prefix "${PROJECT_BINARY_DIR}/cmake_package/prefix")
  add_test(NAME cmake_package/install COMMAND "${CMAKE_COMMAND}" --install "${PROJECT_BINARY_DIR}" --prefix "${prefix}")
  add_test(
    NAME cmake_package/use
    COMMAND
      "${CMAKE_CTEST_COMMAND}" --build-and-test "${PROJECT_SOURCE_DIR}/tests/cmake_package"
      "${PROJECT_BINARY_DIR}/cmake_package/build" --build-generator "${CMAKE_GENERATOR}" --build-options
      "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}" "-DCMAKE_CXX_FLAGS=${CMAKE_CXX_FLAGS}"
      --test-command consumer)
  add_test(
    NAME cmake_package/plugin
    COMMAND
      "${CMAKE_CTEST_COMMAND}" --build-and-test "${PROJECT_SOURCE_DIR}/examples/plugin"
      "${PROJECT_BINARY_DIR}/cmake_package/plugin" --build-generator "${CMAKE_GENERATOR}" --build-options
      "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}" "-DCMAKE_CXX_FLAGS=${CMAKE_CXX_FLAGS}"
      --test-command "${CMAKE_CTEST_COMMAND}" --output-on-failure)
  set_tests_properties(cmake_package/plugin PROPERTIES FIXTURES_REQUIRED installed_package TIMEOUT 300)
  set_tests_properties(cmake_package/install PROPERTIES FIXTURES_SETUP installed_package)
  set_tests_properties(cmake_package/use PROPERTIES FIXTURES_REQUIRED installed_package TIMEOUT 300)
endif()
