// SPDX-License-Identifier: MIT
#include <cerrno>
#include <system_error>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/splice.hpp>

// Beyond what all sinks with a pipe promise (piped.test.cpp).

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;

TEST_CASE("splice: a file that ends too early fails the sink, it does not loop", "[sink]") {
    const auto pool = make_pool(lending_options(1, 2));
    connection link = unix_pair();
    sink::splice out{link.ours.get()};
    const faults broken;
    faults::end_files();
    out.push(make_slice(pool, 60'000, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(out.error() == std::errc::io_error);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("splice: one full pipe is not asked whether it takes more", "[sink]") {
    const auto pool = make_pool(lending_options(1, 3));
    connection link = tcp_pair();
    sink::splice out{link.ours.get(), {.pipe_bytes = 64_KiB}};
    for (std::uint64_t i = 0; i < 2; ++i) {
        out.push(make_slice(pool, 64_KiB, i));
    }
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().calls == 4);
    for (std::uint64_t i = 0; i < 2; ++i) {
        CHECK(read_exactly(link.peer.get(), 64_KiB) == pattern(64_KiB, i));
    }
}

}  // namespace
