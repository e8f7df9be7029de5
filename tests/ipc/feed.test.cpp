// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/allocations.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/feeds.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/feed.hpp>
#include <zcpool/pool/registered_pages.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::back_pressure;
using zcpool::ipc::feed;
using zcpool::ipc::send_outcome;

TEST_CASE("feed: a reader sees the bytes where they lie, and gives them back", "[ipc]") {
    feed_pair pair;
    for (std::uint64_t i = 0; i < 50; ++i) {
        slice sent = pair.frame(i);
        REQUIRE(pair.out.send(sent) == send_outcome::sent);
        sent = {};
        slice got = pair.in.try_receive();
        CHECK(shows_frame(got, i));
        CHECK_FALSE(got.in_pool());
        CHECK(slots_in_use(pair.pool) == 1);
        got = {};
        CHECK(slots_in_use(pair.pool) == 1);  // the owner has not looked
        REQUIRE(pair.out.reclaim().has_value());
        CHECK(slots_in_use(pair.pool) == 0);
    }
    CHECK(pair.in.received() == 50);
    CHECK(pair.out.stats().sent == 50);
}

TEST_CASE("feed: frames come back in any order", "[ipc]") {
    feed_pair pair{{.frames = 4}};
    std::vector<slice> held;
    for (std::uint64_t i = 0; i < 4; ++i) {
        REQUIRE(pair.out.send(pair.frame(i)).has_value());
        held.push_back(pair.in.try_receive());
    }
    CHECK(pair.out.try_send(pair.frame(9)).error() == errc::full);
    held[2] = {};
    REQUIRE(pair.out.send(pair.frame(4)) == send_outcome::sent);
    held[0] = {};
    held[3] = {};
    REQUIRE(pair.out.send(pair.frame(5)) == send_outcome::sent);
    CHECK(pair.out.outstanding() == 3);
    CHECK(shows_frame(held[1], 1));
    CHECK(shows_frame(pair.in.try_receive(), 4));
    CHECK(shows_frame(pair.in.try_receive(), 5));
}

TEST_CASE("feed: who holds all it may gets no more, and loses nothing that it holds", "[ipc]") {
    const auto policy = GENERATE(back_pressure::drop_oldest, back_pressure::drop_newest);
    feed_pair pair{{.frames = 2, .when_full = policy}};
    std::vector<slice> held;
    for (std::uint64_t i = 0; i < 2; ++i) {
        REQUIRE(pair.out.send(pair.frame(i)).has_value());
        held.push_back(pair.in.try_receive());
    }
    for (int n = 0; n < 5; ++n) {
        CHECK(pair.out.send(pair.frame(7)) == send_outcome::dropped);
    }
    CHECK(pair.out.stats().dropped == 5);
    CHECK(slots_in_use(pair.pool) == 2);
    CHECK(shows_frame(held[0], 0));
    CHECK(shows_frame(held[1], 1));
}

TEST_CASE("feed: of what was not read the policy says what is lost", "[ipc]") {
    const auto policy = GENERATE(back_pressure::drop_oldest, back_pressure::drop_newest);
    feed_pair pair{{.frames = 8, .capacity = 2, .when_full = policy}};
    for (std::uint64_t i = 0; i < 5; ++i) {
        REQUIRE(pair.out.send(pair.frame(i)).has_value());
    }
    CHECK(slots_in_use(pair.pool) == 2);
    const std::uint64_t first = policy == back_pressure::drop_oldest ? 3 : 0;
    CHECK(shows_frame(pair.in.try_receive(), first));
    CHECK(shows_frame(pair.in.try_receive(), first + 1));
    CHECK(pair.in.try_receive().empty());
}

TEST_CASE("feed: a reader whose socket is closed gives everything back", "[ipc]") {
    feed_pair pair;
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    {
        std::optional<slice> last;
        {
            auto gone = std::move(pair.in);
            last = gone.try_receive();
        }
        // As long as it reads, its socket is open.
        CHECK(pair.out.reclaim().error() == errc::closed);
        CHECK(pair.out.send(pair.frame(2)).error() == errc::closed);
        CHECK(shows_frame(*last, 0));
        CHECK(pair.out.outstanding() == 2);
    }
    CHECK(pair.out.reclaim().error() == errc::peer_gone);
    CHECK(pair.out.outstanding() == 0);
    CHECK(pair.out.send(pair.frame(3)).error() == errc::peer_gone);
    CHECK(slots_in_use(pair.pool) == 0);
}

