// SPDX-License-Identifier: MIT
#pragma once

// Where the threads of a process leave full magazines for each other: free slots that the process
// owns, handed over many at a time, without touching a slot word.
// Source: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/ring/index_stack.hpp>

namespace zcpool {

/// Slots that a magazine can hold.
inline constexpr std::size_t magazine_capacity = 31;

/// A bounded number of magazines of one class, the one that was left last taken first.
///
/// Concurrency: lock-free; any thread of the process.
class depot {
public:
    /// Makes room for `magazines`. Once, before use; without it there is no room.
    ///
    /// Errors: `out_of_memory`.
    [[nodiscard]] result<void> open(std::uint32_t magazines) noexcept {
        magazines_.reset(new (std::nothrow) magazine[magazines]);
        links_.reset(new (std::nothrow) index_stack::link[2 * std::size_t{magazines}]);
        if (!magazines_ || !links_) {
            return fail(errc::out_of_memory);
        }
        full_ = {full_top_, {links_.get(), magazines}};
        empty_ = {empty_top_, {links_.get() + magazines, magazines}};
        for (std::uint32_t i = 0; i < magazines; ++i) {
            empty_.push(i);
        }
        return {};
    }

    /// Leaves slots; all or, where there is no room, none.
    ///
    /// Expects: `slots.size() <= magazine_capacity`; the caller holds them alone.
    /// Complexity: two compare-exchanges and a copy of pointers.
    [[nodiscard]] bool put(std::span<slot_record* const> slots) noexcept {
        const std::uint32_t id = empty_.pop();
        if (id == no_index) {
            return false;
        }
        magazine& into = magazines_[id];
        std::copy(slots.begin(), slots.end(), into.slots.begin());
        // relaxed: for whoever counts; the push orders it for whoever takes.
        into.count.store(static_cast<std::uint32_t>(slots.size()), memory_order_relaxed);
        full_.push(id);
        return true;
    }

    /// Takes the slots of one magazine.
    ///
    /// Expects: room for magazine_capacity of them.
    /// Returns: how many.
    [[nodiscard]] std::size_t take(std::span<slot_record*> into) noexcept {
        const std::uint32_t id = full_.pop();
        if (id == no_index) {
            return 0;
        }
        magazine& from = magazines_[id];
        // relaxed: ordered by the pop.
        const std::size_t count = from.count.load(memory_order_relaxed);
        std::copy_n(from.slots.begin(), count, into.begin());
        // relaxed: nothing is in it any more.
        from.count.store(0, memory_order_relaxed);
        empty_.push(id);
        return count;
    }

    [[nodiscard]] bool was_empty() const noexcept { return full_.was_empty(); }

    /// Slots that lie here; exact when nothing happens meanwhile.
    [[nodiscard]] std::size_t slots() const noexcept {
        std::size_t sum = 0;
        for (std::uint32_t i = 0; i < full_.capacity(); ++i) {
            // relaxed: a counter.
            sum += magazines_[i].count.load(memory_order_relaxed);
        }
        return sum;
    }

private:
    struct magazine {
        atomic<std::uint32_t> count;
        std::array<slot_record*, magazine_capacity> slots;
    };

    std::unique_ptr<magazine[]> magazines_;
    std::unique_ptr<index_stack::link[]> links_;
    alignas(cache_line) index_stack::top_word full_top_;
    alignas(cache_line) index_stack::top_word empty_top_;
    index_stack full_;
    index_stack empty_;
};

}  // namespace zcpool
