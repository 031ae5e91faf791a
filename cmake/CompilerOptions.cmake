# How this project's own code is compiled. Nothing here reaches a project that uses the installed package.

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(CCACHE_PROGRAM ccache)
  if(CCACHE_PROGRAM AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  endif()
endif()

# Language, warnings and visibility of one of this project's targets.
function(onnxport_configure_target target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden
                                             VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_compile_options(
    ${target}
    PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
            # Sizes are signed here, as in ONNX and in the checkpoints; the standard library's are not.
            -Wno-sign-conversion
            # GCC 12 warns of std::string's own operator+ (its bug 105651) and of moved std::variants (105593).
            "$<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict;-Wno-maybe-uninitialized>"
            $<$<BOOL:${ONNXPORT_WARNINGS_AS_ERRORS}>:-Werror>
            # A section for each function, so that the linker can leave out those that nothing calls.
            -ffunction-sections
            -fdata-sections)
  target_link_options(${target} PRIVATE LINKER:--gc-sections)
endfunction()

# Reads once what most sources of a target begin with, a third of the time of a clean build. Not where there is ccache,
# which knows a source by what it includes; those builds also see to it that every source includes what it needs.
function(onnxport_precompile_headers target)
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
  endif()
  # From a precompiled header, GCC 12 warns of std::string's own find.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-stringop-overread)
  endif()
  target_precompile_headers(
    ${target}
    PRIVATE <algorithm> <array> <cmath> <cstdint> <filesystem> <functional> <map> <memory> <optional> <set> <span>
            <string> <string_view> <unordered_map> <utility> <variant> <vector> <fmt/format.h>)
endfunction()

# Lets one source file of the library, and no other, include the headers of an imported target.
function(onnxport_source_sees source imported_target)
  get_target_property(directories ${imported_target} INTERFACE_INCLUDE_DIRECTORIES)
  list(REMOVE_ITEM directories ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  foreach(directory IN LISTS directories)
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -isystem "${directory}")
  endforeach()
endfunction()
