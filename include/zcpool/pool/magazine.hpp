// SPDX-License-Identifier: MIT
#pragma once

// Free slots in the hands of a thread: a magazine, and the two of them that a thread has of a
// class.
//
// With two, a thread that goes to and fro across the bound of one exchanges pointers, and only one
// that goes on and on in one direction turns to the depot, once a magazine.
// Source: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

/// Slots that a magazine can hold.
inline constexpr std::uint32_t magazine_capacity = 31;

/// A stack of slots, filled from some bottom to the last place; whoever has it knows how far.
///
///     places: | null ... null | slot ... slot | left over |      bottom <= position <= 31
///                      bottom^       position^
///
/// Place 0 is null for good, and so is what lies below the bottom where it is to hold fewer: what
/// stands at the position is the top slot, or null when there is none.
struct alignas(cache_line) magazine {
    using place = atomic<slot_record*>;

    std::array<place, magazine_capacity + 1> places;
};
static_assert(sizeof(magazine) == 4 * cache_line, "no two magazines share a line");

/// The free slots of one class in a thread_cache: a magazine that is worked with, and a spare one
/// that is full or empty. The slot released last is handed out first.
///
/// Its numbers have one writer at a time, who is inside the gate or has claimed it; they are atomic
/// for those who count, and written in such an order that these see too many slots here rather than
/// too few. Without magazines it looks empty to acquire() and full to release().
class alignas(cache_line) magazine_pair {
public:
    /// Expects: both are empty, with nulls up to the bottom for `capacity`; 1 to 31.
    void open(magazine& loaded, magazine& spare, std::uint32_t capacity) noexcept {
        places_ = loaded.places.data();
        spare_ = &spare;
        capacity_ = capacity;
        set_position(bottom());
    }

    /// Hands the top slot to a user; null when there is none in the loaded magazine.
    [[nodiscard]] slot_record* acquire() noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        // relaxed: as above.
        slot_record* const top = places_[position_in(tally)].load(memory_order_relaxed);
        if (top == nullptr) [[unlikely]] {
            return nullptr;
        }
        // relaxed: as above.
        tally_.store(tally + one_acquired - 1, memory_order_relaxed);
        return top;
    }

    /// Takes a slot back from a user; false when there is no room in the loaded magazine.
    [[nodiscard]] bool release(slot_record& record) noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        const std::uint32_t position = position_in(tally);
        if (position == magazine_capacity) [[unlikely]] {
            return false;
        }
        // relaxed: as above.
        places_[position + 1].store(&record, memory_order_relaxed);
        tally_.store(tally + 1, memory_order_relaxed);
        return true;
    }

    /// Works on with the spare magazine, when acquire() found nothing and that is full.
    [[nodiscard]] bool swap_for_full() noexcept {
        if (!is_spare_full()) {
            return false;
        }
        swap();
        set_position(magazine_capacity);
        set_spare_full(false);
        return true;
    }
    /// Works on with the spare magazine, when release() found no room and that is empty.
    [[nodiscard]] bool swap_for_empty() noexcept {
        if (capacity_ == 0 || is_spare_full()) {
            return false;
        }
        set_spare_full(true);
        swap();
        set_position(bottom());
        return true;
    }

    /// Likewise, and hands a slot out of it or takes one back: calls, so that the hot path around
    /// them is short.
    [[nodiscard, gnu::noinline]] slot_record* acquire_from_spare() noexcept {
        return swap_for_full() ? acquire() : nullptr;
    }
    /// release() once the loaded one is full.
    [[nodiscard, gnu::noinline]] bool release_to_spare(slot_record& record) noexcept {
        return swap_for_empty() && release(record);
    }

    /// Works on with a full magazine from elsewhere, in exchange for the spare one.
    /// Expects: nothing is in either.
    void load_full(magazine& full) noexcept {
        // Another thread filled it: its lines come all at once, not each at its first acquire.
        for (std::size_t i = 0; i < sizeof full; i += cache_line) {
            __builtin_prefetch(reinterpret_cast<const std::byte*>(&full) + i);
        }
        spare_ = &full;
        swap();
        set_position(magazine_capacity);
        add_moved(-std::int64_t{capacity_});
    }
    /// Works on with an empty magazine from elsewhere, in exchange for the spare one.
    /// Expects: both are full.
    void load_empty(magazine& empty) noexcept {
        add_moved(std::int64_t{capacity_});
        spare_ = &empty;
        swap();
        set_position(bottom());
    }

    /// Adds slots from elsewhere to the loaded magazine.
    /// Expects: nothing is in it; at most capacity() of them.
    void fill(array_view<slot_record* const> slots) noexcept {
        std::uint32_t position = bottom();
        for (slot_record* each : slots) {
            // relaxed: one writer; the gate orders writers.
            places_[++position].store(each, memory_order_relaxed);
        }
        set_position(position);
        add_moved(-static_cast<std::int64_t>(slots.size()));
    }

    /// Takes what is in the spare magazine out or, where it is empty, what is in the loaded one.
    ///
    /// Expects: room for magazine_capacity of them.
    /// Returns: how many, 0 when nothing is left in both.
    [[nodiscard]] std::size_t take_out(array_view<slot_record*> into) noexcept {
        const bool from_spare = is_spare_full();
        const magazine::place* const from = from_spare ? spare_->places.data() : places_;
        const std::uint32_t end = from_spare ? magazine_capacity : position();
        std::size_t count = 0;
        for (std::uint32_t at = bottom(); at < end; ++at) {
            // relaxed: one writer; the gate orders writers.
            into[count++] = from[at + 1].load(memory_order_relaxed);
        }
        add_moved(static_cast<std::int64_t>(count));
        from_spare ? set_spare_full(false) : set_position(bottom());
        return count;
    }

    /// Slots that each of the magazines holds; 0: there are none.
    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
    /// The magazine that load_full() and load_empty() leave to the caller.
    [[nodiscard]] magazine& spare() const noexcept { return *spare_; }

    /// Slots in it a moment ago.
    [[nodiscard]] std::uint32_t count() const noexcept {
        return position() - bottom() + (is_spare_full() ? capacity_ : 0);
    }
    /// Slots that users were given here, ever.
    [[nodiscard]] std::uint64_t acquired() const noexcept {
        // relaxed: a counter.
        return tally_.load(memory_order_relaxed) / one_acquired;
    }
    /// Slots that users were given here less those that they gave back here; may be less than 0,
    /// where slots of other threads are given back.
    [[nodiscard]] std::int64_t handed_out() const noexcept {
        // relaxed: a counter.
        return -(count() + moved_.load(memory_order_relaxed));
    }
    /// Slots that users gave back here, ever: what is here, less what came from elsewhere, and what
    /// was handed out.
    [[nodiscard]] std::uint64_t released() const noexcept {
        return acquired() - static_cast<std::uint64_t>(handed_out());
    }

