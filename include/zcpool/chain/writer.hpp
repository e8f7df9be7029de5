// SPDX-License-Identifier: MIT
#pragma once

// Building a chain front to back, straight into pool memory.

#include <concepts>
#include <cstddef>
#include <cstring>
#include <source_location>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/pool.hpp>

namespace zcpool {

/// Appends bytes to a chain and takes buffers from a pool as it needs them.
///
/// Never blocks: when the pool has no slot, space() is empty and write() stops short; what was
/// written stays.
/// Sharing: one thread at a time. The pool must outlive it.
class writer {
public:
    /// Takes buffers of `block_bytes` at a time (0, or more than there is: of the largest class),
    /// or of the next smaller class that still fits when there are none.
    /// A checked pool remembers `where` as the place of those acquires.
    explicit writer(pool_view pool, std::size_t block_bytes = 0,
                    std::source_location where = std::source_location::current()) noexcept
        : pool_(pool),
          block_bytes_(block_bytes == 0 ? pool.largest() : smaller_of(block_bytes, pool.largest())),
          where_(where) {}

    /// At least `least` contiguous bytes to write to, valid until the next call.
    ///
    /// Returns: an empty span when the pool has no slot of that size, or `least` is larger than
    /// any.
    [[nodiscard]] std::span<std::byte> space(std::size_t least = 1) noexcept {
        return space_for(larger_of<std::size_t>(least, 1), block_bytes_);
    }

    /// At least one byte to write to, for who does not know how much will come: in a buffer as
    /// large as what was written before, up to the block. Else as space().
    [[nodiscard]] std::span<std::byte> growing_space() noexcept {
        return space_for(1, clamped<std::size_t>(size(), 1, block_bytes_));
    }

    /// Why space(least) was empty just now: `too_large`, `closed`, or else `exhausted`, also where
    /// there was no memory to grow.
    [[nodiscard]] std::error_code refusal(std::size_t least = 1) const noexcept {
        return make_error_code(least > pool_.largest() ? errc::too_large
                               : pool_.is_closed()     ? errc::closed
                                                       : errc::exhausted);
    }

    /// Counts the first `bytes` of the last space() as written.
    /// Expects: no more than that.
    void commit(std::size_t bytes) noexcept { current_.commit(bytes); }

    /// Copies bytes to the end, into buffers that grow with what was written, up to the block.
    /// Returns: how many; fewer only when the pool has no slot.
    [[nodiscard]] std::size_t write(std::span<const std::byte> bytes) noexcept {
        std::size_t written = 0;
        while (written < bytes.size()) {
            // As much as is left to write, or as was written before: many small writes end in few
            // buffers.
            const std::size_t wanted = larger_of(bytes.size() - written, size());
            const auto room = space_for(1, smaller_of(wanted, block_bytes_));
            if (room.empty()) {
                break;
            }
            const std::size_t part = smaller_of(room.size(), bytes.size() - written);
            std::memcpy(room.data(), bytes.data() + written, part);
            commit(part);
            written += part;
        }
        return written;
    }

    /// Copies a text to the end.
    /// Returns: how many bytes; fewer only when the pool has no slot.
    [[nodiscard]] std::size_t write(std::string_view text) noexcept {
        return write({reinterpret_cast<const std::byte*>(text.data()), text.size()});
    }

    /// Copies a character to the end, for an output iterator, which gets no answer.
    ///
    /// When the pool has no slot the character is left out, and so is all that would come behind
    /// it, however it is written: lost() says so, and what was written before stays.
    void push_back(char next) noexcept {
        const auto room = growing_space();
        if (room.empty()) {
            ++lost_;
            return;
        }
        room.front() = static_cast<std::byte>(next);
        commit(1);
    }

    /// How many characters push_back() left out. While it is not 0 there is no space, and nothing
    /// is written or appended; finish() begins anew, so look before.
    [[nodiscard]] std::size_t lost() const noexcept { return lost_; }

    /// Writes an unsigned number, most significant byte first: what reader::read() reads.
    ///
    /// Returns: false, and writes nothing of it, when the pool has no slot.
    template <std::unsigned_integral Number>
        requires(!std::same_as<Number, bool>)
    [[nodiscard]] bool put(Number number) noexcept {
        const auto room = space(sizeof number);
        if (room.empty()) {
            return false;
        }
        for (std::size_t i = sizeof number; i-- > 0;
             number = static_cast<Number>(number >> 4 >> 4)) {
            room[i] = static_cast<std::byte>(number & 0xFF);
        }
        commit(sizeof number);
        return true;
    }

    /// Adds a slice behind what was written, without copying.
    /// Returns: false when there was no memory to grow, or something was lost().
    [[nodiscard]] bool append(slice shared) noexcept {
        if (lost_ != 0 || !chain_.reserve(chain_.slice_count() + 2)) {
            return false;
        }
        seal();
        return chain_.append(std::move(shared));
    }

    /// Bytes written and appended so far.
    [[nodiscard]] std::size_t size() const noexcept { return chain_.size() + current_.size(); }

    /// Hands out the chain and begins an empty one.
    [[nodiscard]] chain finish() noexcept {
        seal();
        lost_ = 0;
        return std::exchange(chain_, chain{});
    }

private:
    [[nodiscard]] std::span<std::byte> space_for(std::size_t least, std::size_t wanted) noexcept {
        if (current_.space().size() >= least) {
            return current_.space();
        }
        // Nothing comes behind a gap. Where one is, the current buffer was full, so that all who
        // want space pass here.
        if (lost_ != 0) {
            return {};
        }
        // Room for the current buffer's slice and one more, so that nothing that was written can be
        // lost for want of it.
        if (!chain_.reserve(chain_.slice_count() + 2)) {
            return {};
        }
        buffer next = acquire_block(least, larger_of(least, wanted));
        if (!next) {
            return {};
        }
        seal();
        current_ = std::move(next);
        return current_.space();
    }

    /// A buffer of the class of `wanted`, or of the largest one below it that still holds `least`.
    [[nodiscard]] buffer acquire_block(std::size_t least, std::size_t wanted) noexcept {
        buffer block = pool_.try_acquire(wanted, where_);
        for (std::size_t i = pool_.class_count(); !block && i-- > 0;) {
            if (pool_.slot_bytes(i) < wanted && pool_.slot_bytes(i) >= least) {
                block = pool_.try_acquire(pool_.slot_bytes(i), where_);
            }
        }
        return block;
    }

    /// Expects: room in the chain, which whoever filled `current_` reserved.
    void seal() noexcept {
        [[maybe_unused]] const bool kept = chain_.append(std::move(current_).freeze());
        ZCPOOL_ASSERT(kept, "the room for a written buffer was not reserved");
    }

    pool_view pool_;
    std::size_t block_bytes_;
    std::source_location where_;
    std::size_t lost_ = 0;
    buffer current_;
    chain chain_;
};

}  // namespace zcpool
