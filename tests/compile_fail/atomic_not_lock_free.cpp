// SPDX-License-Identifier: MIT
// expect-error: shared memory needs lock-free atomics
// A lock in shared memory would stay taken when its holder is killed.
#include <zcpool/base/atomic.hpp>

struct several {
#ifdef ZCPOOL_EXPECT_FAIL
    long words[4];
#else
    int halves[2];
#endif
};

zcpool::atomic<several> shared;
