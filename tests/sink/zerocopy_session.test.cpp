// SPDX-License-Identifier: MIT
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include <support/allocations.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/sink/zerocopy_session.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
namespace sink = zcpool::sink;

zcpool::unique_object<sink::zerocopy_session> open_session(int socket) {
    auto opened = sink::zerocopy_session::open(socket, 1s);
    REQUIRE(opened.has_value());
    return std::move(*opened);
}

void reap_all(sink::zerocopy_session& session) {
    for (int i = 0; session.in_flight() != 0 && i < 10'000; ++i) {
        session.reap();
        ::usleep(1'000);
    }
    REQUIRE(session.in_flight() == 0);
}

TEST_CASE("zerocopy_session: keeps what a send refers to until the kernel has confirmed it",
          "[sink]") {
    const auto pool = make_pool({.slots = {4, 4}});
    const connection link = tcp_pair();
    const auto session = open_session(link.ours.get());
    {
        zcpool::chain queue;
        REQUIRE(queue.append(make_slice(pool, 3'000, 1)));
        REQUIRE(queue.append(make_slice(pool, 40'000, 2)));
        CHECK(session->send(queue, 1) == 3'000U);
        queue.consume(3'000);
        CHECK(session->send(queue, 1) == 40'000U);
    }
    CHECK(session->in_flight() == 2);
    CHECK(slots_in_use(pool) == 2);
    reap_all(*session);
    CHECK(slots_in_use(pool) == 0);
    CHECK(session->counts().sent == 2);
    CHECK(session->counts().confirmed == 2);
    CHECK(session->counts().copied == 2);
    CHECK(session->counts().unexpected == 0);
    CHECK(read_exactly(link.peer.get(), 3'000) == pattern(3'000, 1));
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 2));
}

TEST_CASE("zerocopy_session: keeps only the slices that a call took", "[sink]") {
    const auto pool = make_pool({.slots = {4, 4}});
    const connection link = tcp_pair();
    const auto session = open_session(link.ours.get());
    zcpool::chain queue;
    for (std::uint64_t i = 0; i < 3; ++i) {
        REQUIRE(queue.append(make_slice(pool, 1'000, i)));
    }
    const faults broken;
    faults::shorten_sends(1'000);
    CHECK(session->send(queue, 3) == 1'000U);
    queue.clear();
    CHECK(slots_in_use(pool) == 1);
    reap_all(*session);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("zerocopy_session: notices of sends that nobody made are counted and ignored", "[sink]") {
    const auto pool = make_pool({.slots = {4, 4}});
    const connection link = tcp_pair();
    const auto session = open_session(link.ours.get());
    zcpool::chain queue;
    REQUIRE(queue.append(make_slice(pool, 1'000, 1)));
    REQUIRE(session->send(queue, 1) == 1'000U);
    const faults broken;
    faults::forge_notices();
    session->reap();
    CHECK(session->in_flight() == 0);
    CHECK(session->counts().confirmed == 1);
    CHECK(session->counts().unexpected == 0x3FFF'FFFF);
}

TEST_CASE("zerocopy_session: whichever call fails, it is not opened and nothing is left",
          "[sink]") {
    for (long i = 0; i < 3; ++i) {
        const connection link = tcp_pair();
        const held before;
        faults broken;
        broken.fail_call(i, EMFILE);
        CHECK(sink::zerocopy_session::open(link.ours.get(), 1s).error() == system_error(EMFILE));
        CHECK(before == held{});
    }
}

TEST_CASE("zerocopy_session: without memory it is not opened", "[sink]") {
    const connection link = tcp_pair();
    const held before;
    CHECK(fail_each_allocation(
              [&] { return error_of(sink::zerocopy_session::open(link.ours.get(), 1s)); }) > 0);
    CHECK(before == held{});
}

TEST_CASE("zerocopy_session: hears of its sends when the socket's owner has closed it", "[sink]") {
    const auto pool = make_pool({.slots = {4, 4}});
    connection link = tcp_pair();
    const auto session = open_session(link.ours.get());
    {
        zcpool::chain queue;
        REQUIRE(queue.append(make_slice(pool, 60'000, 1)));
        REQUIRE(session->send(queue, 1) == 60'000U);
    }
    link.ours.reset();
    reap_all(*session);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("zerocopy_session: a reset sets free what is in flight, at once", "[sink]") {
    const auto pool = make_pool({.slots = {4, 256}});
    connection link = tcp_pair();
    const auto session = open_session(link.ours.get());
    for (std::uint64_t i = 0;; ++i) {
        REQUIRE(i < 256);
        zcpool::chain queue;
        REQUIRE(queue.append(make_slice(pool, 60'000, i)));
        if (!session->send(queue, 1)) {
            break;
        }
    }
    ::usleep(10'000);
    session->reap();
    CHECK(session->in_flight() > 0);  // what does not fit into the peer's socket
    CHECK(slots_in_use(pool) == session->in_flight());
    session->abort();
    CHECK(session->in_flight() == 0);
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
