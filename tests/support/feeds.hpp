// SPDX-License-Identifier: MIT
#pragma once

// Both ends of a feed in one process.

#include <utility>

#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/feed.hpp>
#include <zcpool/ipc/feed_reader.hpp>

namespace zcpool_test {

inline zcpool::ipc::feed open_feed(int socket, zcpool::pool_view pool,
                                   const zcpool::ipc::feed_options& options) {
    auto made = zcpool::ipc::feed::open(socket, pool, options);
    REQUIRE(made.has_value());
    return std::move(*made);
}

inline zcpool::ipc::feed_reader open_reader(int socket) {
    auto made = zcpool::ipc::feed_reader::receive_from(socket);
    REQUIRE(made.has_value());
    return std::move(*made);
}

/// A feed of a pool of its own. Its sockets are closed when the ends have gone.
struct feed_pair {
    explicit feed_pair(const zcpool::ipc::feed_options& options = {},
                       const zcpool::pool_options& pool_options = {.slots = {16, 2}})
        : pool(make_pool(pool_options)),
          out(open_feed(sockets.ours.get(), pool, options)),
          in(open_reader(sockets.peer.get())) {
        sockets = {};
    }
    [[nodiscard]] zcpool::slice frame(std::uint64_t seed) { return make_slice(pool, 64, seed); }

    connection sockets = blocking_unix_pair();
    small_pool pool;
    zcpool::ipc::feed out;
    zcpool::ipc::feed_reader in;
};

/// Whether a slice is what frame(seed) made.
[[nodiscard]] inline bool shows_frame(const zcpool::slice& got, std::uint64_t seed) {
    return std::vector(got.bytes().begin(), got.bytes().end()) == pattern(64, seed);
}

}  // namespace zcpool_test
