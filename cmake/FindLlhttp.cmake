# SPDX-License-Identifier: MIT
# FindLlhttp: llhttp::llhttp from what Debian has, which is one of
#   libllhttp-dev   a library
#   node-llhttp     the same C sources, which we compile here, without our warnings
find_path(Llhttp_INCLUDE_DIR llhttp.h PATHS /usr/share/include PATH_SUFFIXES llhttp)
find_library(Llhttp_LIBRARY llhttp)
find_path(Llhttp_SOURCE_DIR llhttp.c PATHS /usr/share /usr/local/share PATH_SUFFIXES llhttp)
mark_as_advanced(Llhttp_INCLUDE_DIR Llhttp_LIBRARY Llhttp_SOURCE_DIR)

# Either of the two is enough; the message names the one that is asked for first.
if(Llhttp_LIBRARY)
  set(Llhttp_WHAT ${Llhttp_LIBRARY})
else()
  set(Llhttp_WHAT ${Llhttp_SOURCE_DIR})
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Llhttp
  REQUIRED_VARS Llhttp_WHAT Llhttp_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install libllhttp-dev or node-llhttp")

if(Llhttp_FOUND AND NOT TARGET llhttp::llhttp)
  if(Llhttp_LIBRARY)
    add_library(llhttp::llhttp UNKNOWN IMPORTED)
    set_target_properties(llhttp::llhttp PROPERTIES
      IMPORTED_LOCATION ${Llhttp_LIBRARY}
      INTERFACE_INCLUDE_DIRECTORIES ${Llhttp_INCLUDE_DIR})
  else()
    file(GLOB Llhttp_SOURCES ${Llhttp_SOURCE_DIR}/*.c)
    add_library(llhttp STATIC ${Llhttp_SOURCES})
    add_library(llhttp::llhttp ALIAS llhttp)
    target_include_directories(llhttp SYSTEM PUBLIC ${Llhttp_INCLUDE_DIR})
  endif()
endif()
