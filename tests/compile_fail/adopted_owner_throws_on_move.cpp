// SPDX-License-Identifier: MIT
// expect-error: slice::adopt: the owner must move without throwing
// Nothing in this library throws, and an owner that is lost halfway would take the bytes with it.
#include <zcpool/chain/slice.hpp>

struct owner {
    owner() = default;
#ifdef ZCPOOL_EXPECT_FAIL
    owner(owner&&) {}
#else
    owner(owner&&) noexcept {}
#endif
};

bool adopt() { return zcpool::slice::adopt({}, owner{}).has_value(); }
