// SPDX-License-Identifier: MIT
// expect-error: deleted (function|copy constructor).*chain
// Sharing a chain may need memory, which a copy could not refuse: subchain() says so.
#include <zcpool/chain/chain.hpp>

std::size_t length(const zcpool::chain& first) {
#ifdef ZCPOOL_EXPECT_FAIL
    const zcpool::chain second = first;
    return second.size();
#else
    const auto second = first.subchain(0, first.size());
    return second ? second->size() : 0;
#endif
}
