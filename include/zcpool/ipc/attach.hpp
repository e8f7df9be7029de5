// SPDX-License-Identifier: MIT
#pragma once

// A pool that another process made, as a partner: it may acquire and release like the maker.

#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/sys/page_lock.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// This process's part in another one's pool. It outlives the maker, and is outlived by its
/// buffers and slices, as a pool is.
///
/// Partners run as the same user, in the same pid and time namespaces, and trust each other not to
/// scribble in the pool's control memory. Not for readers that are not trusted.
/// Sharing: as pool. A forked child has no part in it: it attaches for itself.
class attached_pool {
public:
    /// Checks the descriptors and takes a place in the pool; they are closed when that fails.
    ///
    /// `locking`: whether this process keeps the pages in RAM as well.
    /// Errors: as check_descriptors(); `other_namespace`, `too_many_processes`, `out_of_memory`, or
    /// the errno of what the system refused.
    /// Complexity: system calls, and page faults for every page.
    [[nodiscard]] static result<attached_pool> attach(
        sys::unique_fd data, sys::unique_fd control,
        lock_policy locking = lock_policy::none) noexcept {
        auto checked = check_descriptors(std::move(data), std::move(control));
        if (!checked) {
            return fail(checked.error());
        }
        auto core = pool_sharing::attach(std::move(checked->data), std::move(checked->control),
                                         checked->table, checked->layout, locking);
        if (!core) {
            return fail(core.error());
        }
        return attached_pool{*core};
    }

    /// Leaves `other` without a pool: it may only be destroyed or assigned to.
    attached_pool(attached_pool&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    attached_pool& operator=(attached_pool&& other) noexcept {
        if (this != &other) {
            leave();
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    ~attached_pool() { leave(); }

    /// The pool, for acquiring and all else.
    // NOLINTNEXTLINE(google-explicit-constructor): as pool
    [[nodiscard]] operator pool_view() const& noexcept { return view(); }
    operator pool_view() const&& = delete;
    [[nodiscard]] pool_view view() const& noexcept {
        ZCPOOL_ASSERT(core_ != nullptr, "used a pool that was moved from");
        return pool_sharing::view_of(*core_);
    }
    pool_view view() const&& = delete;

private:
    explicit attached_pool(pool_core* core) noexcept : core_(core) {}

    void leave() noexcept {
        if (core_ != nullptr) {
            std::exchange(core_, nullptr)->end();
        }
    }

    pool_core* core_;
};

}  // namespace zcpool::ipc
