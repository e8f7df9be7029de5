// SPDX-License-Identifier: MIT
#pragma once

// A shared, immutable view of bytes that stay where they are: part of a slot, or foreign memory
// with what keeps it alive.

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/slot_history.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

/// Where a lent slice's bytes lie, for a call that takes a file and an offset.
struct file_range {
    int fd = -1;
    std::size_t offset = 0;
};

/// Memory that does not come from a pool, with the object that keeps it.
struct foreign_owner : slice_owner {
    /// `end` destroys it.
    explicit foreign_owner(void (*end)(foreign_owner*) noexcept) noexcept
        : slice_owner(kind::foreign), destroy(end) {}
    void (*destroy)(foreign_owner*) noexcept;
};

/// A counted view of immutable bytes; empty when it holds none.
///
///     slot   | ........ [ slice: data(), size() ] ........ |      other slices of the slot share
///     its count
///
/// Sharing: copies share; one slice object is used by one thread at a time, copies of it by any
/// number. The slot is free again when the last slice of it, in every process, and the kernel are
/// done. 24 bytes.
/// Not for: bytes that change. There is no way back to a buffer.
class slice {
public:
    slice() noexcept = default;
    slice(const slice& other) noexcept {
        if (other.owner_ != nullptr && other.is_usable()) {
            owner_ = other.owner_;
            data_ = other.data_;
            tail_ = other.tail_;
            // relaxed: the copied slice holds the bytes meanwhile.
            owner_->references.fetch_add(1, memory_order_relaxed);
        }
    }
    slice(slice&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          tail_(std::exchange(other.tail_, 0)) {}
    slice& operator=(slice other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(data_, other.data_);
        std::swap(tail_, other.tail_);
        return *this;
    }
    ~slice() { drop(); }

    /// Brings memory that is not a pool's into a chain; `owner` is moved in, and destroyed when the
    /// last slice goes.
    ///
    /// Expects: `bytes` stay valid and unchanged while `owner` lives, wherever it is moved. A
    /// std::string keeps short texts in itself: hand such an owner in alone.
    /// Errors: `out_of_memory`; `owner` is then as it was.
    /// Complexity: one allocation.
    template <class Owner>
    [[nodiscard]] static result<slice> adopt(std::span<const std::byte> bytes,
                                             Owner&& owner) noexcept {
        auto* made =
            new (std::nothrow) holder<std::remove_cvref_t<Owner>>{std::forward<Owner>(owner)};
        if (made == nullptr) {
            return fail(errc::out_of_memory);
        }
        return slice{made, bytes.data(), bytes.size()};
    }

    /// Likewise for an owner that is itself the range of the bytes: a vector, a string, an array.
    template <class Owner>
        requires(!std::is_lvalue_reference_v<Owner>) &&
                requires(const Owner& owner) { std::span{owner}; }
    [[nodiscard]] static result<slice> adopt(Owner&& owner) noexcept {
        auto* made = new (std::nothrow) holder<Owner>{std::forward<Owner>(owner)};
        if (made == nullptr) {
            return fail(errc::out_of_memory);
        }
        const auto bytes = std::as_bytes(std::span{std::as_const(made->owner)});
        return slice{made, bytes.data(), bytes.size()};
    }

    [[nodiscard]] const std::byte* data() const noexcept { return is_usable() ? data_ : nullptr; }
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(tail_ & size_mask);
    }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return is_usable() ? std::span{data_, size()} : std::span<const std::byte>{};
    }

    /// A slice of the bytes from `offset` on, at most `count` of them, sharing this one's memory.
    ///
    /// Expects: `offset <= size()`; checked in every build.
    [[nodiscard]] slice subslice(std::size_t offset, std::size_t count = SIZE_MAX) const noexcept {
        slice part{*this};
        part.remove_prefix(offset);
        part.tail_ -= count < part.size() ? part.size() - count : 0;
        return part;
    }

    /// Leaves the first `count` bytes out.
    /// Expects: `count <= size()`; checked in every build.
    void remove_prefix(std::size_t count) noexcept {
        ZCPOOL_VERIFY(count <= size(), "left out more bytes than the slice has");
        data_ += count;
        tail_ -= count;
    }

    /// Whether the bytes lie in a pool, and not in adopted memory.
    [[nodiscard]] bool in_pool() const noexcept {
        return owner_ != nullptr && owner_->what == slice_owner::kind::slot;
    }

    /// Says that the bytes are about to be handed to a call without a receipt, and where they lie.
    ///
    /// From here on the slot's pages are replaced before its next owner writes, whatever becomes of
    /// the call. This is the only way to a pool's descriptor, so no sink can forget it.
    /// Returns: a descriptor that can only read, where the system allows to open one, valid while
    /// this slice lives; nothing when the bytes may not be lent (adopted, a pool that never lends
    /// or has no file, budget used up): then copy. Concurrency: lock-free; any thread.
    [[nodiscard]] std::optional<file_range> lend() const noexcept {
        if (!in_pool()) {
            return std::nullopt;
        }
        const int fd = record().core->lending_fd();
        if (fd < 0 || !lend_memory()) {
            return std::nullopt;
        }
        return file_range{fd, record().core->offset_of(data_)};
    }

    /// Likewise for a call that takes the bytes where they lie (vmsplice), also of pools that have
    /// no file.
    ///
    /// Returns: false when the bytes may not be lent: then copy.
    [[nodiscard]] bool lend_memory() const noexcept {
        return in_pool() && is_usable() && record().core->lend(record());
    }

    /// Whether the bytes lie in an arena, where lending them once already pays.
    [[nodiscard]] bool lends_by_arena() const noexcept {
        return in_pool() && record().core->lends() == lending::arena;
    }

    /// How often the slot's present content was sent by copying, as far as count_copied_send() was
    /// told; 0 for adopted memory.
    [[nodiscard]] std::uint32_t copied_sends() const noexcept {
        // relaxed: a hint for what is cheaper.
        return in_pool() ? record().copied_sends.load(memory_order_relaxed) : 0;
    }

    /// Counts a send of the slot's content by copying, where it could be lent one day.
    void count_copied_send() const noexcept {
        if (in_pool() && record().core->lends() != lending::never) {
            // relaxed: a hint for what is cheaper.
            record().copied_sends.fetch_add(1, memory_order_relaxed);
        }
    }

    /// Tells the pool that `bytes` of the slice were copied because they could not be lent.
    void count_copied(std::size_t bytes) const noexcept {
        if (in_pool()) {
            record().core->count_copied(record(), bytes);
        }
    }

