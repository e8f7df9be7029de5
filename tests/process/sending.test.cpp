// SPDX-License-Identifier: MIT
// What a killed process was sending goes on being sent, by reference: its socket outlives it. So
// its slots must not be written to before their pages were replaced.
#include <algorithm>
#include <array>
#include <string>

#include <support/sockets.hpp>
#include <zcpool/sink/zerocopy.hpp>
#include <zcpool/sys/zerocopy.hpp>

#include "workers.hpp"

namespace {

using namespace zcpool_test;

using large_slots = zcpool::pool<zcpool::size_classes<1_MiB>>;

constexpr std::uint32_t slots = 4;  // room for a large page, which a slot is a part of
constexpr char sent = 's';
constexpr char written_later = 'w';

/// A process that sends a whole slot with MSG_ZEROCOPY to a peer that does not read, and is killed.
/// Returns: how much of it the socket took; 0 where it takes nothing by reference.
std::uint64_t send_and_die(const zcpool::pool_descriptors& files, int socket, tally_page& tally) {
    const auto ready = tally.ready.load();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto pool = attach_in_child(files, tally);
        auto frame = pool.view().acquire(1_MiB).value();
        std::memset(frame.data(), sent, 1_MiB);
        frame.commit(1_MiB);
        zcpool::sink::zerocopy out{socket, {.copy_below = 0}};
        out.push(std::move(frame).freeze());
        static_cast<void>(out.flush());
        tally.steps[0].store(out.stats().lent_bytes);
        tally.ready.fetch_add(1);
        for (;;) {
            ::pause();
        }
    }
    while (tally.ready.load() == ready) {
        ::usleep(1000);
    }
    ::kill(child, SIGKILL);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    return tally.steps[0].load();
}

/// How many bytes the peer reads that are not what was sent, once their slot has another owner.
std::uint64_t wrong_after_recovery(zcpool::lending lends, std::uint64_t& lent) {
    const auto pool = make_pool<large_slots>({.slots = {slots}, .lending = lends});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    auto ends = tcp_pair();
    lent = send_and_die(files, ends.ours.get(), tally);
    ends.ours.reset();  // this process's share of the dead one's socket

    zcpool::ipc::reaper reaper{pool};
    REQUIRE(reaper.reap().has_value());
    std::array<zcpool::buffer, slots> next;
    REQUIRE(pool.acquire_many(1_MiB, next) == slots);
    for (zcpool::buffer& each : next) {
        std::memset(each.data(), written_later, 1_MiB);
    }

    std::uint64_t got = 0;
    std::uint64_t wrong = 0;
    std::string piece(64 * 1024, '\0');
    for (;;) {
        const auto n = ::recv(ends.peer.get(), piece.data(), piece.size(), 0);
        REQUIRE(n >= 0);
        if (n == 0) {
            break;
        }
        got += static_cast<std::uint64_t>(n);
        wrong += static_cast<std::uint64_t>(
            std::count_if(piece.begin(), piece.begin() + n, [](char c) { return c != sent; }));
    }
    CHECK(got >= lent);
    for (zcpool::buffer& each : next) {
        each = {};
    }
    check_all_there(pool);
    return wrong;
}

TEST_CASE("sending: what the killed had on their way arrives as it was", "[sending]") {
    const auto lends = GENERATE(zcpool::lending::never, zcpool::lending::cached);
    std::uint64_t lent = 0;
    CHECK(wrong_after_recovery(lends, lent) == 0);
    if (lent == 0) {
        SKIP("MSG_ZEROCOPY was not to be had");
    }
    CHECK(lent > 128 * 1024);  // more than the reader's queue holds: some was still in the slot
}

}  // namespace
