# SPDX-License-Identifier: MIT
# The headers, a CMake package and pkg-config modules, all of which may be moved after they were
# installed. Nothing in them depends on the architecture, hence share/ and not lib/, nor on which
# optional dependencies the installing machine has.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(ZCPOOL_INSTALL_CMAKEDIR ${CMAKE_INSTALL_DATADIR}/cmake/zcpool CACHE STRING
  "Where the CMake package goes, below the prefix")
set(ZCPOOL_INSTALL_PKGCONFIGDIR ${CMAKE_INSTALL_DATADIR}/pkgconfig CACHE STRING
  "Where the pkg-config modules go, below the prefix")
mark_as_advanced(ZCPOOL_INSTALL_CMAKEDIR ZCPOOL_INSTALL_PKGCONFIGDIR)

get_property(components GLOBAL PROPERTY zcpool_components)

# zcpool_install_pc(NAME DESCRIPTION REQUIRES): a pkg-config module, which finds the prefix from
# where it lies itself.
function(zcpool_install_pc pc_name pc_description pc_requires)
  file(RELATIVE_PATH up /prefix/${ZCPOOL_INSTALL_PKGCONFIGDIR} /prefix)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
  cmake_path(IS_ABSOLUTE CMAKE_INSTALL_INCLUDEDIR elsewhere)
  if(elsewhere)
    set(pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
  else()
    set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
  endif()
  configure_file(${PROJECT_SOURCE_DIR}/cmake/zcpool.pc.in
    ${PROJECT_BINARY_DIR}/package/${pc_name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/${pc_name}.pc
    DESTINATION ${ZCPOOL_INSTALL_PKGCONFIGDIR})
endfunction()

install(TARGETS zcpool EXPORT zcpool-targets FILE_SET HEADERS)
install(EXPORT zcpool-targets NAMESPACE zcpool:: DESTINATION ${ZCPOOL_INSTALL_CMAKEDIR})
zcpool_install_pc(zcpool "${PROJECT_DESCRIPTION}" "")

set(component_dependencies "")
foreach(component IN LISTS components)
  install(TARGETS zcpool_${component} EXPORT zcpool-${component}-targets FILE_SET HEADERS)
  install(EXPORT zcpool-${component}-targets
    NAMESPACE zcpool:: DESTINATION ${ZCPOOL_INSTALL_CMAKEDIR})
  foreach(what package link)
    get_property(value GLOBAL PROPERTY zcpool_${component}_${what})
    string(APPEND component_dependencies "set(zcpool_${component}_${what} \"${value}\")\n")
  endforeach()
  get_property(module GLOBAL PROPERTY zcpool_${component}_pkg_config)
  set(requires "zcpool = ${PROJECT_VERSION}" ${module})
  list(JOIN requires ", " requires)
  get_property(package GLOBAL PROPERTY zcpool_${component}_package)
  zcpool_install_pc(zcpool-${component} "The part of zcpool that needs ${package}" "${requires}")
endforeach()

list(JOIN components " " components_shown)
configure_file(${PROJECT_SOURCE_DIR}/cmake/zcpool-config.cmake.in
  ${PROJECT_BINARY_DIR}/package/zcpool-config.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/zcpool-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
    ${PROJECT_BINARY_DIR}/package/zcpool-config.cmake
    ${PROJECT_BINARY_DIR}/package/zcpool-config-version.cmake
  DESTINATION ${ZCPOOL_INSTALL_CMAKEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/cmake/find DESTINATION ${ZCPOOL_INSTALL_CMAKEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/zcpool)
