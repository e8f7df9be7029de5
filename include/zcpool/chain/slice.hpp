// SPDX-License-Identifier: MIT
#pragma once

// A shared, immutable view of bytes that stay where they are: part of a slot, or foreign memory
// with what keeps it alive.

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

/// Where a lent slice's bytes lie, for a call that takes a file and an offset.
struct file_range {
    int fd = -1;
    std::size_t offset = 0;
};

/// Memory that does not come from a pool, with the object that keeps it.
struct foreign_owner : slice_owner {
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
    slice(const slice& other) noexcept
        : owner_(other.owner_), data_(other.data_), size_(other.size_) {
        if (owner_ != nullptr) {
            // relaxed: the copied slice holds the bytes meanwhile.
            owner_->references.fetch_add(1, memory_order_relaxed);
        }
    }
    slice(slice&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    slice& operator=(slice other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
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
    template <std::ranges::contiguous_range Owner>
        requires(!std::is_lvalue_reference_v<Owner>)
    [[nodiscard]] static result<slice> adopt(Owner&& owner) noexcept {
        auto* made = new (std::nothrow) holder<Owner>{std::move(owner)};
        if (made == nullptr) {
            return fail(errc::out_of_memory);
        }
        const auto bytes = std::as_bytes(std::span{std::as_const(made->owner)});
        return slice{made, bytes.data(), bytes.size()};
    }

    [[nodiscard]] const std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

    /// A slice of the bytes from `offset` on, at most `count` of them, sharing this one's memory.
    ///
    /// Expects: `offset <= size()`; checked in every build.
    [[nodiscard]] slice subslice(std::size_t offset, std::size_t count = SIZE_MAX) const noexcept {
        slice part{*this};
        part.remove_prefix(offset);
        part.size_ = count < part.size_ ? count : part.size_;
        return part;
    }

    /// Leaves the first `count` bytes out.
    /// Expects: `count <= size()`; checked in every build.
    void remove_prefix(std::size_t count) noexcept {
        ZCPOOL_VERIFY(count <= size_, "left out more bytes than the slice has");
        data_ += count;
        size_ -= count;
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
    /// this slice lives; nothing when the bytes may not be lent (adopted, a pool that never lends,
    /// budget used up): then copy.
    /// Concurrency: lock-free; any thread.
    [[nodiscard]] std::optional<file_range> lend() const noexcept {
        if (!in_pool() || !record().core->lend(record())) {
            return std::nullopt;
        }
        return file_range{record().core->lending_fd(), record().core->offset_of(data_)};
    }

    /// How often the slot's present content was sent by copying, as far as count_copied_send() was
    /// told; 0 for adopted memory.
    [[nodiscard]] std::uint32_t copied_sends() const noexcept {
        // relaxed: a hint for what is cheaper.
        return in_pool() ? record().copied_sends.load(memory_order_relaxed) : 0;
    }

    /// Counts a send of the slot's content by copying.
    void count_copied_send() const noexcept {
        if (in_pool()) {
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

    template <class Owner>
    struct holder : foreign_owner {
        static_assert(std::is_nothrow_constructible_v<Owner, Owner&&>,
                      "slice::adopt: the owner must move without throwing");
        template <class From>
        explicit holder(From&& from) noexcept
            : foreign_owner(
                  [](foreign_owner* self) noexcept { delete static_cast<holder*>(self); }),
              owner(std::forward<From>(from)) {}
        Owner owner;
    };

    /// Takes over one reference that is not counted yet.
    slice(slice_owner* owner, const std::byte* data, std::size_t size) noexcept
        : owner_(owner), data_(data), size_(size) {
        // relaxed: the first reference; nobody else knows the owner.
        owner_->references.store(1, memory_order_relaxed);
    }

    [[nodiscard]] slot_record& record() const noexcept {
        return *static_cast<slot_record*>(owner_);
    }

    void drop() noexcept {
        if (owner_ == nullptr) {
            return;
        }
        // The only one need not count down: nobody is left who could make another.
        // sync(slice): acquire; it sees that all others have done reading.
        if (owner_->references.load(memory_order_acquire) != 1 &&
            // sync(slice): acq_rel; the last one sees that all others have done reading.
            owner_->references.fetch_sub(1, memory_order_acq_rel) != 1) {
            return;
        }
        if (in_pool()) {
            pool_core::give_back(record());
        } else {
            auto* foreign = static_cast<foreign_owner*>(owner_);
            foreign->destroy(foreign);
        }
    }

    slice_owner* owner_ = nullptr;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

inline slice buffer::freeze() && noexcept {
    if (record_ == nullptr || size_ == 0) {
        reset();
        return {};
    }
    slot_record& record = *std::exchange(record_, nullptr);
    // relaxed: the record is still its owner's alone. Its word changes when the first one beside
    // this process is to read it.
    record.copied_sends.store(0, memory_order_relaxed);
    return slice{&record, record.data, std::exchange(size_, 0)};
}

}  // namespace zcpool
