// SPDX-License-Identifier: MIT
#include <cstdint>

#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/vmsplice.hpp>

// Beyond what all sinks with a pipe promise (piped.test.cpp).

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;

TEST_CASE("vmsplice: gathers 64 slices a call", "[sink]") {
    const auto pool = make_pool(lending_options(1, 1));
    connection link = tcp_pair();
    sink::vmsplice out{link.ours.get(), {.copy_below = 1}};
    const auto whole = make_slice(pool, 200, 4);
    for (std::size_t i = 0; i < 200; ++i) {
        out.push(whole.subslice(i, 1));
    }
    CHECK(out.flush() == sink::state::done);
    CHECK(out.stats().calls == 8);
    CHECK(out.stats().lent_bytes == 200);
    CHECK(read_exactly(link.peer.get(), 200) == pattern(200, 4));
    CHECK(pool.stats()[0].lent == 1);
}

}  // namespace
