// SPDX-License-Identifier: MIT
#pragma once

// A stream of bytes from one producer to one consumer, through memory that is handed in.
//
// The memory appears twice in a row (sys/mirror_mapping.hpp), so that what is free and what is
// there are one contiguous range each, also where the ring wraps: the producer writes in place, the
// consumer reads in place, and messages need no split.
//
// Each side has its own position, which it alone changes and of which it never reads back what
// stands in the shared memory, and a private copy of the other's, which it renews only when that is
// not enough: then a cache line travels, otherwise none. What the other side writes is input: a
// position that goes back, or further ahead than there are bytes for, can only be a scribbler's.
// From then on this side refuses everything. Whatever is scribbled, no range that is handed out
// leaves the memory.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>

namespace zcpool {

/// The positions that the two sides share: how many bytes have ever been consumed and committed.
/// They only grow, and may start over at 2^64. Zeroed memory is an empty ring.
template <template <class> class Atomic = atomic>
struct basic_byte_positions {
    // Not neighbours, of which processors fetch one with the other.
    alignas(2 * cache_line) Atomic<std::uint64_t> consumed;
    alignas(2 * cache_line) Atomic<std::uint64_t> committed;
};

static_assert(sizeof(basic_byte_positions<>) == std::size_t{4} * cache_line,
              "part of the shared layout");

/// The writing side.
///
/// Sharing: one thread of one process at a time, and no second producer. A death inside loses what
/// was not committed, and nothing else.
template <template <class> class Atomic = atomic>
class alignas(cache_line) basic_byte_producer {
public:
    using positions = basic_byte_positions<Atomic>;

    /// One without a ring, which is as a corrupt one.
    basic_byte_producer() noexcept = default;

    /// `begin`: where both positions stand.
    ///
    /// Expects: `capacity` is a power of two, `2 * capacity` bytes of `memory` may be touched, and
    /// the second half is the first once more.
    basic_byte_producer(positions& shared, std::byte* memory, std::size_t capacity,
                        std::uint64_t begin = 0) noexcept
        : shared_(&shared),
          memory_(memory),
          capacity_(capacity),
          committed_(begin),
          limit_(begin + capacity),
          is_corrupt_(false) {
        ZCPOOL_ASSERT(std::has_single_bit(capacity), "a position becomes a place by a mask");
    }

    /// Bytes that may be written, contiguous, at least `least` of them.
    ///
    /// Returns: empty when there are fewer, or the ring is corrupt. May be fewer than are free: the
    /// consumer's position is looked at only when `least` are not known to be.
    /// Complexity: no atomic operation, or one load.
    /// Concurrency: wait-free.
    [[nodiscard]] std::span<std::byte> space(std::size_t least = 1) noexcept {
        if (limit_ - committed_ < least && !look(least)) {
            return {};
        }
        return {memory_ + (committed_ & (capacity_ - 1)),
                static_cast<std::size_t>(limit_ - committed_)};
    }

    /// Hands the first `bytes` of space() to the consumer. Without effect on a corrupt ring.
    ///
    /// Expects: no more than space() gave.
    /// Concurrency: wait-free.
    void commit(std::size_t bytes) noexcept {
        if (bytes - 1 >= limit_ - committed_) [[unlikely]] {  // also 0, which changes nothing
            ZCPOOL_VERIFY(bytes == 0 || is_corrupt_, "more bytes than there was space for");
            return;
        }
        committed_ += bytes;
        // sync(bytes): release; makes what was written visible to the acquire of the consumer.
        shared_->committed.store(committed_, memory_order_release);
    }

