// SPDX-License-Identifier: MIT
#pragma once

// Which files are in the pool, most recently used first. It decides what to give up when the pool
// is full; how much that is, the pool decides.

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include <segment_server/origin/cached_file.hpp>

namespace segment_server {

/// What the cache holds, and how many files it gave up so far.
struct cache_stats {
    std::uint64_t evictions = 0;
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
};

/// Files by path, bounded in number, least recently used ones given up first.
///
/// Concurrency: every member from any thread, under one mutex that is held for a look-up and a few
/// pointers. Nothing is read, sent or freed under it.
class segment_cache {
public:
    /// Looks for a file and makes it the most recently used.
    ///
    /// Returns: nothing when there is none.
    [[nodiscard]] cached_file_ptr find(std::string_view path);

    /// Puts a file in the place of its former version, if there is one. Those who send that go on
    /// with it.
    void insert(std::string_view path, cached_file_ptr file);

    /// Forgets a file, because it is gone.
    void erase(std::string_view path);

    /// Gives up the least recently used file that nobody is sending: giving up another would free
    /// nothing now.
    ///
    /// Returns: false when all are being sent, or none is left.
    bool evict_one();

    [[nodiscard]] cache_stats stats() const;

private:
    struct node {
        std::string path;
        cached_file_ptr file;
    };
    using position = std::list<node>::iterator;

    [[nodiscard]] cached_file_ptr take_out(position where);

    // Files without content take no slot, so the pool does not bound them.
    static constexpr std::size_t most_files = 65536;

    mutable std::mutex mutex_;
    std::list<node> nodes_;  ///< most recently used first
    std::unordered_map<std::string_view, position> index_;
    cache_stats stats_;
};

}  // namespace segment_server
