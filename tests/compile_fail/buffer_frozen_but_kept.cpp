// SPDX-License-Identifier: MIT
// expect-error: deleted (member )?function.*freeze
// Freezing takes the buffer away: nobody may hold a writable handle to what is shared.
#include <utility>

#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>

zcpool::slice share(zcpool::buffer& filled) {
#ifdef ZCPOOL_EXPECT_FAIL
    return filled.freeze();
#else
    return std::move(filled).freeze();
#endif
}
