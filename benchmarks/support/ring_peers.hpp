// SPDX-License-Identifier: MIT
#pragma once

// Rings, queues and stacks of other libraries, in the shape of rings.hpp: push(index), and pop(),
// which answers `none` when it found nothing. Where a library wants something of each thread,
// attach() and detach() do it. All have room for 1,023 indices at least.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#if __has_include(<boost/lockfree/queue.hpp>)
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/lockfree/stack.hpp>
#define ZCPOOL_BENCH_HAS_LOCKFREE 1
#else
#define ZCPOOL_BENCH_HAS_LOCKFREE 0
#endif

#if __has_include(<concurrentqueue/concurrentqueue.h>)
#include <concurrentqueue/concurrentqueue.h>
#define ZCPOOL_BENCH_HAS_MOODYCAMEL 1
#else
#define ZCPOOL_BENCH_HAS_MOODYCAMEL 0
#endif

#if __has_include(<atomic_queue/atomic_queue.h>)
#include <atomic_queue/atomic_queue.h>
#define ZCPOOL_BENCH_HAS_ATOMIC_QUEUE 1
#else
#define ZCPOOL_BENCH_HAS_ATOMIC_QUEUE 0
#endif

#if ZCPOOL_BENCH_HAS_TBB
#include <tbb/concurrent_queue.h>
#endif

#if ZCPOOL_BENCH_HAS_CDS
#include <cds/container/msqueue.h>
#include <cds/container/vyukov_mpmc_cycle_queue.h>
#include <cds/gc/hp.h>
#include <cds/init.h>
#endif

#if ZCPOOL_BENCH_HAS_DPDK
#include <rte_config.h>
#include <rte_ring.h>
#endif

#include "support/rings.hpp"

namespace bench {

#if ZCPOOL_BENCH_HAS_LOCKFREE
/// boost's, of a fixed size: nodes by index, so that nothing is allocated.
template <class Container>
class boost_container {
public:
    void push(std::uint32_t index) noexcept {
        while (!container_.push(index)) {
        }
    }
    [[nodiscard]] std::uint32_t pop() noexcept {
        std::uint32_t index = none;
        return container_.pop(index) ? index : none;
    }

private:
    Container container_;
};
struct boost_queue
    : boost_container<
          boost::lockfree::queue<std::uint32_t, boost::lockfree::capacity<ring_capacity>>> {
    static constexpr const char* name = "boost::lockfree::queue";
};
struct boost_stack
    : boost_container<
          boost::lockfree::stack<std::uint32_t, boost::lockfree::capacity<ring_capacity>>> {
    static constexpr const char* name = "boost::lockfree::stack";
};
struct boost_spsc
    : boost_container<
          boost::lockfree::spsc_queue<std::uint32_t, boost::lockfree::capacity<ring_capacity>>> {
    static constexpr const char* name = "boost::lockfree::spsc_queue (one to one)";
};
#endif

#if ZCPOOL_BENCH_HAS_MOODYCAMEL
/// With a token for each thread, which is what its author recommends where speed counts.
class moodycamel_queue {
public:
    static constexpr const char* name = "moodycamel::ConcurrentQueue";
    void attach() { tokens_.emplace(queue_); }
    void detach() { tokens_.reset(); }
    void push(std::uint32_t index) { queue_.enqueue(tokens_->producer, index); }
    [[nodiscard]] std::uint32_t pop() {
        std::uint32_t index = none;
        return queue_.try_dequeue(tokens_->consumer, index) ? index : none;
    }

private:
    using queue = moodycamel::ConcurrentQueue<std::uint32_t>;
    struct tokens {
        explicit tokens(queue& of) : producer(of), consumer(of) {}
        moodycamel::ProducerToken producer;
        moodycamel::ConsumerToken consumer;
    };
    static inline thread_local std::optional<tokens> tokens_;
    queue queue_{ring_capacity};
};
#endif

#if ZCPOOL_BENCH_HAS_ATOMIC_QUEUE
/// With try_push and try_pop, or, faster and called optimist there, with push and pop, which wait
/// for as long as the ring is full or empty: for those something has to be in it again soon.
template <bool Waits>
class atomic_queue_peer {
public:
    static constexpr const char* name =
        Waits ? "atomic_queue::AtomicQueue, optimist" : "atomic_queue::AtomicQueue";
    void push(std::uint32_t index) noexcept {
        if constexpr (Waits) {
            queue_.push(index);
        } else {
            while (!queue_.try_push(index)) {
            }
        }
    }
    [[nodiscard]] std::uint32_t pop() noexcept {
        if constexpr (Waits) {
            return queue_.pop();
        } else {
            std::uint32_t index = none;
            return queue_.try_pop(index) ? index : none;
        }
    }

private:
    atomic_queue::AtomicQueue<std::uint32_t, ring_capacity, none> queue_;
};
#endif

#if ZCPOOL_BENCH_HAS_TBB
class tbb_queue {
public:
    static constexpr const char* name = "tbb::concurrent_bounded_queue";
    tbb_queue() { queue_.set_capacity(ring_capacity); }
    void push(std::uint32_t index) {
        while (!queue_.try_push(index)) {
        }
    }
    [[nodiscard]] std::uint32_t pop() {
        std::uint32_t index = none;
        return queue_.try_pop(index) ? index : none;
    }

private:
    tbb::concurrent_bounded_queue<std::uint32_t> queue_;
};
#endif

#if ZCPOOL_BENCH_HAS_CDS
class cds_vyukov {
public:
    static constexpr const char* name = "cds::VyukovMPMCCycleQueue (blocks)";
    void push(std::uint32_t index) {
        while (!queue_.push(index)) {
        }
    }
    [[nodiscard]] std::uint32_t pop() {
        std::uint32_t index = none;
        return queue_.pop(index) ? index : none;
    }

private:
    cds::container::VyukovMPMCCycleQueue<std::uint32_t> queue_{ring_capacity};
};

/// Michael and Scott's queue with hazard pointers: lock-free but for its malloc.
class cds_msqueue {
public:
    static constexpr const char* name = "cds::MSQueue, hazard pointers";
    cds_msqueue() {
        static const library started;
        attach();
        queue_.emplace();
    }
    ~cds_msqueue() {
        attach();
        queue_.reset();
        detach();
    }
    cds_msqueue(const cds_msqueue&) = delete;
    cds_msqueue& operator=(const cds_msqueue&) = delete;

