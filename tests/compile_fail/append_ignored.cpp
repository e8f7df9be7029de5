// SPDX-License-Identifier: MIT
// expect-error: ignoring return value
// A chain that could not grow has lost the slice.
#pragma GCC diagnostic error "-Wunused-result"
#include <utility>

#include <zcpool/chain/chain.hpp>

void add(zcpool::chain& all, zcpool::slice tail) {
#ifdef ZCPOOL_EXPECT_FAIL
    all.append(std::move(tail));
#else
    static_cast<void>(all.append(std::move(tail)));
#endif
}