    /// Whether the consumer's position was seen to be one that no consumer leaves. For good.
    [[nodiscard]] bool is_corrupt() const noexcept { return is_corrupt_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    /// Renews the copy of the consumer's position. Returns: whether `least` bytes are free.
    [[nodiscard]] bool look(std::size_t least) noexcept {
        if (is_corrupt_) {
            return false;
        }
        // sync(room): acquire; the consumer has read what will be overwritten.
        const std::uint64_t consumed = shared_->consumed.load(memory_order_acquire);
        const std::uint64_t seen = limit_ - capacity_;
        // Behind `seen` it is a huge number.
        if (consumed - seen > committed_ - seen) {
            is_corrupt_ = true;
            limit_ = committed_;
            return false;
        }
        limit_ = consumed + capacity_;
        return limit_ - committed_ >= least;
    }

    positions* shared_ = nullptr;
    std::byte* memory_ = nullptr;
    std::size_t capacity_ = 0;
    std::uint64_t committed_ = 0;  ///< our position
    std::uint64_t limit_ = 0;      ///< where it may go: the consumer's, as last seen, and a lap
    bool is_corrupt_ = true;
};

/// The reading side.
///
/// Sharing: one thread of one process at a time, and no second consumer. A death inside loses
/// nothing that was not consumed.
template <template <class> class Atomic = atomic>
class alignas(cache_line) basic_byte_consumer {
public:
    using positions = basic_byte_positions<Atomic>;

    /// One without a ring, which is as a corrupt one.
    basic_byte_consumer() noexcept = default;

    /// As of basic_byte_producer.
    basic_byte_consumer(positions& shared, const std::byte* memory, std::size_t capacity,
                        std::uint64_t begin = 0) noexcept
        : shared_(&shared),
          memory_(memory),
          capacity_(capacity),
          consumed_(begin),
          committed_(begin),
          is_corrupt_(false) {
        ZCPOOL_ASSERT(std::has_single_bit(capacity), "a position becomes a place by a mask");
    }

    /// Bytes that are there, contiguous, at least `least` of them. A producer that scribbles can
    /// change them while they are looked at: copy what must not change between check and use.
    ///
    /// Returns: empty when there are fewer, or the ring is corrupt. May be fewer than there are:
    /// the producer's position is looked at only when `least` are not known to be.
    /// Complexity: no atomic operation, or one load.
    /// Concurrency: wait-free.
    [[nodiscard]] std::span<const std::byte> readable(std::size_t least = 1) noexcept {
        if (committed_ - consumed_ < least && !look(least)) {
            return {};
        }
        return {memory_ + (consumed_ & (capacity_ - 1)),
                static_cast<std::size_t>(committed_ - consumed_)};
    }

    /// Gives the first `bytes` of readable() back to the producer. Without effect on a corrupt
    /// ring.
    ///
    /// Expects: no more than readable() gave.
    /// Concurrency: wait-free.
    void consume(std::size_t bytes) noexcept {
        if (bytes - 1 >= committed_ - consumed_) [[unlikely]] {  // also 0, which changes nothing
            ZCPOOL_VERIFY(bytes == 0 || is_corrupt_, "more bytes than were there");
            return;
        }
        consumed_ += bytes;
        // sync(room): release; what was read has been read before it is overwritten.
        shared_->consumed.store(consumed_, memory_order_release);
    }

    /// Whether the producer's position was seen to be one that no producer leaves. For good.
    [[nodiscard]] bool is_corrupt() const noexcept { return is_corrupt_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    /// Renews the copy of the producer's position. Returns: whether `least` bytes are there.
    [[nodiscard]] bool look(std::size_t least) noexcept {
        if (is_corrupt_) {
            return false;
        }
        // sync(bytes): acquire; sees what the producer wrote before it committed.
        const std::uint64_t committed = shared_->committed.load(memory_order_acquire);
        // Behind what was seen it is a huge number.
        if (committed - committed_ > capacity_ - (committed_ - consumed_)) {
            is_corrupt_ = true;
            committed_ = consumed_;
            return false;
        }
        committed_ = committed;
        return committed_ - consumed_ >= least;
    }

    positions* shared_ = nullptr;
    const std::byte* memory_ = nullptr;
    std::size_t capacity_ = 0;
    std::uint64_t consumed_ = 0;   ///< our position
    std::uint64_t committed_ = 0;  ///< the producer's, as last seen
    bool is_corrupt_ = true;
};

using byte_positions = basic_byte_positions<>;
using byte_producer = basic_byte_producer<>;
using byte_consumer = basic_byte_consumer<>;

}  // namespace zcpool
