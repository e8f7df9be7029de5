// SPDX-License-Identifier: MIT
#pragma once

// Slots of a pool that an io_uring may fill as things come. Not part of zcpool.hpp: it needs
// liburing and comes with the CMake target zcpool::uring.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <source_location>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sys/buffer_ring.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::source {

/// A ring of provided buffers that are slots of a pool.
///
///     pool -> slot, owned here -> the kernel fills it -> slice -> ... -> pool
///
/// What the kernel may fill is owned: this object holds a buffer for each, so that it is neither
/// lent nor renewed meanwhile, and if it was lent before, its pages have been replaced. The kernel
/// is given addresses and pins no pages (sys/buffer_ring.hpp): so slots of a pool that renews may
/// be received into, where registered buffers might not. A slot leaves with the completion that
/// names it, and another takes its place; while the pool has none, the place stays empty.
///
/// Expects: the io_uring outlives it, and nothing is in flight that could take from it when it
/// ends.
/// Sharing: one thread, that of the io_uring.
class provided_slots {
public:
    /// Takes as many slots of at least so many bytes as there are; at least one.
    ///
    /// Errors: those of sys::buffer_ring::create; `too_large`, `exhausted` or `closed` when the
    /// pool gives none; `out_of_memory`.
    [[nodiscard]] static result<provided_slots> create(sys::uring& ring, std::uint16_t group,
                                                       pool_view pool, unsigned count,
                                                       std::size_t bytes,
                                                       std::source_location where) noexcept {
        auto provided = sys::buffer_ring::create(ring, count, group);
        if (!provided) {
            return fail(provided.error());
        }
        std::unique_ptr<place[]> places{new (std::nothrow) place[count]};
        if (!places) {
            return fail(errc::out_of_memory);
        }
        auto first = pool.acquire(bytes, priority::normal, where);
        if (!first) {
            return fail(first.error());
        }
        provided_slots made{std::move(*provided), std::move(places), pool, bytes, where};
        made.fill_first(std::move(*first));
        made.refill();
        return made;
    }
    provided_slots(provided_slots&&) noexcept = default;
    provided_slots& operator=(provided_slots&&) = delete;
    ~provided_slots() = default;

    /// Fills empty places, as far as the pool has slots.
    /// Complexity: no system call of its own; an acquire for each, and one that fails.
    void refill() noexcept {
        while (with_kernel_ != provided_.entries()) {
            buffer next = pool_.try_acquire(bytes_, where_);
            if (!next) {
                return;
            }
            fill_first(std::move(next));
        }
    }

    /// Bytes of a slot that the kernel may fill.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept { return bytes_; }

    /// Takes the slot that a completion names, with so many bytes in it, and puts another in its
    /// place.
    ///
    /// Returns: an empty slice for a name that the kernel was not given, and for no bytes: then the
    /// same slot is provided again.
    [[nodiscard]] slice take(std::uint16_t name, std::size_t bytes) noexcept {
        if (name >= provided_.entries() || !places_[name].slot) {
            return {};
        }
        place& filled = places_[name];
        --with_kernel_;
        filled.slot.commit(std::min(bytes, filled.slot.capacity()));
        slice came;
        if (bytes != 0) {
            came = std::move(filled.slot).freeze();
            filled.slot = pool_.try_acquire(bytes_, where_);
        }
        if (filled.slot) {
            offer(name);
        } else {
            filled.next_empty = std::exchange(first_empty_, name);
        }
        return came;
    }

    /// Slots that the kernel may fill.
    [[nodiscard]] unsigned with_kernel() const noexcept { return with_kernel_; }
    /// By what requests name them.
    [[nodiscard]] std::uint16_t group() const noexcept { return provided_.group(); }

    /// Never frees what the kernel may still write to: memory that is lost is better than memory
    /// that changes under its next owner.
    void abandon() noexcept {
        provided_.abandon();
        static_cast<void>(places_.release());
    }

private:
    /// What is given to the kernel under a name, which is its index.
    struct place {
        buffer slot;
        std::uint16_t next_empty = 0;
    };

    provided_slots(sys::buffer_ring provided, std::unique_ptr<place[]> places, pool_view pool,
                   std::size_t bytes, std::source_location where) noexcept
        : places_(std::move(places)),
          provided_(std::move(provided)),
          pool_(pool),
          where_(where),
          bytes_(bytes) {
        for (unsigned i = 0; i < provided_.entries(); ++i) {
            places_[i].next_empty = static_cast<std::uint16_t>(i + 1);  // the last one's: not read
        }
    }

    /// Expects: a place is empty.
    void fill_first(buffer slot) noexcept {
        const std::uint16_t name = first_empty_;
        first_empty_ = places_[name].next_empty;
        places_[name].slot = std::move(slot);
        offer(name);
    }

    void offer(std::uint16_t name) noexcept {
        provided_.offer(name, places_[name].slot.space());
        ++with_kernel_;
    }

    std::unique_ptr<place[]> places_;  // before what it must outlive
    sys::buffer_ring provided_;
    pool_view pool_;
    std::source_location where_;
    std::size_t bytes_;
    std::uint16_t first_empty_ = 0;
    unsigned with_kernel_ = 0;
};

}  // namespace zcpool::source
