// SPDX-License-Identifier: MIT
// expect-error: cannot convert|no viable conversion
// An atomic is not read like a plain number: that would be a seq_cst load.
#include <zcpool/base/atomic.hpp>

unsigned read(const zcpool::atomic<unsigned>& counter) {
#ifdef ZCPOOL_EXPECT_FAIL
    return counter;
#else
    return counter.load(zcpool::memory_order_relaxed);
#endif
}
