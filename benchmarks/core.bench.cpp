// SPDX-License-Identifier: MIT

// Acquire and release: the pool beside the heaps and pools that a program has otherwise, and beside
// the limit, a thread's own array of indices, which nobody else could use.
//
// support/core_rows.hpp has what is done; here is by whom.

#include <cstddef>
#include <memory>
#include <vector>

#include "support/core_rows.hpp"
#include "support/dpdk.hpp"
#include "support/heaps.hpp"
#include "support/pools.hpp"
#include "support/program.hpp"
#include "support/subjects.hpp"

namespace {

using namespace bench;

/// Memory that one thread uses after the other, chosen without any allocator.
struct memory_alone {
    struct handle {
        [[nodiscard]] std::byte* data() const noexcept { return memory; }
        std::byte* memory = nullptr;
    };
    [[nodiscard]] handle acquire(std::size_t bytes) noexcept {
        return {memory.data() + bytes * (next++ % 6)};
    }
    std::vector<std::byte> memory = std::vector<std::byte>(6_MiB);
    std::size_t next = 0;
};

/// All rows of a heap that is opened at run time, or a line that says why there are none.
template <class Heap>
void rows_of_opened() {
    if (Heap::open()) {
        all_rows(std::make_shared<heap_subject<Heap>>());
    } else {
        left_out(Heap::name, "not installed");
    }
}

}  // namespace

void bench::register_benchmarks() {
    [[maybe_unused]] constexpr const char* not_built = "not installed when this was built";
    all_rows(std::make_shared<pool_subject>());
    rows_of_one_thread(std::make_shared<bare_indices>());
    random_mix(std::make_shared<bare_classes>());
    crossing(std::make_shared<memory_alone>(), "limit: the hand-over alone", false);
    crossing(std::make_shared<memory_alone>(), "limit: the memory alone", true);
    all_rows(std::make_shared<heap_subject<glibc_heap>>());
    one_thread(std::make_shared<heap_subject<fresh_pages>>(), "1 MiB, one thread", 1_MiB, false);
    crossing(std::make_shared<heap_subject<fresh_pages>>(), fresh_pages::name, true);
    all_rows(std::make_shared<locked_stacks>());
    all_rows(std::make_shared<pmr_subject>());
#if ZCPOOL_BENCH_HAS_BOOST
    rows_of_one_thread(std::make_shared<boost_subject>());
#else
    left_out("boost::pool", not_built);
#endif
#if ZCPOOL_BENCH_HAS_AVUTIL
    all_rows(std::make_shared<av_subject>());
#else
    left_out("AVBufferPool", not_built);
#endif
    rows_of_opened<tcmalloc>();
    rows_of_opened<mimalloc>();
#if ZCPOOL_BENCH_HAS_JEMALLOC
    all_rows(std::make_shared<heap_subject<jemalloc>>());
#else
    left_out("jemalloc", not_built);
#endif
#if ZCPOOL_BENCH_HAS_TBBMALLOC
    all_rows(std::make_shared<heap_subject<tbb_heap>>());
#else
    left_out("tbb scalable_malloc", not_built);
#endif
#if ZCPOOL_BENCH_HAS_DPDK
    register_dpdk();
#else
    left_out("DPDK rte_mempool", not_built);
#endif
    // Last, as malloc stays tuned.
    all_rows(std::make_shared<heap_subject<tuned_glibc_heap>>());
}
