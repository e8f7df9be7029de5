// SPDX-License-Identifier: MIT
// expect-error: no matching function|too few arguments
// A forgotten order would mean seq_cst without anybody's having said so.
#include <zcpool/base/atomic.hpp>

void count(zcpool::atomic<unsigned>& counter) {
#ifdef ZCPOOL_EXPECT_FAIL
    counter.fetch_add(1);
#else
    counter.fetch_add(1, zcpool::memory_order_relaxed);
#endif
}
