# BLIS, built with POSIX threads, linked statically: the program then needs no BLAS on the machine it runs on.
# Defines BlisLibrary::BlisLibrary. Debian: libblis-pthread-dev, which lies in a directory of its own so that it can be
# installed beside other builds of BLIS.
find_path(BlisLibrary_INCLUDE_DIR NAMES blis.h
          PATH_SUFFIXES "${CMAKE_LIBRARY_ARCHITECTURE}/blis-pthread" blis-pthread blis)
find_library(BlisLibrary_LIBRARY NAMES libblis.a PATH_SUFFIXES blis-pthread)
mark_as_advanced(BlisLibrary_INCLUDE_DIR BlisLibrary_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BlisLibrary REQUIRED_VARS BlisLibrary_LIBRARY BlisLibrary_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "run tools/setup.sh, or install libblis-pthread-dev")

if(BlisLibrary_FOUND AND NOT TARGET BlisLibrary::BlisLibrary)
  find_package(Threads REQUIRED)
  add_library(BlisLibrary::BlisLibrary STATIC IMPORTED)
  set_target_properties(BlisLibrary::BlisLibrary PROPERTIES IMPORTED_LOCATION "${BlisLibrary_LIBRARY}"
                                                            INTERFACE_INCLUDE_DIRECTORIES "${BlisLibrary_INCLUDE_DIR}"
                                                            INTERFACE_LINK_LIBRARIES "Threads::Threads;m")
endif()
