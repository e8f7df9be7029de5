// SPDX-License-Identifier: MIT
#pragma once

// A pool's memory for whoever keeps its pages: an io_uring, which is told of them once.

#include <cstddef>
#include <span>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/sharing.hpp>

namespace zcpool {

/// A promise that a pool's pages stay as they are, and where they are, while this lives: the pool
/// is neither trimmed nor shared meanwhile, and its memory stays when the pool ends.
///
/// Held by what has the pages registered, and only dropped when nothing can be sent by that
/// registration any more.
/// Sharing: one thread at a time; may go to another one.
class registered_pages {
public:
    /// Errors: `pages_replaceable` for a pool that lends, feeds, is shared or checked, or was
    /// trimmed; `closed` in a forked child.
    [[nodiscard]] static result<registered_pages> of(pool_view pool) noexcept {
        pool_core& core = pool_sharing::core_of(pool);
        if (!core.in_creator()) {
            return fail(errc::closed);
        }
        // The guards of a checked pool may not be touched, by the kernel either.
        if (core.report().checking != checking::none || !core.registrations_.begin()) {
            return fail(errc::pages_replaceable);
        }
        core.pin();
        return registered_pages{&core};
    }
    registered_pages(registered_pages&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)) {}
    registered_pages& operator=(registered_pages&& other) noexcept {
        if (this != &other) {
            drop();
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    ~registered_pages() { drop(); }

    /// Another promise for the same pages.
    /// Expects: not moved from.
    [[nodiscard]] registered_pages share() const noexcept {
        [[maybe_unused]] const bool counted = core_->registrations_.begin();
        ZCPOOL_ASSERT(counted, "pages were replaced while they were registered");
        core_->pin();
        return registered_pages{core_};
    }

    /// The slots' memory, whole pages.
    /// Expects: not moved from.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept {
        return {core_->memory().data(), core_->memory().size()};
    }

private:
    explicit registered_pages(pool_core* core) noexcept : core_(core) {}

    void drop() noexcept {
        if (core_ != nullptr) {
            core_->registrations_.end();
            core_->unpin();
        }
    }

    pool_core* core_;
};

}  // namespace zcpool
