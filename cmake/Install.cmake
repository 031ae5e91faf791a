# The program, the library with its headers, and the package that find_package(onnxport) finds.
set(package_directory "${CMAKE_INSTALL_LIBDIR}/cmake/onnxport")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING
        PATTERN "*.h")
foreach(header IN LISTS plugin_headers)
  cmake_path(GET header PARENT_PATH folder)
  install(FILES "${PROJECT_SOURCE_DIR}/src/${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/onnxport/plugin/${folder}")
endforeach()
install(FILES "${PROJECT_BINARY_DIR}/generated/onnxport_plugin_interface.h"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/onnxport/plugin")
# What `onnxport new-architecture` begins with.
install(DIRECTORY "${PROJECT_SOURCE_DIR}/src/architectures/" DESTINATION "${CMAKE_INSTALL_DATADIR}/onnxport/architectures"
        FILES_MATCHING REGEX "/architectures/[^/]+/[^/]+\\.cpp$")
install(TARGETS onnxport_plugin EXPORT onnxport_plugin_targets)
install(TARGETS onnxport EXPORT onnxport_targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
if(TARGET onnxport_program)
  install(TARGETS onnxport_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

install(EXPORT onnxport_targets NAMESPACE onnxport:: DESTINATION "${package_directory}")
install(EXPORT onnxport_plugin_targets NAMESPACE onnxport:: DESTINATION "${package_directory}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/onnxportConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/generated/onnxportConfig.cmake"
                              INSTALL_DESTINATION "${package_directory}" PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/onnxportConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/onnxportConfig.cmake"
              "${PROJECT_BINARY_DIR}/generated/onnxportConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/ArchitectureRegistry.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/onnxportPlugins.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/plugin_symbols.list"
              "${PROJECT_SOURCE_DIR}/cmake/FindBlisLibrary.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FindOniguruma.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FindUtf8proc.cmake" DESTINATION "${package_directory}")

# ONNX Runtime goes along where tools/setup.sh fetched it, into a directory of our own: the program looks there first,
# and no other program's libonnxruntime.so is replaced. One that the machine's owner installed is left where it is.
if(OnnxRuntime_LIBRARY_DIR STREQUAL "${PROJECT_SOURCE_DIR}/.deps/onnxruntime/lib")
  install(DIRECTORY "${OnnxRuntime_LIBRARY_DIR}/" DESTINATION "${CMAKE_INSTALL_LIBDIR}/onnxport")
  install(FILES "${PROJECT_SOURCE_DIR}/.deps/onnxruntime/LICENSE"
                "${PROJECT_SOURCE_DIR}/.deps/onnxruntime/ThirdPartyNotices.txt"
          DESTINATION "${CMAKE_INSTALL_DOCDIR}/onnxruntime")
endif()
