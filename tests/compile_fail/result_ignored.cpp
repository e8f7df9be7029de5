// SPDX-License-Identifier: MIT
// expect-error: ignoring return value
// Why there is no buffer is not to be overlooked.
#pragma GCC diagnostic error "-Wunused-result"
#include <zcpool/pool/pool.hpp>

void take(zcpool::pool_view pool) {
#ifdef ZCPOOL_EXPECT_FAIL
    pool.acquire(1);
#else
    static_cast<void>(pool.acquire(1));
#endif
}
