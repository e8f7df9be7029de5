# SPDX-License-Identifier: MIT
# An overlay port: it packages the source tree that it lies in, and downloads nothing.
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../../.." ABSOLUTE)

# Headers alone, so there is nothing to build a second time for debugging. A feature is no more than
# its dependency: what is installed is the same.
set(VCPKG_BUILD_TYPE release)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DZCPOOL_BUILD_TESTS=OFF
    -DZCPOOL_BUILD_BENCHMARKS=OFF
    -DZCPOOL_BUILD_EXAMPLES=OFF
    -DZCPOOL_INSTALL_CMAKEDIR=share/zcpool
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup()

# vcpkg looks for what a pkg-config module requires, so those of features not chosen must go.
file(GLOB modules "${CURRENT_PACKAGES_DIR}/share/pkgconfig/zcpool-*.pc")
foreach(module IN LISTS modules)
  get_filename_component(feature "${module}" NAME_WLE)
  string(REPLACE "zcpool-" "" feature "${feature}")
  if(NOT feature IN_LIST FEATURES)
    file(REMOVE "${module}")
  endif()
endforeach()
vcpkg_fixup_pkgconfig()

# vcpkg has a place of its own for the licence.
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/licenses")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
