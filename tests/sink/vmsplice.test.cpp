// SPDX-License-Identifier: MIT
#include <cstdint>
#include <initializer_list>
#include <vector>

#include <support/huge_pages.hpp>
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

TEST_CASE("vmsplice: small slices in arenas go along with a large one, and alone are copied",
          "[sink]") {
    if (!has_huge_pages()) {
        SKIP("no huge pages are to be had");
    }
    const auto pool = make_pool(arena_options(8, 8));
    connection link = tcp_pair();
    const auto head = make_slice(pool, 200, 1);
    const auto body = make_slice(pool, 60'000, 2);
    const auto foreign = zcpool::slice::adopt(pattern(100, 3)).value();
    const auto send = [&](std::initializer_list<zcpool::slice> parts) {
        sink::vmsplice out{link.ours.get()};
        std::vector<std::byte> wanted;
        for (const auto& each : parts) {
            wanted.insert(wanted.end(), each.bytes().begin(), each.bytes().end());
            out.push(each);
        }
        CHECK(out.flush() == sink::state::done);
        CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
        CHECK(out.stats().fallback_bytes == 0);
        return out.stats();
    };
    auto said = send({head, head, body, head});
    CHECK(said.calls == 2);
    CHECK(said.lent_bytes == 60'600);
    said = send({head, head});
    CHECK(said.calls == 1);
    CHECK(said.copied_bytes == 400);
    said = send({head, foreign, body});  // which has no arena, and so the head is copied with it
    CHECK(said.calls == 3);
    CHECK(said.copied_bytes == 300);
    said = send({head, head, head, head, body});  // no further look than four slices
    CHECK(said.calls == 3);
    CHECK(said.copied_bytes == 800);

    const auto by_slot = make_pool(lending_options(8, 8));
    said = send({make_slice(by_slot, 200, 1), make_slice(by_slot, 60'000, 2)});
    CHECK(said.calls == 3);
    CHECK(said.copied_bytes == 200);
}

}  // namespace