    static void attach() {
        if (!cds::threading::Manager::isThreadAttached()) {
            cds::threading::Manager::attachThread();
        }
    }
    static void detach() { cds::threading::Manager::detachThread(); }
    void push(std::uint32_t index) { queue_->push(index); }
    [[nodiscard]] std::uint32_t pop() {
        std::uint32_t index = none;
        return queue_->pop(index) ? index : none;
    }

private:
    struct initialized {
        initialized() { cds::Initialize(); }
        ~initialized() { cds::Terminate(); }
    };
    struct library {
        initialized first;
        cds::gc::HP hazards;
    };
    std::optional<cds::container::MSQueue<cds::gc::HP, std::uint32_t>> queue_;
};
#endif

#if ZCPOOL_BENCH_HAS_DPDK
/// DPDK's ring of 32-bit elements over memory of our own, which needs none of its runtime.
template <unsigned Flags>
class dpdk_ring {
public:
    dpdk_ring() { ::rte_ring_init(ring(), "bench", ring_capacity, Flags); }
    void push(std::uint32_t index) noexcept {
        while (::rte_ring_enqueue_elem(ring(), &index, sizeof index) != 0) {
        }
    }
    [[nodiscard]] std::uint32_t pop() noexcept {
        std::uint32_t index = none;
        return ::rte_ring_dequeue_elem(ring(), &index, sizeof index) == 0 ? index : none;
    }

private:
    [[nodiscard]] rte_ring* ring() noexcept { return reinterpret_cast<rte_ring*>(memory_.data()); }

    alignas(RTE_CACHE_LINE_SIZE)
        std::array<std::byte, sizeof(rte_ring) + ring_capacity * sizeof(std::uint32_t)> memory_{};
};
struct dpdk_mpmc : dpdk_ring<0> {
    static constexpr const char* name = "DPDK rte_ring";
};
struct dpdk_rts : dpdk_ring<RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ> {
    static constexpr const char* name = "DPDK rte_ring, relaxed tail (RTS)";
};
struct dpdk_hts : dpdk_ring<RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ> {
    static constexpr const char* name = "DPDK rte_ring, head and tail (HTS)";
};
struct dpdk_spsc : dpdk_ring<RING_F_SP_ENQ | RING_F_SC_DEQ> {
    static constexpr const char* name = "DPDK rte_ring (one to one)";
};
#endif

}  // namespace bench
