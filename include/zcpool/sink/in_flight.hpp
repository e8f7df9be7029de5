// SPDX-License-Identifier: MIT
#pragma once

// What must be kept until the kernel says that it is done with it: the book-keeping of numbered
// sends whose confirmations come as ranges of numbers. Knows no system call.
// Source: Documentation/networking/msg_zerocopy.rst of Linux: ranges coalesce and may come in any
// order, numbers are 32 bits and wrap.

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/unique_object.hpp>

namespace zcpool::sink {

/// What came of confirming a range of sends, by number of sends.
struct confirmation {
    std::uint64_t confirmed = 0;   ///< were in flight, and are not any more
    std::uint64_t duplicates = 0;  ///< had been confirmed before
    std::uint64_t unknown = 0;     ///< had never been sent

    friend bool operator==(const confirmation&, const confirmation&) = default;
};

/// Keeps what sends in flight refer to, in the order of the sends.
///
///     entries_:  | 7 | 7 | 8 | 9 | 9 | 9 |     one for each thing that a send refers to, with the
///                begin_                  end_  send's number, in a ring that grows
///
/// A thing that several sends refer to is kept once for each, so it is let go with the last.
/// What a confirmed send kept is let go at once, also when earlier sends are still in flight.
/// Held: movable; a default one keeps nothing.
/// Sharing: one thread at a time.
template <class Held>
class in_flight {
public:
    /// `next`: the number of the first send.
    explicit in_flight(std::uint32_t next = 0) noexcept : next_(next) {}
    in_flight(const in_flight&) = delete;
    in_flight& operator=(const in_flight&) = delete;

    /// Makes room for so many things more.
    /// Returns: false when there was no memory: then nothing has changed.
    [[nodiscard]] bool reserve(std::size_t more) noexcept {
        const std::size_t wanted = count() + more;
        if (wanted <= capacity_) {
            return true;
        }
        std::size_t larger = capacity_ == 0 ? smallest : 2 * capacity_;
        while (larger < wanted) {
            larger *= 2;
        }
        unique_object<entry[]> fresh{new (std::nothrow) entry[larger]};
        if (!fresh) {
            return false;
        }
        for (std::size_t i = begin_; i != end_; ++i) {
            fresh[i & (larger - 1)] = std::move(at(i));
        }
        entries_ = std::move(fresh);
        capacity_ = larger;
        return true;
    }

    /// Keeps something for the send that is being recorded.
    /// Expects: room was reserved.
    void keep(Held what) noexcept {
        at(end_) = {std::move(what), next_, false};
        ++end_;
    }

    /// Ends the record of a send, which kept something.
    void sent() noexcept {
        ++next_;
        ++sends_;
    }

    /// Lets go of what the sends from `first` to `last` kept.
    /// Complexity: O(log(kept) + what lies in the range).
    confirmation confirm(std::uint32_t first, std::uint32_t last) noexcept {
        confirmation told;
        const std::uint32_t oldest = begin_ == end_ ? next_ : at(begin_).number;
        const std::int64_t issued = next_ - oldest;
        // Numbers relative to the oldest in flight: what is less than half the circle ahead of it
        // is ahead, the other half is behind.
        const std::int64_t low = static_cast<std::int32_t>(first - oldest);
        const std::int64_t high = low + static_cast<std::uint32_t>(last - first);
        if (low < 0) {
            told.duplicates += static_cast<std::uint64_t>((high < 0 ? high : -1) - low + 1);
        }
        if (high >= issued) {
            told.unknown += static_cast<std::uint64_t>(high - (low > issued ? low : issued) + 1);
        }
        for (std::size_t i = first_entry(oldest, low); i != end_; ++i) {
            entry& each = at(i);
            const std::uint32_t number = each.number;
            if (static_cast<std::uint32_t>(number - oldest) > high) {
                break;
            }
            const bool begins = i == begin_ || at(i - 1).number != number;
            if (begins) {
                ++(each.is_done ? told.duplicates : told.confirmed);
            }
            each.is_done = true;
            each.kept = Held{};
        }
        sends_ -= static_cast<std::size_t>(told.confirmed);
        while (begin_ != end_ && at(begin_).is_done) {
            ++begin_;
        }
        return told;
    }

    /// Sends that are not confirmed yet.
    [[nodiscard]] std::size_t size() const noexcept { return sends_; }
    [[nodiscard]] bool empty() const noexcept { return sends_ == 0; }
    /// Things for which there is memory.
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    struct entry {
        Held kept{};
        std::uint32_t number = 0;
        bool is_done = false;
    };

    static constexpr std::size_t smallest = 16;

    [[nodiscard]] std::size_t count() const noexcept { return end_ - begin_; }
    /// The capacity is a power of two, and positions only grow.
    [[nodiscard]] entry& at(std::size_t position) const noexcept {
        return entries_[position & (capacity_ - 1)];
    }

    /// The first entry whose send is `low` or more behind the oldest.
    [[nodiscard]] std::size_t first_entry(std::uint32_t oldest, std::int64_t low) const noexcept {
        std::size_t begin = begin_;
        std::size_t length = count();
        while (length != 0) {
            const std::size_t half = length / 2;
            if (static_cast<std::uint32_t>(at(begin + half).number - oldest) < low) {
                begin += half + 1;
                length -= half + 1;
            } else {
                length = half;
            }
        }
        return begin;
    }

    unique_object<entry[]> entries_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t sends_ = 0;
    std::uint32_t next_;
};

}  // namespace zcpool::sink
