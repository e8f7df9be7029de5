// SPDX-License-Identifier: MIT
#pragma once

// Text that was made on the heap, once, as a slice that is sent many times.

#include <cstring>
#include <string>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/pool.hpp>

namespace segment_server {

/// Brings a text into a slice. Errors: `out_of_memory`.
[[nodiscard]] inline zcpool::result<zcpool::slice> adopt_text(std::string text) {
    return zcpool::slice::adopt(std::move(text));
}

/// Likewise, but in a slot of a pool, where there is one left. In an arena a sink may send it
/// together with what follows, by reference.
[[nodiscard]] inline zcpool::result<zcpool::slice> place_text(zcpool::pool_view pool,
                                                              std::string text) {
    if (auto room = pool.try_acquire(text.size())) {
        std::memcpy(room.space().data(), text.data(), text.size());
        room.commit(text.size());
        return std::move(room).freeze();
    }
    return adopt_text(std::move(text));
}

}  // namespace segment_server
