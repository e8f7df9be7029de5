# SPDX-License-Identifier: MIT
# cmake -DPORT_DIR=... -DPACKAGES_DIR=... -DCXX=... -DFEATURES=... -P run_portfile.cmake
#
# Runs the portfile with stand-ins for the functions of vcpkg that it calls, which do what the
# originals are documented to do as far as headers alone need it, and fail where they would.
cmake_minimum_required(VERSION 3.23)

set(PORT zcpool)
set(CURRENT_PORT_DIR ${PORT_DIR})
set(CURRENT_PACKAGES_DIR ${PACKAGES_DIR})
set(build_dir ${PACKAGES_DIR}-build)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" SOURCE_PATH OPTIONS)
  if(arg_UNPARSED_ARGUMENTS OR NOT VCPKG_BUILD_TYPE STREQUAL "release")
    message(FATAL_ERROR "only for a release build, without ${arg_UNPARSED_ARGUMENTS}")
  endif()
  run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${build_dir} -G Ninja -DCMAKE_CXX_COMPILER=${CXX}
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
  run(${CMAKE_COMMAND} --build ${build_dir} --target install)
endfunction()

function(vcpkg_cmake_config_fixup)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/share/${PORT}/${PORT}-config.cmake)
    message(FATAL_ERROR "no config in share/${PORT}, where vcpkg takes it from")
  endif()
endfunction()

function(vcpkg_fixup_pkgconfig)
  set(ENV{PKG_CONFIG_PATH} ${CURRENT_PACKAGES_DIR}/share/pkgconfig)
  # What features need would come from vcpkg: only those that were chosen may ask for it.
  if(NOT FEATURES STREQUAL "core")
    return()
  endif()
  set(ENV{PKG_CONFIG_LIBDIR} /nonexistent)
  file(GLOB modules ${CURRENT_PACKAGES_DIR}/share/pkgconfig/*.pc)
  foreach(module IN LISTS modules)
    get_filename_component(name ${module} NAME_WLE)
    run(pkg-config --print-errors --exists ${name})
  endforeach()
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" FILE_LIST)
  file(COPY_FILE ${arg_FILE_LIST} ${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright)
endfunction()

include(${PORT_DIR}/portfile.cmake)
