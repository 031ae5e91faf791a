# Plugins: architectures in shared libraries of their own. Part of the installed package, and used to build onnxport.
include("${CMAKE_CURRENT_LIST_DIR}/ArchitectureRegistry.cmake")
set(ONNXPORT_PLUGIN_SYMBOLS "${CMAKE_CURRENT_LIST_DIR}/plugin_symbols.list")

# onnxport_add_plugin(<target> <name>.cpp...): a library for --plugin. Each file defines onnxport::register_<name>, as in
# src/architectures; files named *_layers.cpp and *_common.cpp are what they share.
function(onnxport_add_plugin target)
  set(entry "${CMAKE_CURRENT_BINARY_DIR}/${target}_plugin.cpp")
  onnxport_write_registry("${entry}" plugin_entry.h register_${target}_plugin
                          "\nONNXPORT_PLUGIN(onnxport::register_${target}_plugin)\n" "${ARGN}")
  add_library(${target} MODULE ${ARGN} "${entry}")
  target_link_libraries(${target} PRIVATE onnxport::plugin)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden
                                             VISIBILITY_INLINES_HIDDEN ON)
endfunction()

# A program that is linked with onnxport::onnxport and loads plugins must export what they call.
function(onnxport_enable_plugins target)
  target_link_options(${target} PRIVATE "LINKER:--dynamic-list=${ONNXPORT_PLUGIN_SYMBOLS}")
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${ONNXPORT_PLUGIN_SYMBOLS}")
endfunction()
