// SPDX-License-Identifier: MIT
#pragma once

// Sole, writable ownership of a slot.

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/give_back.hpp>
#include <zcpool/pool/handle_checks.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/slot_history.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

class slice;

/// A slot that nobody else can read or write, filled from the front; empty when it holds none.
///
///     data()                data() + size()            data() + capacity()
///     | committed: bytes()  | still to fill: space()   |
///
/// Sharing: move-only; one thread at a time, any thread. Freeze it to share it. A handle of 16
/// bytes.
/// In a checked pool a handle that was released, by whatever copy of it, is found out when it is
/// used or released again.
/// Not for: memory that a peer may see before it is complete.
class buffer {
public:
    buffer() noexcept = default;
    buffer(buffer&& other) noexcept
        : record_(std::exchange(other.record_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          life_(std::exchange(other.life_, 0)) {}
    buffer& operator=(buffer other) noexcept {
        std::swap(record_, other.record_);
        std::swap(size_, other.size_);
        std::swap(life_, other.life_);
        return *this;
    }
    ~buffer() { give_back(record_, {}); }

    /// Whether it holds a slot.
    [[nodiscard]] explicit operator bool() const noexcept { return record_ != nullptr; }

    /// The bytes behind what was committed, which hold whatever the slot's last owner left there;
    /// zeroes in a pool with zeroing::on_release, and in a checked one.
    ///
    /// Valid until commit, clear, freeze, reset or a move. Writing through it after freeze()
    /// changes what readers see.
    [[nodiscard]] std::span<std::byte> space() & noexcept {
        return is_usable() ? std::span{record_->data + size_, record_->bytes - size_}
                           : std::span<std::byte>{};
    }
    std::span<std::byte> space() && = delete;

    /// Counts the first `bytes` of space() as written.
    ///
    /// Expects: `bytes <= space().size()`; checked in every build.
    void commit(std::size_t bytes) noexcept {
        ZCPOOL_VERIFY(bytes <= capacity() - size_, "committed more than there is space");
        if (is_usable()) {
            size_ += static_cast<std::uint32_t>(bytes);
        }
    }

    /// What was committed; may still be changed. Valid as long as space() is.
    [[nodiscard]] std::span<std::byte> bytes() & noexcept {
        return is_usable() ? std::span{record_->data, size_} : std::span<std::byte>{};
    }
    [[nodiscard]] std::span<const std::byte> bytes() const& noexcept {
        return is_usable() ? std::span<const std::byte>{record_->data, size_}
                           : std::span<const std::byte>{};
    }
    std::span<std::byte> bytes() && = delete;

    /// Takes back everything that was committed.
    void clear() noexcept { size_ = 0; }

    /// The first byte of the slot; null when it holds none. Valid as long as space() is.
    [[nodiscard]] std::byte* data() & noexcept { return is_usable() ? record_->data : nullptr; }
    [[nodiscard]] const std::byte* data() const& noexcept {
        return is_usable() ? record_->data : nullptr;
    }
    std::byte* data() && = delete;
    /// Bytes committed.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Bytes of the slot, which may be more than was asked for.
    [[nodiscard]] std::size_t capacity() const noexcept {
        return record_ == nullptr ? 0 : record_->bytes;
    }

    /// Turns what was committed into an immutable slice and leaves the buffer empty. Defined in
    /// chain/slice.hpp.
    ///
    /// Returns: an empty slice, and releases the slot, when nothing was committed.
    [[nodiscard]] slice freeze() && noexcept;
    slice freeze() & = delete;  // std::move(b).freeze(): nobody writes through `b` any more

    /// Gives the slot back, if it holds one. A checked pool remembers `where`.
    ///
    /// Concurrency: lock-free while no slot_watch waits; any thread. The last handle of a pool that
    /// has gone unmaps its memory.
    void reset(std::source_location where = std::source_location::current()) noexcept {
        size_ = 0;
        give_back(std::exchange(record_, nullptr), where);
    }

private:
    friend class pool_view;
    friend class slot_address;

    explicit buffer(begun_slot taken) noexcept : record_(taken.record), life_(taken.life) {
        if (can_poison && record_ != nullptr) {
            unpoison(record_->data, record_->bytes);
        }
    }

    /// Whether it holds a slot, and in a checked pool the slot is still its own.
    [[nodiscard]] bool is_usable() const noexcept {
        if (life_ != 0) [[unlikely]] {
            return record_->core->allows(*record_, life_, misuse::used_after_release);
        }
        return record_ != nullptr;
    }

    void give_back(slot_record* record, std::source_location where) noexcept {
        if (record != nullptr && !pool_core::give_back_cached(*record)) {
            pool_core::give_back_elsewhere(*record, std::exchange(life_, 0), where);
        }
    }

    slot_record* record_ = nullptr;
    std::uint32_t size_ = 0;
    slot_life life_ = 0;  ///< 0: empty, or of a pool that is not checked
};
static_assert(sizeof(buffer) == 16, "a row of handles is as small as it can be");

}  // namespace zcpool
