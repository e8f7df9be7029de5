// SPDX-License-Identifier: MIT

// jemalloc in a library of its own, which hides everything of it but these two: its malloc would
// otherwise become everybody's.

#include <jemalloc/jemalloc.h>

#include <cstddef>

extern "C" {

[[gnu::visibility("default")]] void* zcpool_bench_jemalloc_allocate(std::size_t bytes) {
    return ::mallocx(bytes, 0);
}

[[gnu::visibility("default")]] void zcpool_bench_jemalloc_deallocate(void* memory) {
    ::dallocx(memory, 0);
}
}