private:
    friend class buffer;
    friend class slice_transfer;

    template <class Owner>
    struct holder : foreign_owner {
        template <class From>
            requires(!std::is_same_v<std::remove_cvref_t<From>, holder>)
        explicit holder(From&& from) noexcept
            : foreign_owner(
                  [](foreign_owner* self) noexcept { delete static_cast<holder*>(self); }),
              owner(std::forward<From>(from)) {
            static_assert(std::is_nothrow_constructible_v<Owner, From>,
                          "slice::adopt: the owner must move without throwing");
        }
        Owner owner;
    };

    /// Takes over one reference that is not counted yet.
    slice(slice_owner* owner, const std::byte* data, std::size_t size, slot_life life = 0) noexcept
        : owner_(owner), data_(data), tail_(std::uint64_t{shortened(life)} << size_bits | size) {
        ZCPOOL_ASSERT(size <= size_mask, "no address space has so many bytes");
        // relaxed: the first reference; nobody else knows the owner.
        owner_->references.store(1, memory_order_relaxed);
    }

    /// Of memory whose owner is at hand, and begins to count here.
    [[nodiscard]] static slice of(foreign_owner& owner, std::span<const std::byte> bytes) noexcept {
        return slice{&owner, bytes.data(), bytes.size()};
    }

    /// Takes over a reference that is counted already.
    [[nodiscard]] static slice counted(slot_record& record, std::size_t offset,
                                       std::size_t size) noexcept {
        slice made;
        made.owner_ = &record;
        made.data_ = record.data + offset;
        made.tail_ = size;
        return made;
    }

    [[nodiscard]] slot_record& record() const noexcept {
        return *static_cast<slot_record*>(owner_);
    }

    [[nodiscard]] slot_life life() const noexcept {
        return static_cast<slot_life>(tail_ >> size_bits);
    }

    /// Whether the slot, in a checked pool, is still in the life of this slice; true of all others,
    /// empty ones too.
    [[nodiscard]] bool is_usable(misuse otherwise = misuse::used_after_release) const noexcept {
        if (life() != 0) [[unlikely]] {
            return record().core->allows(record(), life(), otherwise);
        }
        return true;
    }

    void drop() noexcept {
        if (owner_ == nullptr || !is_usable(misuse::released_twice)) {
            return;
        }
        // The only one need not count down: nobody is left who could make another. Not so for a
        // slot that travels, whose count is never 1.
        // sync(slice): acquire; it sees that all others have done reading.
        if (owner_->references.load(memory_order_acquire) != 1 &&
            // sync(slice): acq_rel; the last one sees that all others have done reading.
            (owner_->references.fetch_sub(1, memory_order_acq_rel) & ~slice_owner::travels) != 1) {
            return;
        }
        if (in_pool()) {
            if (!pool_core::give_back_cached(record())) [[unlikely]] {
                pool_core::give_back_elsewhere(record(), life(), {});
            }
        } else {
            auto* foreign = static_cast<foreign_owner*>(owner_);
            foreign->destroy(foreign);
        }
    }

    static constexpr unsigned size_bits = 48;
    static constexpr std::uint64_t size_mask = (std::uint64_t{1} << size_bits) - 1;

    slice_owner* owner_ = nullptr;
    const std::byte* data_ = nullptr;
    std::uint64_t tail_ = 0;  ///< [ life, of a checked pool's slot : 16 ][ size : 48 ]
};

static_assert(sizeof(slice) == 2 * sizeof(void*) + sizeof(std::uint64_t),
              "a chain's list of slices is as small as it can be");

inline slice buffer::freeze() && noexcept {
    if (record_ == nullptr || size_ == 0) {
        reset({});
        return {};
    }
    const bool usable = is_usable();
    slot_record& record = *std::exchange(record_, nullptr);
    const std::size_t size = std::exchange(size_, 0);
    const slot_life life = std::exchange(life_, 0);
    if (!usable) {
        return {};
    }
    // relaxed: the record is still its owner's alone. Its word changes when the first one beside
    // this process is to read it.
    record.copied_sends.store(0, memory_order_relaxed);
    return slice{&record, record.data, size, life};
}

}  // namespace zcpool
