// SPDX-License-Identifier: MIT

// Compiled twice, as the function VIEW.

#include "both.hpp"

#include <algorithm>
#include <cstring>

namespace {

zcpool::buffer filled(shared_pool& pool, std::size_t bytes, unsigned char with) {
    zcpool::buffer made = pool.try_acquire(bytes);
    if (made) {
        std::memset(made.space().data(), with, bytes);
        made.commit(bytes);
    }
    return made;
}

bool taken(zcpool::slice slice, std::size_t bytes, unsigned char with) {
    return slice.size() == bytes &&
           std::ranges::all_of(slice.bytes(), [&](std::byte b) { return b == std::byte{with}; });
}

}  // namespace

file_view VIEW() { return {layout::value, ZCPOOL_ASSERTIONS != 0, filled, taken}; }
