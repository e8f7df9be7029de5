// SPDX-License-Identifier: MIT
#pragma once

// Slices in order, read as one run of bytes: what is built, sent and cut up without touching the
// bytes.

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/slice.hpp>

namespace zcpool {

/// An ordered list of slices.
///
///     items_:  consumed, empty | the chain | room
///              0               begin_      end_    capacity_
///
/// Up to `inline_slices` need no allocation, and a chain keeps the room that it once had, so that
/// one that is filled and consumed again and again allocates nothing.
/// Sharing: one thread at a time. Move-only: subchain() shares on purpose.
class chain {
public:
    /// Slices that fit without an allocation: a header and a body of a few slots.
    static constexpr std::size_t inline_slices = 8;

    chain() noexcept = default;
    chain(chain&& other) noexcept { take(other); }
    chain& operator=(chain&& other) noexcept {
        if (this != &other) {
            clear();
            take(other);
        }
        return *this;
    }
    ~chain() = default;

    /// Adds a slice at the end; an empty one is left out.
    ///
    /// Returns: false, with the chain as it was and the slice gone, when there was no memory to
    /// grow.
    /// Complexity: amortised O(1); an allocation at most when the chain is longer than ever.
    [[nodiscard]] bool append(slice tail) noexcept {
        if (tail.empty()) {
            return true;
        }
        if (!reserve(slice_count() + 1)) {
            return false;
        }
        bytes_ += tail.size();
        items_[end_++] = std::move(tail);
        return true;
    }

    /// Moves all slices of another chain to the end, in order.
    ///
    /// Returns: false, with this chain as it was, when there was no memory to grow. `tail` is empty
    /// after success.
    [[nodiscard]] bool append(chain&& tail) noexcept {
        if (this == &tail) {
            return true;
        }
        if (!reserve(slice_count() + tail.slice_count())) {
            return false;
        }
        for (std::size_t i = tail.begin_; i < tail.end_; ++i) {
            items_[end_++] = std::move(tail.items_[i]);
        }
        bytes_ += tail.bytes_;
        tail.forget();
        return true;
    }

    /// Makes room for `slices` in all.
    /// Returns: false when there was no memory.
    [[nodiscard]] bool reserve(std::size_t slices) noexcept {
        if (slices <= capacity_ - begin_) {
            return true;
        }
        if (slices <= capacity_ / 2) {  // half of the room is consumed: closing the gap is paid for
                                        // by what was appended
            std::move(items_ + begin_, items_ + end_, items_);
        } else if (!grow(slices)) {
            return false;
        }
        end_ -= begin_;
        begin_ = 0;
        return true;
    }

    /// Drops bytes from the front, and with them the slices that they end.
    ///
    /// Expects: `count <= size()`; checked in every build.
    void consume(std::size_t count) noexcept {
        ZCPOOL_VERIFY(count <= bytes_, "consumed more bytes than the chain has");
        bytes_ -= count;
        while (count != 0) {
            slice& front = items_[begin_];
            if (count < front.size()) {
                front.remove_prefix(count);
                return;
            }
            count -= front.size();
            front = slice{};
            ++begin_;
        }
        if (begin_ == end_) {
            begin_ = end_ = 0;
        }
    }

    /// Drops everything; keeps the room.
    void clear() noexcept {
        for (std::size_t i = begin_; i < end_; ++i) {
            items_[i] = slice{};
        }
        forget();
    }

    /// A chain of `count` bytes from `offset` on, sharing the memory.
    ///
    /// Errors: `out_of_range` when the chain is shorter; `out_of_memory`.
    /// Complexity: O(slices); an allocation only for more than `inline_slices`.
    [[nodiscard]] result<chain> subchain(std::size_t offset, std::size_t count) const noexcept {
        if (offset > bytes_ || count > bytes_ - offset) {
            return fail(errc::out_of_range);
        }
        chain part;
        for (const slice& each : slices()) {
            if (count == 0) {
                break;
            }
            if (offset >= each.size()) {
                offset -= each.size();
                continue;
            }
            const std::size_t taken = smaller_of(count, each.size() - offset);
            if (!part.append(each.subslice(std::exchange(offset, 0), taken))) {
                return fail(errc::out_of_memory);
            }
            count -= taken;
        }
        return part;
    }

    /// Bytes in all.
    [[nodiscard]] std::size_t size() const noexcept { return bytes_; }
    [[nodiscard]] bool empty() const noexcept { return bytes_ == 0; }
    [[nodiscard]] std::size_t slice_count() const noexcept { return end_ - begin_; }

    /// The slices in order; none is empty. Valid until the chain changes.
    [[nodiscard]] std::span<const slice> slices() const& noexcept {
        return {items_ + begin_, slice_count()};
    }
    std::span<const slice> slices() && = delete;
    /// Expects: not empty.
    [[nodiscard]] const slice& front() const noexcept { return items_[begin_]; }

private:
    [[nodiscard]] bool grow(std::size_t slices) noexcept {
        const std::size_t wanted = larger_of(slices, 2 * capacity_);
        if (wanted > SIZE_MAX / sizeof(slice) / 2) {
            return false;
        }
        unique_object<slice[]> larger{new (std::nothrow) slice[wanted]};
        if (!larger) {
            return false;
        }
        std::move(items_ + begin_, items_ + end_, larger.get());
        heap_ = std::move(larger);
        items_ = heap_.get();
        capacity_ = wanted;
        return true;
    }

    /// Becomes what `other` was.
    /// Expects: this chain is empty.
    void take(chain& other) noexcept {
        if (other.heap_) {
            heap_ = std::move(other.heap_);
            items_ = heap_.get();
            capacity_ = std::exchange(other.capacity_, inline_slices);
            begin_ = other.begin_;
            end_ = other.end_;
            other.items_ = other.inline_;
        } else {
            // At most inline_slices of them, and this chain has at least that much room.
            end_ = static_cast<std::size_t>(
                std::move(other.items_ + other.begin_, other.items_ + other.end_, items_) - items_);
            begin_ = 0;
        }
        bytes_ = other.bytes_;
        other.forget();
    }

    void forget() noexcept { begin_ = end_ = bytes_ = 0; }

    // What every operation touches, then the first slice, so that both share few cache lines: a
    // sink's come back from a system call cold.
    slice* items_ = inline_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t bytes_ = 0;
    std::size_t capacity_ = inline_slices;
    slice inline_[inline_slices];
    unique_object<slice[]> heap_;
};

}  // namespace zcpool
