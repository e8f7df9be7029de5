// SPDX-License-Identifier: MIT
// expect-error: deleted (function|copy constructor).*buffer
// Two owners could both write to the slot, and would release it twice.
#include <utility>

#include <zcpool/pool/buffer.hpp>

zcpool::buffer second(zcpool::buffer& first) {
#ifdef ZCPOOL_EXPECT_FAIL
    zcpool::buffer other = first;
#else
    zcpool::buffer other = std::move(first);
#endif
    return other;
}