TEST_CASE("feed: pages that a dead reader may have sent on are replaced", "[ipc]") {
    auto options = lending_options(8, 2);
    options.lending = GENERATE(zcpool::lending::cached, zcpool::lending::never);
    feed_pair pair{{}, options};
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    {
        auto gone = std::move(pair.in);
        static_cast<void>(gone.try_receive());
        REQUIRE(pair.out.send(pair.frame(1)).has_value());
    }
    CHECK(pair.out.reclaim().error() == errc::peer_gone);
    CHECK(pair.pool.renew_resting(9) == 1);  // the one that had not come back
    CHECK(slots_in_use(pair.pool) == 0);
}

TEST_CASE("feed: when it ends, the reader keeps what it has received", "[ipc]") {
    feed_pair pair;
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    slice held = pair.in.try_receive();
    {
        const feed gone = std::move(pair.out);
    }
    CHECK(pair.in.receive().error() == errc::closed);
    CHECK(slots_in_use(pair.pool) == 1);
    for (int n = 0; n < 20; ++n) {
        const slice next = pair.frame(99);
        CHECK(shows_frame(held, 0));
    }
    CHECK(zcpool::ipc::lingering_feeds::common().poll() == 1);
    held = {};
    CHECK(zcpool::ipc::lingering_feeds::common().poll() == 0);
    CHECK(slots_in_use(pair.pool) == 0);
}

TEST_CASE("feed: what a reader writes can only give its own frames back", "[ipc]") {
    feed_pair pair{{.frames = 4, .capacity = 4}};
    const auto other = blocking_unix_pair();
    auto other_out = open_feed(other.ours.get(), pair.pool, {});
    auto honest = open_reader(other.peer.get());
    REQUIRE(other_out.send(pair.frame(5)).has_value());
    const slice good = honest.try_receive();

    // The reader's own mapping of its ring, as a hostile one would use it.
    const auto hostile = blocking_unix_pair();
    auto out = open_feed(hostile.ours.get(), pair.pool, {.frames = 4, .capacity = 4});
    std::array<std::byte, 8> text{};
    std::array<unique_fd, 3> fds;
    REQUIRE(zcpool::sys::receive_fds(hostile.peer.get(), text, fds).has_value());
    const auto memory = zcpool::ipc::feed_memory::adopt(std::move(fds[1]));
    REQUIRE(memory.has_value());
    for (std::uint64_t i = 0; i < 4; ++i) {
        REQUIRE(out.send(pair.frame(i)).has_value());
    }
    const auto before = slots_in_use(pair.pool);
    SECTION("all frames given back, though not read") {
        for (auto& each : memory->receipts()) {
            each.store(zcpool::ipc::feed_frame::receipt(1), zcpool::memory_order_relaxed);
        }
        REQUIRE(out.reclaim().has_value());
        CHECK(slots_in_use(pair.pool) == before - 4);
        // Their messages are still there: taking them back gives nothing back twice.
        for (std::uint64_t i = 0; i < 8; ++i) {
            REQUIRE(out.send(pair.frame(i)).has_value());
        }
        CHECK(out.outstanding() <= 4);
    }
    SECTION("one given back, though not read, whose ticket is in use again") {
        const auto narrow_pair = blocking_unix_pair();
        auto narrow = open_feed(narrow_pair.ours.get(), pair.pool, {.frames = 2, .capacity = 4});
        REQUIRE(zcpool::sys::receive_fds(narrow_pair.peer.get(), text, fds).has_value());
        const auto its = zcpool::ipc::feed_memory::adopt(std::move(fds[1]));
        REQUIRE(its.has_value());
        REQUIRE(narrow.send(pair.frame(0)) == send_outcome::sent);
        REQUIRE(narrow.send(pair.frame(1)) == send_outcome::sent);
        its->receipts()[0].store(zcpool::ipc::feed_frame::receipt(1), zcpool::memory_order_relaxed);
        REQUIRE(narrow.send(pair.frame(2)) == send_outcome::sent);
        // Taking the first message back frees nothing: its ticket is the third frame's.
        CHECK(narrow.send(pair.frame(3)) == send_outcome::dropped);
        CHECK(narrow.outstanding() == 2);
    }
    SECTION("a position that cannot be") {
        memory->header().taken.store(5, zcpool::memory_order_relaxed);
        CHECK(out.reclaim().error() == errc::corrupt);
        CHECK(out.send(pair.frame(1)).error() == errc::corrupt);
    }
    SECTION("everything at random") {
        const auto words =
            std::span{reinterpret_cast<zcpool::atomic<std::uint64_t>*>(&memory->header()),
                      zcpool::ipc::feed_memory::bytes_for(memory->table()) / 8};
        std::uint64_t state = 1;
        for (int n = 0; n < 20'000; ++n) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            words[(state >> 33) % words.size()].store(state % 3 == 0 ? state >> 40 : state % 7,
                                                      zcpool::memory_order_relaxed);
            static_cast<void>(out.send(pair.frame(3)));
            static_cast<void>(out.reclaim());
            REQUIRE(out.outstanding() <= 4);
        }
    }
    CHECK(shows_frame(good, 5));
    REQUIRE(other_out.send(pair.frame(6)).has_value());
    CHECK(shows_frame(honest.try_receive(), 6));
}

