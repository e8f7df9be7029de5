// SPDX-License-Identifier: MIT

// The same, of zcpool::uring: what is checked is that it compiles and links. Whether the kernel
// permits io_uring is not the road's affair.

#include <cstdio>

#if defined(CONSUMER_HAS_ONE_HEADER)
#include "zcpool_uring.hpp"
#else
#include <zcpool/sink/uring.hpp>
#endif

int main() {
    const auto ring = zcpool::sink::send_ring::create(8);
    std::puts(ring ? "io_uring" : ring.error().message().c_str());
    return 0;
}
