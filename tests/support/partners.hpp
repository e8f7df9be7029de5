// SPDX-License-Identifier: MIT
#pragma once

// A pool, and the same pool attached a second time in this process, as if by another one: both ends
// of what passes between processes, in one test. What needs real processes is in tests/process.

#include <unistd.h>

#include <cstddef>
#include <utility>

#include <support/catch.hpp>
#include <support/pools.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/ipc/audit.hpp>

namespace zcpool_test {

/// Attaches to a pool for another time.
inline zcpool::ipc::attached_pool attach_again(zcpool::pool_view pool) {
    const auto files = pool.share();
    REQUIRE(files.has_value());
    auto attached = zcpool::ipc::attached_pool::attach(
        zcpool::sys::unique_fd{::dup(files->data)}, zcpool::sys::unique_fd{::dup(files->control)});
    REQUIRE(attached.has_value());
    return std::move(*attached);
}

/// Two parts of a pool, of which each has a place of its own.
template <class Pool = small_pool>
struct partners {
    explicit partners(const zcpool::pool_options& options = {.slots = {8, 4}})
        : here(make_pool<Pool>(options)), there(attach_again(here)) {}

    /// Whether all slots are free, by their words.
    [[nodiscard]] bool all_free() const {
        const auto found = zcpool::ipc::audit(here);
        for (std::size_t i = 0; i < found.class_count; ++i) {
            const auto stats = zcpool::pool_view{here}.stats();
            if (found.classes[i].available() != stats[i].slots || found.classes[i].damaged != 0) {
                return false;
            }
        }
        return true;
    }

    Pool here;
    zcpool::ipc::attached_pool there;
};

}  // namespace zcpool_test
