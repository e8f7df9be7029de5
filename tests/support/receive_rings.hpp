// SPDX-License-Identifier: MIT
#pragma once

// A ring to receive through, where the system allows one.

#include <memory>
#include <system_error>

#include <support/catch.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/source/receive_ring.hpp>

namespace zcpool_test {

/// Returns: null where io_uring is missing or forbidden, or has no provided buffers: then skip.
inline std::unique_ptr<zcpool::source::receive_ring> test_receive_ring(
    zcpool::pool_view pool, const zcpool::source::receive_ring_options& options) {
    auto made = zcpool::source::receive_ring::create(pool, options);
    if (!made) {
        REQUIRE(made.error().category() == std::system_category());
        return nullptr;
    }
    return std::move(*made);
}

}  // namespace zcpool_test
