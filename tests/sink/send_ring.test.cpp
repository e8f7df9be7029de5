// SPDX-License-Identifier: MIT
#include <poll.h>

#include <cerrno>
#include <utility>

#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/rings.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/send_ring.hpp>

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;

TEST_CASE("send_ring: keeps what a send refers to until its last completion", "[sink]") {
    if (test_ring() == nullptr) {
        SKIP("io_uring is not to be had");
    }
    const auto pool = make_pool({.slots = {1, 2}});
    connection link = tcp_pair();
    const held before;
    {
        const auto ring = sink::send_ring::create(4).value();
        const sink::ring_line_ref line{new sink::ring_line};
        for (const bool by_reference : {false, true}) {
            if (by_reference && !ring->can_refer()) {
                continue;
            }
            sink::send_ring::sent what;
            REQUIRE(what.slices.append(make_slice(pool, 60'000, 1)));
            line->parts[0] = {const_cast<std::byte*>(what.slices.front().data()), 60'000};
            line->message.msg_iov = line->parts.data();
            line->message.msg_iovlen = 1;
            what.line = line.share();
            REQUIRE(ring->send(link.ours.get(), true, by_reference, false, std::move(what)));
            pollfd readable{ring->fd(), POLLIN, 0};
            CHECK(::poll(&readable, 1, 10'000) == 1);
            CHECK(slots_in_use(pool) == 1);
            for (int i = 0; ring->in_flight() != 0 && i < 10'000; ++i) {
                ::usleep(1'000);
                ring->reap();
            }
            CHECK_FALSE(line->is_waiting);
            CHECK(line->result == 60'000);
            CHECK(line->holders == 1);
            CHECK(slots_in_use(pool) == 0);
            CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
        }
    }
    CHECK(before == held{});
}

}  // namespace