private:
    // One word for both, so that an acquire writes one: [ acquired : 56 ][ position : 8 ].
    static constexpr std::uint64_t one_acquired = std::uint64_t{1} << 8;
    static_assert(magazine_capacity < one_acquired, "the position needs its bits");
    [[nodiscard]] static constexpr std::uint32_t position_in(std::uint64_t tally) noexcept {
        return static_cast<std::uint32_t>(tally % one_acquired);
    }

    [[nodiscard]] std::uint32_t bottom() const noexcept { return magazine_capacity - capacity_; }
    [[nodiscard]] std::uint32_t position() const noexcept {
        // relaxed: one writer; the gate orders writers.
        return position_in(tally_.load(memory_order_relaxed));
    }
    void set_position(std::uint32_t position) noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        // relaxed: as above.
        tally_.store(tally - position_in(tally) + position, memory_order_relaxed);
    }
    [[nodiscard]] bool is_spare_full() const noexcept {
        // relaxed: one writer; the gate orders writers.
        return spare_full_.load(memory_order_relaxed) != 0;
    }
    void set_spare_full(bool full) noexcept {
        // relaxed: one writer; the gate orders writers.
        spare_full_.store(full ? 1 : 0, memory_order_relaxed);
    }
    void add_moved(std::int64_t slots) noexcept {
        // relaxed: one writer; the gate orders writers.
        moved_.store(moved_.load(memory_order_relaxed) + slots, memory_order_relaxed);
    }
    void swap() noexcept {
        magazine* const loaded = reinterpret_cast<magazine*>(places_);
        places_ = spare_->places.data();
        spare_ = loaded;
    }

    inline static constinit magazine none;  ///< never written, as it looks full

    atomic<std::uint64_t> tally_{magazine_capacity};
    atomic<std::int64_t> moved_;  ///< slots that went elsewhere less those that came from there
    magazine::place* places_ = none.places.data();  ///< the loaded magazine's
    magazine* spare_ = &none;
    std::uint32_t capacity_ = 0;
    atomic<std::uint32_t> spare_full_;
};

}  // namespace zcpool
