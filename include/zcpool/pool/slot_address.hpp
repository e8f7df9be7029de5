// SPDX-License-Identifier: MIT
#pragma once

// A slot by its address alone, for interfaces that have no room for a handle: malloc's, pmr's.

#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

/// The way from a handle to an address and back. All slots of a pool lie in one mapping, class
/// after class, so that an address says which slot it is in.
///
/// Sharing: stateless; any thread.
class slot_address {
public:
    /// Gives up the handle. The slot stays in use until take() has made one again.
    /// Returns: where the slot begins, at a page; null for an empty buffer.
    [[nodiscard]] static std::byte* leave(buffer handle) noexcept {
        slot_record* const record = std::exchange(handle.record_, nullptr);
        return record == nullptr ? nullptr : record->data;
    }

    /// Whether an address lies in the pool's memory.
    [[nodiscard]] static bool is_in(const pool_core& core, const void* address) noexcept {
        return offset_of(core, address) < core.memory().size();
    }

    /// The handle of the slot that an address lies in, wherever in it; nothing is committed.
    ///
    /// Expects: is_in(), and leave() gave that slot up. A checked pool finds out a slot that was
    /// released since; not one that is somebody else's by now.
    /// Complexity: O(classes).
    [[nodiscard]] static buffer take(pool_core& core, const void* address) noexcept {
        slot_record& record = find(core, address);
        buffer handle;
        handle.record_ = &record;
        handle.life_ = core.last_life(record);
        return handle;
    }

private:
    [[nodiscard]] static std::size_t offset_of(const pool_core& core,
                                               const void* address) noexcept {
        return reinterpret_cast<std::uintptr_t>(address) -
               reinterpret_cast<std::uintptr_t>(core.memory().data());
    }

    [[nodiscard]] static slot_record& find(pool_core& core, const void* address) noexcept {
        const std::size_t offset = offset_of(core, address);
        std::size_t index = core.class_count() - 1;
        while (index != 0 && offset < pool_sharing::slots_of(core, index).layout().data) {
            --index;
        }
        const slab& slots = pool_sharing::slots_of(core, index);
        const class_layout& layout = slots.layout();
        const std::size_t slot = (offset - layout.data) / (layout.slot_bytes + layout.margin);
        ZCPOOL_VERIFY(
            slot < layout.slots &&
                offset - layout.offset_of(static_cast<std::uint32_t>(slot)) < layout.slot_bytes,
            "an address that lies in no slot");
        return slots.record(static_cast<std::uint32_t>(slot));
    }
};

}  // namespace zcpool
