// SPDX-License-Identifier: MIT
#pragma once

// Knowing, without a system call, that this is not the process that made an object: a page that the
// kernel empties in a forked child. A child has copies of its parent's handles; if it released
// them, the parent's slots would be handed out while the parent still reads them.
// Source: madvise(2), MADV_WIPEONFORK (Linux 4.14). Works for fork and for clone alike, unlike
// pthread_atfork.

#include <sys/mman.h>

#include <cstddef>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/mapping.hpp>

namespace zcpool::sys {

/// Tells the process that created it from those that were forked from it.
class fork_guard {
public:
    fork_guard() noexcept = default;

    /// Errors: the errno of mmap or madvise.
    [[nodiscard]] static result<fork_guard> create() noexcept {
        auto page = mapping::anonymous(page_size);
        if (!page) {
            return fail(page.error());
        }
        if (auto done = page->advise(0, page_size, MADV_WIPEONFORK); !done) {
            return fail(done.error());
        }
        fork_guard guard;
        *page->data() = std::byte{1};
        guard.page_ = std::move(*page);
        return guard;
    }

    /// Whether this process is the one that called create(). One load.
    ///
    /// Expects: made by create() and not moved from.
    [[nodiscard]] bool in_creator() const noexcept { return *page_.data() != std::byte{0}; }

private:
    mapping page_;
};

}  // namespace zcpool::sys
