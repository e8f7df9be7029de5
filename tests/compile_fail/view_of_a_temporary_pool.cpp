// SPDX-License-Identifier: MIT
// expect-error: use of deleted function|deleted
#include <utility>

#include <zcpool/pool/pool.hpp>

using namespace zcpool::literals;
using pages = zcpool::pool<zcpool::size_classes<4_KiB>>;

// The view would outlive its pool.
zcpool::pool_view view_of(pages& pool) {
#ifdef ZCPOOL_EXPECT_FAIL
    return pages{std::move(pool)};
#else
    return pool;
#endif
}
