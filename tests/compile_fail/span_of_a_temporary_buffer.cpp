// SPDX-License-Identifier: MIT
// expect-error: use of deleted function|call to deleted member function
#include <span>

#include <zcpool/pool/pool.hpp>

using namespace zcpool::literals;

// The buffer is gone at the end of the line, and the span would write into the next owner's slot.
std::span<std::byte> page_of(zcpool::pool<zcpool::size_classes<4_KiB>>& pool) {
#ifdef ZCPOOL_EXPECT_FAIL
    return pool.try_acquire(1).space();
#else
    static zcpool::buffer kept;
    kept = pool.try_acquire(1);
    return kept.space();
#endif
}
