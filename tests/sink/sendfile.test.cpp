// SPDX-License-Identifier: MIT
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/huge_pages.hpp>
#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/sendfile.hpp>

// Beyond what all sinks promise (sink.test.cpp). That nobody sees a byte change is in
// lifetime.test.cpp.

namespace {

using namespace zcpool_test;
using zcpool::slice;
namespace sink = zcpool::sink;

TEST_CASE("sendfile: lends large slices and copies small ones by choice", "[sink]") {
    STATIC_REQUIRE(sink::sendfile::receipts == sink::receipt::none);
    const auto pool = make_pool(lending_options(4, 4));
    connection link = unix_pair();
    sink::sendfile out{link.ours.get()};
    out.push(make_slice(pool, 1000, 1));
    out.push(make_slice(pool, 60'000, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().copied_bytes == 1000);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(out.stats().fallback_bytes == 0);
    CHECK(out.stats().calls == 2);
    CHECK(read_exactly(link.peer.get(), 1000) == pattern(1000, 1));
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
    CHECK(pool.stats()[0].lent == 0);
    CHECK(pool.stats()[1].lent == 1);
    CHECK(pool.stats()[1].copied_bytes == 0);
}

TEST_CASE("sendfile: from arenas without a file it copies, and counts it", "[sink]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    const auto pool = make_pool(arena_options(1, 1));
    REQUIRE(pool.report().lending == zcpool::lending::arena);
    connection link = unix_pair();
    sink::sendfile out{link.ours.get()};
    out.push(make_slice(pool, 60'000, 1));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(out.stats().fallback_bytes == 60'000);
    CHECK(pool.stats()[1].copied_bytes == 60'000);
    CHECK(pool.stats()[1].lent == 0);
}

TEST_CASE("sendfile: a file that ends too early fails the sink, it does not loop", "[sink]") {
    const auto pool = make_pool(lending_options(1, 2));
    connection link = unix_pair();
    sink::sendfile out{link.ours.get()};
    const faults broken;
    faults::end_files();
    out.push(make_slice(pool, 60'000, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(out.error() == std::errc::io_error);
}

TEST_CASE("sendfile: a descriptor that does not take pages is copied to, now and later", "[sink]") {
    const auto pool = make_pool(lending_options(1, 2));
    connection link = unix_pair();
    sink::sendfile out{link.ours.get()};
    faults broken;
    faults::fail_sendfile(GENERATE(EINVAL, ENOSYS));
    out.push(make_slice(pool, 60'000, 1));
    REQUIRE(out.flush() == sink::state::done);
    faults::fail_sendfile(0);
    broken.fail_call(1'000, EIO);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(out.stats().fallback_bytes == 60'000);
    out.push(make_slice(pool, 60'000, 1));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
}

}  // namespace
