// SPDX-License-Identifier: MIT
#pragma once

// Where the threads of a process leave full magazines for each other: free slots that the process
// owns, handed over many at a time, without touching a slot word or one another's pointers.
// Source: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.

#include <cstddef>
#include <cstdint>
#include <new>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/pool/magazine.hpp>
#include <zcpool/ring/index_stack.hpp>

namespace zcpool {

/// All magazines of one class: those that threads have, and a bounded number between them, of
/// which the one that was left last is taken first. A magazine here is full or empty.
///
/// Concurrency: lock-free; any thread of the process.
class depot {
public:
    /// Makes `pairs` of magazines for threads, and `between` for here. Once, before use; without it
    /// there are none to equip() with.
    ///
    /// `capacity`: slots of each, 1 to magazine_capacity.
    /// Errors: `out_of_memory`.
    [[nodiscard]] result<void> open(std::uint32_t pairs, std::uint32_t between,
                                    std::uint32_t capacity) noexcept {
        const std::uint32_t magazines = 2 * pairs + between;
        magazines_.reset(new (std::nothrow) magazine[magazines]);
        is_full_.reset(new (std::nothrow) atomic<std::uint32_t>[magazines]);
        links_.reset(new (std::nothrow) index_stack::link[2 * std::size_t{magazines}]);
        if (!magazines_ || !is_full_ || !links_) {
            return fail(errc::out_of_memory);
        }
        full_ = {full_top_, {links_.get(), magazines}};
        empty_ = {empty_top_, {links_.get() + magazines, magazines}};
        capacity_ = capacity;
        // relaxed: before use.
        pairs_left_.store(pairs, memory_order_relaxed);
        for (std::uint32_t id = 2 * pairs; id < magazines; ++id) {
            empty_.push(id);
        }
        return {};
    }

    /// Gives a thread its two magazines, for good.
    /// Returns: false when there are none left.
    [[nodiscard]] bool equip(magazine_pair& pair) noexcept {
        // relaxed: an account; the magazines were made before any thread could come.
        std::uint32_t left = pairs_left_.load(memory_order_relaxed);
        do {
            if (left == 0) {
                return false;
            }
            // relaxed: as above.
        } while (!pairs_left_.compare_exchange_weak(left, left - 1, memory_order_relaxed,
                                                    memory_order_relaxed));
        pair.open(magazines_[2 * left - 1], magazines_[2 * left - 2], capacity_);
        return true;
    }

    /// Takes a full magazine, and leaves the spare one in its place.
    ///
    /// Expects: nothing is in the pair's magazines.
    /// Returns: false, and leaves all as it is, when there is none.
    /// Complexity: two compare-exchanges.
    [[nodiscard]] bool refill(magazine_pair& pair) noexcept {
        magazine* const full = take();
        if (full == nullptr) {
            return false;
        }
        magazine& empty = pair.spare();
        pair.load_full(*full);
        leave_empty(empty);
        return true;
    }

    /// Leaves the spare magazine, and takes an empty one in its place.
    ///
    /// Expects: both of the pair's magazines are full.
    /// Returns: false, and leaves all as it is, when there is no room for one more.
    /// Complexity: two compare-exchanges.
    [[nodiscard]] bool relieve(magazine_pair& pair) noexcept {
        const std::uint32_t id = empty_.pop();
        if (id == no_index) {
            return false;
        }
        const magazine& full = pair.spare();
        pair.load_empty(magazines_[id]);
        const std::uint32_t left = id_of(full);
        // relaxed: for whoever counts.
        is_full_[left].store(1, memory_order_relaxed);
        full_.push(left);
        return true;
    }

    /// Takes the slots of a full magazine, for nobody's use.
    ///
    /// Expects: room for magazine_capacity of them.
    /// Returns: how many; 0 when there was none.
    [[nodiscard]] std::size_t take_out(array_view<slot_record*> into) noexcept {
        magazine* const full = take();
        if (full == nullptr) {
            return 0;
        }
        for (std::uint32_t i = 0; i < capacity_; ++i) {
            // relaxed: ordered by the pop.
            into[i] = full->places[magazine_capacity - i].load(memory_order_relaxed);
        }
        leave_empty(*full);
        return capacity_;
    }

    /// Slots that lie here; exact when nothing happens meanwhile.
    [[nodiscard]] std::size_t slots() const noexcept {
        std::size_t sum = 0;
        for (std::uint32_t id = 0; id < full_.capacity(); ++id) {
            // relaxed: a counter.
            sum += is_full_[id].load(memory_order_relaxed) * std::size_t{capacity_};
        }
        return sum;
    }

private:
    [[nodiscard]] magazine* take() noexcept {
        const std::uint32_t id = full_.pop();
        if (id == no_index) {
            return nullptr;
        }
        // relaxed: for whoever counts.
        is_full_[id].store(0, memory_order_relaxed);
        return &magazines_[id];
    }
    void leave_empty(magazine& empty) noexcept { empty_.push(id_of(empty)); }
    [[nodiscard]] std::uint32_t id_of(const magazine& of) const noexcept {
        return static_cast<std::uint32_t>(&of - magazines_.get());
    }

    unique_object<magazine[]> magazines_;
    unique_object<atomic<std::uint32_t>[]> is_full_;
    unique_object<index_stack::link[]> links_;
    index_stack full_;
    index_stack empty_;
    std::uint32_t capacity_ = 0;
    atomic<std::uint32_t> pairs_left_;
    // What every exchange writes, apart from what everybody reads.
    alignas(cache_line) index_stack::top_word full_top_;
    alignas(cache_line) index_stack::top_word empty_top_;
};

}  // namespace zcpool
