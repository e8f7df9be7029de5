// SPDX-License-Identifier: MIT
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/receiving.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/pool/slot_event.hpp>
#include <zcpool/source/read.hpp>
#include <zcpool/sys/memfd.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;

/// Adds what a source has to the end of a row of bytes.
void append(std::vector<std::byte>& all, source::read& in) {
    const auto part = flatten(in.take());
    all.insert(all.end(), part.begin(), part.end());
}

/// A pipe of which we read.
connection reading_pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    make_nonblocking(ends[0]);
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

TEST_CASE("read: what a peer sent lies in slots of the pool, in order, up to the end", "[source]") {
    const auto pool = make_pool({.slots = {16, 8}});
    const auto sent = pattern(3'000'000, 1);
    for (int kind = 0; kind < 3; ++kind) {
        connection link = kind == 0 ? unix_pair() : kind == 1 ? tcp_pair() : reading_pipe();
        std::thread peer{[&] {
            send_all(link.peer.get(), sent);
            link.peer.reset();
        }};
        source::read in{link.ours.get(), pool};
        std::vector<std::byte> got;
        source::state last = source::state::blocked;
        while (last != source::state::ended) {
            last = in.pull();
            if (last == source::state::blocked) {
                CHECK(in.interest() == source::interest::readable);
                pollfd readable{link.ours.get(), POLLIN, 0};
                REQUIRE(::poll(&readable, 1, 10'000) == 1);
            }
            REQUIRE((last == source::state::data || last == source::state::blocked ||
                     last == source::state::ended));
            zcpool::chain came = in.take();
            for (const auto& each : came.slices()) {
                CHECK(each.in_pool());
            }
            const auto part = flatten(came);
            got.insert(got.end(), part.begin(), part.end());
        }
        peer.join();
        CHECK(got == sent);
        CHECK(in.stats().bytes == sent.size());
        CHECK_FALSE(in.error());
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("read: a file is read to its end", "[source]") {
    const auto pool = make_pool({.slots = {4, 4}});
    const auto content = pattern(100'000, 2);
    const auto file = zcpool::sys::memfd::create("zcpool-test", content.size()).value();
    REQUIRE(::pwrite(file.fd(), content.data(), content.size(), 0) == 100'000);
    source::read in{file.fd(), pool};
    std::vector<std::byte> got;
    while (in.pull() == source::state::data) {
        append(got, in);
    }
    CHECK(in.pull() == source::state::ended);
    CHECK(got == content);
}

TEST_CASE("read: while nothing comes it says so and holds no slot", "[source]") {
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = unix_pair();
    source::read in{link.ours.get(), pool};
    CHECK(in.pull() == source::state::blocked);
    CHECK(in.interest() == source::interest::readable);
    CHECK(slots_in_use(pool) == 0);
    CHECK(in.take().empty());
    send_all(link.peer.get(), pattern(10, 1));
    CHECK(in.pull() == source::state::data);
    CHECK(slots_in_use(pool) == 1);
    CHECK(flatten(in.take()) == pattern(10, 1));
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("read: what comes before it is taken gathers in one slot", "[source]") {
    const auto pool = make_pool({.slots = {2, 1}});
    connection link = unix_pair();
    source::read in{link.ours.get(), pool};
    const auto sent = pattern(4000, 3);
    for (std::size_t i = 0; i < 4000; i += 400) {
        send_all(link.peer.get(), std::span{sent}.subspan(i, 400));
        CHECK(in.pull() == source::state::data);
        CHECK(in.available() == i + 400);
    }
    const auto came = in.take();
    CHECK(came.slice_count() == 1);
    CHECK(flatten(came) == sent);
}

TEST_CASE("read: slots grow with what comes, up to what was said, and shrink again", "[source]") {
    const auto pool = make_pool({.slots = {16, 8}});
    for (const std::size_t block : {64_KiB, 63_KiB}) {
        connection link = unix_pair();
        source::read in{link.ours.get(), pool, {.block_bytes = block}};
        send_all(link.peer.get(), pattern(40'000, 1));
        REQUIRE(in.pull() == source::state::data);
        auto came = in.take();
        CHECK(came.slices()[0].size() == 4096);
        CHECK(came.slices()[1].size() == (block == 64_KiB ? 40'000U - 4096U : 4096U));
        send_all(link.peer.get(), pattern(10, 1));
        REQUIRE(in.pull() == source::state::data);
        const auto small = in.take();  // still in a large slot, as far as it asked for one
        send_all(link.peer.get(), pattern(5000, 1));
        REQUIRE(in.pull() == source::state::data);
        CHECK(in.take().front().size() == 4096);
    }
}

TEST_CASE("read: an exhausted pool is a state, loses nothing, and ends when a slot is back",
          "[source]") {
    const auto pool = make_pool({.slots = {2, 1}});
    connection link = tcp_pair();
    source::read in{link.ours.get(), pool};
    const auto sent = pattern(100'000, 4);
    send_all(link.peer.get(), sent);
    link.peer.reset();
    std::vector<std::byte> got;
    std::vector<zcpool::chain> kept;
    std::size_t kept_bytes = 0;
    source::state last = in.pull();
    for (; last == source::state::data || last == source::state::blocked; last = in.pull()) {
        kept.push_back(in.take());
        kept_bytes += kept.back().size();
        pollfd readable{link.ours.get(), POLLIN, 0};
        REQUIRE(::poll(&readable, 1, 10'000) == 1);
    }
    REQUIRE(last == source::state::exhausted);
    CHECK(in.interest() == source::interest::slot);
    CHECK(in.stats().exhausted >= 1);
    CHECK_FALSE(in.error());
    // Of all sizes: a small one does when there is no large one.
    CHECK(slots_in_use(pool) == 3);
    CHECK(kept_bytes < sent.size());

    zcpool::slot_event event{pool, 1, zcpool::sys::event_fd::create().value()};
    CHECK_FALSE(event.try_again());
    for (const auto& each : kept) {
        const auto part = flatten(each);
        got.insert(got.end(), part.begin(), part.end());
    }
    kept.clear();
    pollfd free{event.fd(), POLLIN, 0};
    CHECK(::poll(&free, 1, 10'000) == 1);
    event.cancel();
    for (last = in.pull(); last != source::state::ended; last = in.pull()) {
        REQUIRE((last == source::state::data || last == source::state::blocked));
        append(got, in);
    }
    CHECK(got == sent);
}

TEST_CASE("read: holds as much as it may and no more, until it is taken", "[source]") {
    const auto pool = make_pool({.slots = {32, 8}});
    for (const std::size_t most : {1UL, 4096UL, 12'288UL, 64UL * 1024, 70'000UL, 136'000UL}) {
        connection link = unix_pair();
        source::read in{link.ours.get(), pool, {.hold_at_most = most}};
        const auto sent = pattern(150'000, 5);
        std::thread peer{[&] { send_all(link.peer.get(), sent); }};
        std::vector<std::byte> got;
        while (got.size() < sent.size()) {
            const auto last = in.pull();
            std::uint64_t held = 0;
            const auto stats = pool.stats();
            for (const auto& each : stats) {
                held += each.in_use * each.slot_bytes;
            }
            CHECK(held <= std::max<std::size_t>(most, 4096));
            if (last == source::state::full) {
                CHECK(in.interest() == source::interest::none);
                append(got, in);
                CHECK(in.interest() == source::interest::readable);
            } else if (last == source::state::blocked &&
                       got.size() + in.available() == sent.size()) {
                append(got, in);
            }
        }
        peer.join();
        CHECK(got == sent);
    }
}

TEST_CASE("read: short reads and interrupted ones change nothing", "[source]") {
    const auto pool = make_pool({.slots = {16, 4}});
    const auto sent = pattern(9000, 6);
    for (const std::size_t most : {1UL, 7UL, 4095UL, 4096UL, 4097UL}) {
        for (const bool piped : {false, true}) {
            connection link = piped ? reading_pipe() : unix_pair();
            send_all(link.peer.get(), sent);
            faults broken;
            faults::shorten_receives(most);
            source::read in{link.ours.get(), pool};
            std::vector<std::byte> got;
            for (long i = 0; got.size() < sent.size(); ++i) {
                broken.fail_call(i % 3, EINTR, 2);
                REQUIRE(in.pull() == source::state::data);
                append(got, in);
            }
            CHECK(got == sent);
            CHECK(in.pull() == source::state::blocked);
        }
    }
}

TEST_CASE("read: a peer that resets the connection fails it, behind what had come", "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    connection link = tcp_pair();
    source::read in{link.ours.get(), pool};
    send_all(link.peer.get(), pattern(100, 1));
    pollfd readable{link.ours.get(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 10'000) == 1);
    REQUIRE(in.pull() == source::state::data);
    const linger now{1, 0};
    REQUIRE(::setsockopt(link.peer.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    link.peer.reset();
    REQUIRE(::poll(&readable, 1, 10'000) == 1);
    CHECK(in.pull() == source::state::failed);
    CHECK(in.error() == system_error(ECONNRESET));
    CHECK(in.pull() == source::state::failed);  // for good
    CHECK(flatten(in.take()) == pattern(100, 1));
}

TEST_CASE("read: whichever call fails is told, and what had come is there", "[source]") {
    const auto pool = make_pool({.slots = {8, 2}});
    const held before;
    for (long i = 0; i < 5; ++i) {
        connection link = unix_pair();
        const auto sent = pattern(20'000, 7);
        send_all(link.peer.get(), sent);
        faults broken;
        broken.fail_call(i, EIO);
        source::read in{link.ours.get(), pool, {.block_bytes = 4_KiB}};
        std::vector<std::byte> got;
        source::state last = in.pull();
        for (; last == source::state::data; last = in.pull()) {
            append(got, in);
        }
        CHECK(last == source::state::failed);
        CHECK(in.error() == system_error(EIO));
        CHECK(got.size() == (i == 0 ? 0U : static_cast<std::size_t>(i - 1) * 4096));
        CHECK(std::equal(got.begin(), got.end(), sent.begin()));
    }
    CHECK(before == held{});
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("read: a closed pool fails it, a descriptor that is not open too", "[source]") {
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = unix_pair();
    source::read in{link.ours.get(), pool};
    pool.close();
    CHECK(in.pull() == source::state::failed);
    CHECK(in.error() == zcpool::errc::closed);
    source::read nothing{-1, pool};
    CHECK(nothing.error() == system_error(EBADF));
    CHECK(nothing.pull() == source::state::failed);
    CHECK(nothing.interest() == source::interest::none);
}

TEST_CASE("read: one that was moved goes on where it was, and the other has nothing", "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    connection link = unix_pair();
    source::read first{link.ours.get(), pool};
    send_all(link.peer.get(), pattern(100, 1));
    REQUIRE(first.pull() == source::state::data);
    source::read second{std::move(first)};
    send_all(link.peer.get(), pattern(50, 2));
    REQUIRE(second.pull() == source::state::data);
    CHECK(second.available() == 150);
    CHECK(first.available() == 0);
    CHECK(first.pull() == source::state::failed);
    first = std::move(second);
    CHECK(first.available() == 150);
    CHECK(second.available() == 0);
    CHECK(first.take().size() == 150);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("read: messages of all sizes that are kept for a while stay as they came",
          "[source][.zerocopy]") {
    const auto pool = make_pool({.slots = {24, 4}});
    {
        connection link = tcp_pair();
        source::read in{link.ours.get(), pool};
        CHECK(wrong_octets(in, std::move(link.peer), scaled(20'000), run_seed(), [&] {
                  pollfd readable{link.ours.get(), POLLIN, 0};
                  static_cast<void>(::poll(&readable, 1, 100));
              }) == 0);
    }
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
