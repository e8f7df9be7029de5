# SPDX-License-Identifier: MIT
# The libraries that the benchmarks are measured beside, as far as they are installed. What is only
# headers is found by __has_include, what would replace malloc is opened at run time; here is the
# rest. zcpool_bench_peers carries a definition for each that there is. The programs say which are
# not.
add_library(zcpool_bench_peers INTERFACE)

# Their headers are not held to our warnings: SYSTEM, also where a pkg-config file says -I.
function(add_peer name)
  target_compile_definitions(zcpool_bench_peers INTERFACE ZCPOOL_BENCH_HAS_${name}=1)
  target_link_libraries(zcpool_bench_peers INTERFACE ${ARGN})
endfunction()

find_package(PkgConfig QUIET)
find_package(iceoryx_posh QUIET)
find_package(TBB QUIET)
if(TARGET TBB::tbb)
  add_peer(TBB TBB::tbb)
endif()
if(TARGET TBB::tbbmalloc)
  add_peer(TBBMALLOC TBB::tbbmalloc)
endif()

if(PkgConfig_FOUND)
  pkg_check_modules(AVUTIL QUIET IMPORTED_TARGET libavutil)
  if(AVUTIL_FOUND)
    add_peer(AVUTIL PkgConfig::AVUTIL)
  endif()
endif()

find_path(CDS_INCLUDE_DIR cds/init.h)
find_library(CDS_LIBRARY cds)
if(CDS_INCLUDE_DIR AND CDS_LIBRARY)
  add_peer(CDS ${CDS_LIBRARY})
  target_include_directories(zcpool_bench_peers SYSTEM INTERFACE ${CDS_INCLUDE_DIR})
endif()

# jemalloc, all of it hidden in a library of our own: support/heaps.hpp says why.
find_path(JEMALLOC_INCLUDE_DIR jemalloc/jemalloc.h)
find_library(JEMALLOC_ARCHIVE libjemalloc_pic.a)
if(JEMALLOC_INCLUDE_DIR AND JEMALLOC_ARCHIVE)
  add_library(zcpool_bench_jemalloc SHARED ${CMAKE_CURRENT_LIST_DIR}/support/jemalloc.cpp)
  target_include_directories(zcpool_bench_jemalloc SYSTEM PRIVATE ${JEMALLOC_INCLUDE_DIR})
  target_compile_options(zcpool_bench_jemalloc PRIVATE -O2)
  target_link_libraries(zcpool_bench_jemalloc PRIVATE zcpool_warnings ${JEMALLOC_ARCHIVE}
    ${CMAKE_DL_LIBS} m pthread)
  target_link_options(zcpool_bench_jemalloc PRIVATE LINKER:--exclude-libs,ALL)
  add_peer(JEMALLOC zcpool_bench_jemalloc)
endif()

# DPDK's options for the compiler (an instruction set, a header for every file) are for the one file
# that includes its mempool, and its drivers load themselves: they are where the mempool's rings
# and stacks are. The ring is headers and one function.
if(PkgConfig_FOUND)
  pkg_check_modules(DPDK QUIET libdpdk)
endif()
if(DPDK_FOUND)
  target_compile_definitions(zcpool_bench_peers INTERFACE ZCPOOL_BENCH_HAS_DPDK=1)
  target_include_directories(zcpool_bench_peers SYSTEM INTERFACE ${DPDK_INCLUDE_DIRS})
  target_link_libraries(zcpool_bench_peers INTERFACE ${DPDK_LINK_LIBRARIES})
  target_link_options(zcpool_bench_peers INTERFACE LINKER:--as-needed)
endif()
