// SPDX-License-Identifier: MIT
#pragma once

// A file as it was at one moment, in pool memory, with the text that describes it. Immutable, and
// so the same for every response that refers to it, whatever happens to the file.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

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
/// Sharing: any number of threads; nothing but the time of the last look changes after it was made.
struct cached_file {
    file_version version;
    bool settled = false;  ///< whether a later write must show in the version
    std::string etag;
    zcpool::chain body;
    zcpool::slice head;  ///< of a 200; its end parts are those of 206 and of 304
    std::size_t content_at = 0;
    std::size_t validators_at = 0;
    /// When the file on disk was last seen to be this one, by CLOCK_MONOTONIC_COARSE.
    mutable std::atomic<std::int64_t> seen_ns{0};

    [[nodiscard]] validators present() const noexcept { return {etag, version.modified()}; }
};

/// A reference that keeps a version from being evicted.
using cached_file_ptr = std::shared_ptr<const cached_file>;

}  // namespace segment_server
