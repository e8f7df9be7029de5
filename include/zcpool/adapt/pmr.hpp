// SPDX-License-Identifier: MIT
#pragma once

// std::pmr containers and memory resources whose memory is a pool's.
// Source: [mem.res] of the C++ standard.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <source_location>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/pool/slot_address.hpp>
#include <zcpool/ring/thread_start.hpp>

namespace zcpool::adapt {

/// What a pool_resource does when the class that fits has no slot.
enum class when_exhausted : std::uint8_t {
    fail,          ///< throws std::bad_alloc: the pool's size is the limit
    use_upstream,  ///< asks the upstream resource
};

/// What one side of a pool_resource gave out, and took back.
struct resource_counts {
    std::uint64_t allocations = 0;
    std::uint64_t deallocations = 0;
    std::uint64_t bytes = 0;  ///< asked for and not given back yet; slots may be larger
};

/// What a pool_resource did. Exact when nothing happens meanwhile.
struct pool_resource_stats {
    resource_counts pool;
    resource_counts upstream;
    std::uint64_t exhausted = 0;  ///< times that the pool had no slot, or was closed
};

/// A std::pmr::memory_resource that gives out slots of a pool: an allocation is a slot of the
/// smallest class that holds it.
///
/// What is larger than the largest class goes upstream. There is no upstream unless one is named
/// (std::pmr::null_memory_resource(), which throws std::bad_alloc), so that what lies in the pool
/// is a promise. Alignment is honoured: up to a page by itself, beyond it by a larger slot. Equal
/// to itself only, as the standard's own pool resources are: containers that are to swap their
/// memory share one.
/// Sharing: any thread. The pool may end before it: then allocations fail, and what was allocated
/// stays until it is deallocated. Not for: many small objects, each of which would take a slot. Put
/// std::pmr::unsynchronized_pool_resource or monotonic_buffer_resource between, with this as their
/// upstream. It does not free by itself what was never deallocated.
class pool_resource final : public std::pmr::memory_resource {
public:
    /// Expects: `upstream` is not null, and outlives it. A checked pool remembers `where` as the
    /// place of all its acquires.
    explicit pool_resource(pool_view pool,
                           std::pmr::memory_resource* upstream = std::pmr::null_memory_resource(),
                           when_exhausted otherwise = when_exhausted::fail,
                           std::source_location where = std::source_location::current()) noexcept
        : pool_(pool),
          core_(&pool_sharing::core_of(pool)),
          upstream_(upstream),
          otherwise_(otherwise),
          where_(where) {
        ZCPOOL_ASSERT(upstream != nullptr, "no upstream is std::pmr::null_memory_resource()");
        core_->pin();
    }
    pool_resource(const pool_resource&) = delete;
    pool_resource& operator=(const pool_resource&) = delete;
    ~pool_resource() override { core_->unpin(); }

    /// As std::pmr::unsynchronized_pool_resource::upstream_resource().
    [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept {
        return upstream_;
    }

    [[nodiscard]] pool_resource_stats stats() const noexcept {
        pool_resource_stats sum;
        for (const counters& each : counters_) {
            add(sum.pool, each.pool);
            add(sum.upstream, each.upstream);
            // relaxed: a counter.
            sum.exhausted += each.exhausted.load(memory_order_relaxed);
        }
        return sum;
    }

private:
    struct side {
        atomic<std::uint64_t> allocations{0};
        atomic<std::uint64_t> deallocations{0};
        atomic<std::uint64_t> bytes{0};  ///< wraps where other threads deallocate: only sums count
    };
    struct alignas(cache_line) counters {
        side pool;
        side upstream;
        atomic<std::uint64_t> exhausted{0};
    };

    /// Errors: std::bad_alloc; what the upstream throws.
    /// Complexity: an acquire and two counters; see pool_view::try_acquire().
    /// Concurrency: lock-free, but for the upstream.
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        // What is none has an address, too, and that lies in its slot.
        std::size_t wanted = larger_of(bytes, std::size_t{1});
        if (alignment > page_size && !checked_add(wanted, alignment - page_size, wanted)) {
            return from_upstream(bytes, alignment);
        }
        if (wanted > pool_.largest()) {
            return from_upstream(bytes, alignment);
        }
        buffer slot = pool_.try_acquire(wanted, where_);
        if (!slot) {
            // relaxed: a counter.
            mine().exhausted.fetch_add(1, memory_order_relaxed);
            return otherwise_ == when_exhausted::use_upstream
                       ? from_upstream(bytes, alignment)
                       : std::pmr::null_memory_resource()->allocate(bytes, alignment);
        }
        count_allocation(mine().pool, bytes);
        const auto begin = reinterpret_cast<std::uintptr_t>(slot_address::leave(std::move(slot)));
        // NOLINTNEXTLINE(performance-no-int-to-ptr): of the slot's own address.
        return reinterpret_cast<void*>(align_up(begin, alignment));
    }

    void do_deallocate(void* what, std::size_t bytes, std::size_t alignment) override {
        const bool is_slot = slot_address::is_in(*core_, what);
        count_deallocation(is_slot ? mine().pool : mine().upstream, bytes);
        if (is_slot) {
            slot_address::take(*core_, what).reset(where_);
        } else {
            upstream_->deallocate(what, bytes, alignment);
        }
    }

    [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }

    void* from_upstream(std::size_t bytes, std::size_t alignment) {
        void* const got = upstream_->allocate(bytes, alignment);
        count_allocation(mine().upstream, bytes);
        return got;
    }

    [[nodiscard]] counters& mine() noexcept { return counters_[thread_start() % counters_.size()]; }

    static void count_allocation(side& of, std::size_t bytes) noexcept {
        // relaxed: counters.
        of.allocations.fetch_add(1, memory_order_relaxed);
        of.bytes.fetch_add(bytes, memory_order_relaxed);
    }
    static void count_deallocation(side& of, std::size_t bytes) noexcept {
        // relaxed: counters.
        of.deallocations.fetch_add(1, memory_order_relaxed);
        of.bytes.fetch_sub(bytes, memory_order_relaxed);
    }
    static void add(resource_counts& sum, const side& part) noexcept {
        // relaxed: counters.
        sum.allocations += part.allocations.load(memory_order_relaxed);
        sum.deallocations += part.deallocations.load(memory_order_relaxed);
        sum.bytes += part.bytes.load(memory_order_relaxed);
    }

    pool_view pool_;
    pool_core* core_;
    std::pmr::memory_resource* upstream_;
    when_exhausted otherwise_;
    std::source_location where_;
    std::array<counters, 8> counters_;  // threads that meet rarely
};

}  // namespace zcpool::adapt
