// SPDX-License-Identifier: MIT
#pragma once

// Files on disk as immutable slices in the pool: found in the cache while the file is what it was,
// read otherwise.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/pool.hpp>

#include <segment_server/http/target_path.hpp>
#include <segment_server/observe/counters.hpp>
#include <segment_server/origin/cached_file.hpp>
#include <segment_server/origin/root_directory.hpp>
#include <segment_server/origin/segment_cache.hpp>

namespace segment_server {

/// The pool of this server: each size four times the one before, so that at most three quarters of
/// the last slot of a file lie idle, and a full class spills into the next.
using segment_classes =
    zcpool::size_classes<zcpool::operator""_KiB(4), zcpool::operator""_KiB(16),
                         zcpool::operator""_KiB(64), zcpool::operator""_KiB(256),
                         zcpool::operator""_MiB(1)>;
using segment_pool =
    zcpool::pool<segment_classes, zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;

/// For texts that leave with a body by reference. Apart from the bodies: a text that stays would
/// keep an arena of theirs from being renewed.
using text_pool = zcpool::pool<zcpool::size_classes<zcpool::operator""_KiB(4)>>;

/// A pool of texts in arenas; nothing where `lending` is otherwise, or there are no huge pages.
[[nodiscard]] std::optional<text_pool> make_text_pool(zcpool::lending lending, std::uint32_t slots,
                                                      std::chrono::milliseconds settle_time);

/// How many slots each class has in a pool of so many bytes: most bytes where segments are.
[[nodiscard]] zcpool::pool_options divide(std::size_t pool_bytes) noexcept;

/// The files of one directory, in one pool, for all event loops.
///
/// Concurrency: any thread. A hit takes one look at the file's status and one short lock; misses
/// are read one after the other, so that two threads never hold half of the pool each.
class segment_store {
public:
    /// `texts`: where heads lie while there is room, or nothing: on the heap.
    /// `recheck`: how long a look at a file is believed; 0: not at all.
    segment_store(const root_directory& root, zcpool::pool_view pool,
                  std::optional<zcpool::pool_view> texts,
                  std::chrono::milliseconds recheck) noexcept
        : root_(root), pool_(pool), texts_(texts), recheck_(recheck) {}

    /// The present version of a file, or, where a look is believed for a while, what it was then.
    ///
    /// Ensures: the content is what the file had at one moment, never a mixture.
    /// Returns: the former version while a writer is busy with the file. Errors: the errno of
    /// looking or reading; EBUSY for a file that is being written and was not here before;
    /// `exhausted` when nothing can be evicted; `too_large` for more than the pool has.
    [[nodiscard]] zcpool::result<cached_file_ptr> get(const target_path& path,
                                                      worker_counters& counters);

    [[nodiscard]] const segment_cache& cache() const noexcept { return cache_; }
    [[nodiscard]] zcpool::pool_view pool() const noexcept { return pool_; }

private:
    [[nodiscard]] zcpool::result<cached_file_ptr> load(const target_path& path);
    [[nodiscard]] zcpool::result<cached_file_ptr> try_to_read(const target_path& path);
    [[nodiscard]] zcpool::result<zcpool::chain> read_body(int file, std::uint64_t size);
    [[nodiscard]] zcpool::buffer room_for(std::size_t bytes);

    const root_directory& root_;
    zcpool::pool_view pool_;
    std::optional<zcpool::pool_view> texts_;
    std::chrono::milliseconds recheck_;
    segment_cache cache_;
    std::mutex loading_;
};

}  // namespace segment_server
