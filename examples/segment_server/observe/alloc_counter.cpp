// SPDX-License-Identifier: MIT
// Counts by standing in front of the C library's malloc: symbols of the executable come first, and
// operator new calls malloc. Memory comes from the same heap as ever, so free and what is not
// counted here (aligned_alloc) stay as they are. Source: the GNU C Library manual, "Replacing
// malloc"; __libc_malloc and its kin are exported by glibc.

#include <segment_server/observe/alloc_counter.hpp>

#include <cstddef>

#include <zcpool/base/atomic.hpp>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define SEGMENT_SERVER_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SEGMENT_SERVER_COUNTS_ALLOCATIONS 0
#endif
#endif
#if !defined(SEGMENT_SERVER_COUNTS_ALLOCATIONS)
#define SEGMENT_SERVER_COUNTS_ALLOCATIONS 1
#endif

namespace segment_server {
namespace {

constinit zcpool::atomic<std::uint64_t> allocations{0};

}  // namespace

std::uint64_t allocations_so_far() noexcept {
    // relaxed: a number for a report.
    return allocations.load(zcpool::memory_order_relaxed);
}

#if SEGMENT_SERVER_COUNTS_ALLOCATIONS
namespace {

void count_allocation() noexcept {
    // relaxed: only the sum matters.
    allocations.fetch_add(1, zcpool::memory_order_relaxed);
}

}  // namespace
#endif

}  // namespace segment_server

#if SEGMENT_SERVER_COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);

void* malloc(std::size_t bytes) {
    segment_server::count_allocation();
    return __libc_malloc(bytes);
}

void* calloc(std::size_t count, std::size_t bytes) {
    segment_server::count_allocation();
    return __libc_calloc(count, bytes);
}

void* realloc(void* memory, std::size_t bytes) {
    segment_server::count_allocation();
    return __libc_realloc(memory, bytes);
}
}
#endif
