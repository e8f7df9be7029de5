# SPDX-License-Identifier: MIT
# Headers and a relocatable package, so that find_package(zcpool) gives zcpool::zcpool. Nothing in
# it depends on the architecture, hence share/ and not lib/.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(zcpool_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/zcpool)

install(TARGETS zcpool EXPORT zcpool-targets FILE_SET HEADERS)
if(TARGET zcpool_uring)
  install(TARGETS zcpool_uring EXPORT zcpool-targets FILE_SET HEADERS)
endif()
install(EXPORT zcpool-targets NAMESPACE zcpool:: DESTINATION ${zcpool_package_dir})

write_basic_package_version_file(${PROJECT_BINARY_DIR}/zcpool-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
    ${CMAKE_CURRENT_LIST_DIR}/zcpool-config.cmake
    ${PROJECT_BINARY_DIR}/zcpool-config-version.cmake
  DESTINATION ${zcpool_package_dir})
