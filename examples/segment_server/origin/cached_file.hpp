// SPDX-License-Identifier: MIT
#pragma once

// A file as it was at one moment, in pool memory, with the text that describes it. Immutable, and
// so the same for every response that refers to it, whatever happens to the file.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <zcpool/base/atomic.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>

#include <segment_server/http/conditional.hpp>
#include <segment_server/origin/file_version.hpp>

namespace segment_server {

/// One version of one file.
///
///     head: | status line, Content-Length | Content-Type ... | ETag ... |
///           0                     content_at        validators_at
///
/// Sharing: any number of threads; nothing changes after it was made but the number of sends.
struct cached_file {
    file_version version;
    bool settled = false;  ///< whether a later write must show in the version
    std::string etag;
    zcpool::chain body;
    zcpool::slice head;  ///< of a 200; its end parts are those of 206 and of 304
    std::size_t content_at = 0;
    std::size_t validators_at = 0;

    /// The same octets as slices that no sink can lend, because they are not the pool's own; empty
    /// where the pool never lends.
    zcpool::chain unlendable;
    mutable zcpool::atomic<std::uint32_t> sends{0};

    /// The content, for one more response. Lending a slot means replacing its pages when the file
    /// is given up, which costs as much as copying it about 16 times; and what is sent seldom is
    /// given up soon. So the first responses are copied.
    [[nodiscard]] const zcpool::chain& content() const noexcept {
        constexpr std::uint32_t sends_before_lending = 16;
        // relaxed: a few copies more or less do not matter.
        if (unlendable.empty() ||
            sends.load(zcpool::memory_order_relaxed) >= sends_before_lending) {
            return body;
        }
        // relaxed: as above.
        sends.fetch_add(1, zcpool::memory_order_relaxed);
        return unlendable;
    }

    [[nodiscard]] validators present() const noexcept { return {etag, version.modified()}; }
};

/// A reference that keeps a version from being evicted.
using cached_file_ptr = std::shared_ptr<const cached_file>;

}  // namespace segment_server