TEST_CASE("feed: a reader that never looks at its event holds nobody up", "[ipc]") {
    const auto pool = make_pool({.slots = {16, 1}});
    auto pair = blocking_unix_pair();
    auto out = open_feed(pair.ours.get(), pool,
                         {.frames = 4, .capacity = 4, .wakes_by = zcpool::ipc::wake_by::event});
    std::array<std::byte, 8> text{};
    std::array<unique_fd, 3> fds;
    REQUIRE(zcpool::sys::receive_fds(pair.peer.get(), text, fds).has_value());
    const auto memory = zcpool::ipc::feed_memory::adopt(std::move(fds[1]));
    REQUIRE(memory.has_value());
    REQUIRE(zcpool::sys::wake_socket::is_one(fds[2].get()));
    REQUIRE(::fcntl(fds[2].get(), F_SETFL, 0) == 0);
    const auto send_many = [&] {
        for (int n = 0; n < 3'000; ++n) {
            memory->header().news.announce();  // it says that it sleeps, all the time
            REQUIRE(out.send(make_slice(pool, 8, 1)).has_value());
        }
    };
    send_many();
    // Its end closed, while the socket that is its sign of life is not; no SIGPIPE either.
    fds[2].reset();
    send_many();
    CHECK(out.outstanding() == 4);
    pair.peer.reset();
    CHECK(out.reclaim().error() == errc::peer_gone);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("feed: a receipt is for one use of its ticket, also when uses start over", "[ipc]") {
    feed_pair pair{{.frames = 1, .capacity = 1}};
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    static_cast<void>(pair.in.try_receive());  // and given back
    for (int n = 0; n < 65'536; ++n) {
        REQUIRE(pair.out.send(pair.frame(2)).has_value());
    }
    REQUIRE(pair.out.reclaim().has_value());
    CHECK(pair.out.outstanding() == 1);
    const slice next = pair.frame(3);
    CHECK(shows_frame(pair.in.try_receive(), 2));
}

TEST_CASE("feed: options out of range are refused", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto pair = blocking_unix_pair();
    const auto refused = [&](const zcpool::ipc::feed_options& options) {
        return feed::open(pair.ours.get(), pool, options).error();
    };
    CHECK(refused({.frames = 0}) == errc::invalid_options);
    CHECK(refused({.frames = 4097}) == errc::invalid_options);
    CHECK(refused({.capacity = 0}) == errc::invalid_options);
    CHECK(refused({.capacity = 4097}) == errc::invalid_options);
    CHECK(refused({.when_full = back_pressure::wait}) == errc::invalid_options);
    CHECK(feed::open(pair.ours.get(), pool, {.frames = 4096, .capacity = 4096}).has_value());
    CHECK(feed::open(-1, pool).error().value() == EBADF);
}

TEST_CASE("feed: other slices are refused", "[ipc]") {
    feed_pair pair;
    const auto other = make_pool({.slots = {1, 1}});
    CHECK(pair.out.send(make_slice(other, 10, 1)).error() == errc::foreign_slice);
    CHECK(pair.out.send(slice{}).error() == errc::foreign_slice);
    CHECK(pair.out.send(*slice::adopt(std::vector<std::byte>(5))).error() == errc::foreign_slice);
}

TEST_CASE("feed: when the system refuses, it says so and keeps nothing", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto pair = unix_pair();
    const auto how = GENERATE(zcpool::ipc::wake_by::futex, zcpool::ipc::wake_by::event);
    const held before;
    for (long i = 0;; ++i) {
        faults broken;
        broken.fail_call(i, EMFILE);
        const auto made = feed::open(pair.ours.get(), pool, {.wakes_by = how});
        if (made && faults::calls() <= i) {
            CHECK(i >= 10);
            break;
        }
        // Some are advice, which may be refused.
        CHECK((made || made.error().value() == EMFILE));
        REQUIRE(i < 50);
    }
}

TEST_CASE("feed: without memory each end says so and keeps nothing", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto pair = unix_pair();
    const held before;
    CHECK(fail_each_allocation([&] { return error_of(feed::open(pair.ours.get(), pool, {})); }) >=
          3);
    // What was handed over to nobody is in the socket: a reader for each.
    const auto opened = feed::open(pair.ours.get(), pool, {});
    REQUIRE(opened.has_value());
    CHECK(error_of(zcpool::ipc::feed_reader::receive_from(pair.peer.get())) == std::error_code{});
    for (long which = 0; which < 2; ++which) {
        const auto again = unix_pair();
        const auto other = feed::open(again.ours.get(), pool, {});
        REQUIRE(other.has_value());
        const failing_allocation broken{which};
        CHECK(zcpool::ipc::feed_reader::receive_from(again.peer.get()).error() ==
              errc::out_of_memory);
        CHECK(broken.has_failed());
    }
}

TEST_CASE("feed: in a forked child both ends do nothing", "[ipc]") {
    feed_pair pair;
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    slice got = pair.in.try_receive();
    CHECK(status_of([&] {
              const bool refused = pair.in.try_receive().empty() &&
                                   pair.in.ended() == errc::closed && pair.in.wait({}) &&
                                   !pair.out.reclaim();
              got = {};
              const auto in = std::move(pair.in);
              const auto out = std::move(pair.out);
              return refused ? 0 : 1;
          }) == 0);
    REQUIRE(pair.out.reclaim().has_value());
    CHECK(pair.out.outstanding() == 1);
    CHECK(shows_frame(got, 1));
    // What the parent gives back would be another frame in the child.
    CHECK(status_of([&] { return got.data()[0] == std::byte{1} ? 0 : 1; }) == -SIGSEGV);
}

TEST_CASE("feed: what a dead reader had waits for the lent budget", "[ipc]") {
    auto options = lending_options(8, 2);
    // Of one small slot, which is taken up.
    options.lent_budget_permille = 30;
    options.lent_settle_time = 30s;
    feed_pair pair{{}, options};
    {
        slice lent = pair.frame(9);
        REQUIRE(lent.lend());
    }
    std::vector<slice> all;  // until the slot is renewed, and so detached
    while (all.size() < 8) {
        all.push_back(pair.frame(9));
    }
    all.clear();
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    {
        const auto gone = std::move(pair.in);
    }
    CHECK(pair.out.reclaim().error() == errc::peer_gone);
    CHECK(pair.out.outstanding() == 1);
    CHECK(slots_in_use(pair.pool) == 1);
}

TEST_CASE("feed: what a dead reader had of slots that are never lent comes back", "[ipc]") {
    auto options = lending_options(8, 2);
    options.lent_budget_permille = 1;  // less than any slot
    options.lent_settle_time = 30s;
    feed_pair pair{{}, options};
    REQUIRE_FALSE(pair.frame(1).lend());
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    {
        const auto gone = std::move(pair.in);
    }
    CHECK(pair.out.reclaim().error() == errc::peer_gone);
    CHECK(pair.out.outstanding() == 0);
    CHECK(slots_in_use(pair.pool) == 0);
}

TEST_CASE("feed: pages that cannot be replaced are not fed", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 1}});
    const auto sockets = blocking_unix_pair();
    {
        const auto pages = zcpool::registered_pages::of(pool);
        REQUIRE(pages);
        CHECK(feed::open(sockets.ours.get(), pool).error() == errc::pages_registered);
    }
    REQUIRE(feed::open(sockets.ours.get(), pool).has_value());
    CHECK_FALSE(zcpool::registered_pages::of(pool));
}

}  // namespace
