# SPDX-License-Identifier: MIT
# Findasio: asio::asio, the standalone one, which is headers alone and has no CMake package of its
# own; the name of the target is the one that Conan and vcpkg give it.
find_path(asio_INCLUDE_DIR asio/registered_buffer.hpp)
mark_as_advanced(asio_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(asio
  REQUIRED_VARS asio_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install libasio-dev")
if(asio_FOUND AND NOT TARGET asio::asio)
  add_library(asio::asio INTERFACE IMPORTED)
  set_target_properties(asio::asio PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${asio_INCLUDE_DIR})
endif()
