// SPDX-License-Identifier: MIT
// expect-error: read-only|returns a const value
// A slice is shared, with the kernel too: its bytes do not change.
#include <cstddef>

#include <zcpool/chain/slice.hpp>

std::byte first(zcpool::slice& shared) {
#ifdef ZCPOOL_EXPECT_FAIL
    shared.bytes()[0] = std::byte{1};
#endif
    return shared.bytes()[0];
}
