# SPDX-License-Identifier: MIT
# What needs more than libc and the kernel is a component: a target of its own, zcpool::NAME, which
# is there where its dependency is. One call each in the CMakeLists.txt at the top; the rest (the
# CMake package, the pkg-config module, the one-file header) follows from it.
#
#   zcpool_component(NAME PACKAGE <package> LINK <target> PKG_CONFIG <module> HEADERS <header>...)
#
# PACKAGE is what find_package() looks for, here and again on the machine of whoever uses the
# installed package ("fmt 9" with the oldest version that does), LINK the target that it brings, and
# PKG_CONFIG the same for pkg-config, if there is such a module. Where CMake and the dependency have
# none, cmake/find has one of ours, which is installed as well.
#
# A build leaves a component out with -DCMAKE_DISABLE_FIND_PACKAGE_<package>=ON.
#
# What is installed does not depend on what this machine has: zcpool_NAME always exists, and the
# name that one links, zcpool::NAME, only with its dependency.

function(zcpool_component name)
  cmake_parse_arguments(PARSE_ARGV 1 component "" "PACKAGE;LINK;PKG_CONFIG" "HEADERS")
  list(TRANSFORM component_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/include/zcpool/)

  add_library(zcpool_${name} INTERFACE)
  set_target_properties(zcpool_${name} PROPERTIES EXPORT_NAME ${name})
  target_sources(zcpool_${name} INTERFACE
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${component_HEADERS})
  target_link_libraries(zcpool_${name} INTERFACE zcpool ${component_LINK})

  # A parent that has the dependency already, whichever way, is not asked twice.
  if(NOT TARGET ${component_LINK})
    list(PREPEND CMAKE_MODULE_PATH ${PROJECT_SOURCE_DIR}/cmake/find)
    string(REPLACE " " ";" package "${component_PACKAGE}")
    find_package(${package} QUIET)
  endif()
  if(TARGET ${component_LINK})
    add_library(zcpool::${name} ALIAS zcpool_${name})
  else()
    # Its headers do not compile here, alone or otherwise.
    set_target_properties(zcpool_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS OFF)
  endif()

  set_property(GLOBAL APPEND PROPERTY zcpool_components ${name})
  set_property(GLOBAL PROPERTY zcpool_${name}_package "${component_PACKAGE}")
  set_property(GLOBAL PROPERTY zcpool_${name}_link ${component_LINK})
  set_property(GLOBAL PROPERTY zcpool_${name}_pkg_config "${component_PKG_CONFIG}")
  set_property(GLOBAL PROPERTY zcpool_${name}_headers ${component_HEADERS})
endfunction()
