# Oniguruma, the regular expressions of Ruby. Defines Oniguruma::Oniguruma. Linked statically where there is an archive;
# Debian's libonig-dev has only the shared library.
find_path(Oniguruma_INCLUDE_DIR NAMES oniguruma.h)
find_library(Oniguruma_LIBRARY NAMES libonig.a onig)
mark_as_advanced(Oniguruma_INCLUDE_DIR Oniguruma_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Oniguruma REQUIRED_VARS Oniguruma_LIBRARY Oniguruma_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "run tools/setup.sh, or install libonig-dev")

if(Oniguruma_FOUND AND NOT TARGET Oniguruma::Oniguruma)
  add_library(Oniguruma::Oniguruma UNKNOWN IMPORTED)
  set_target_properties(Oniguruma::Oniguruma PROPERTIES IMPORTED_LOCATION "${Oniguruma_LIBRARY}"
                                                        INTERFACE_INCLUDE_DIRECTORIES "${Oniguruma_INCLUDE_DIR}")
endif()
