// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/sink/linger_list.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
namespace sink = zcpool::sink;

sink::linger_list& list() { return sink::linger_list::common(); }

/// A connection whose peer does not read, and a session that has filled it.
struct stuck {
    connection link = tcp_pair();
    zcpool::unique_object<sink::zerocopy_session> session;
    std::vector<std::byte> sent;

    stuck(zcpool::pool_view pool, std::chrono::milliseconds linger)
        : session(std::move(*sink::zerocopy_session::open(link.ours.get(), linger))) {
        for (std::uint64_t i = 0;; ++i) {
            REQUIRE(i < 10'000);
            zcpool::chain queue;
            auto into = pool.try_acquire(60'000);
            REQUIRE(into);
            fill(into.space().first(60'000), i);
            into.commit(60'000);
            REQUIRE(queue.append(std::move(into).freeze()));
            const auto taken = session->send(queue, 1);
            if (!taken) {
                break;
            }
            sent.insert(sent.end(), queue.front().data(), queue.front().data() + *taken);
            session->reap();
        }
        ::usleep(10'000);
        session->reap();
        REQUIRE(session->in_flight() > 0);
    }
};

/// Waits until nothing is in flight any more. Returns: whether that came to pass.
bool wait_empty() {
    for (int i = 0; i < 10'000 && list().poll() != 0; ++i) {
        ::usleep(1'000);
    }
    return list().size() == 0;
}

TEST_CASE(
    "linger_list: keeps the memory until the peer has it, and the peer sees the end behind it",
    "[sink]") {
    const auto pool = make_pool({.slots = {1, 256}});
    const held before;
    {
        stuck one{pool, 1h};
        list().adopt(std::move(one.session));
        one.link.ours.reset();
        CHECK(list().size() == 1);
        CHECK(slots_in_use(pool) > 0);
        CHECK(list().poll() == 1);
        CHECK(read_exactly(one.link.peer.get(), one.sent.size() + 1) == one.sent);
    }
    CHECK(wait_empty());
    CHECK(slots_in_use(pool) == 0);
    CHECK(before == held{});
}

TEST_CASE("linger_list: a peer that does not read in time loses the connection", "[sink]") {
    const auto pool = make_pool({.slots = {1, 256}});
    stuck one{pool, 50ms};
    list().adopt(std::move(one.session));
    one.link.ours.reset();
    list().poll();
    CHECK(list().size() == 1);
    std::this_thread::sleep_for(100ms);
    CHECK(list().poll() == 0);
    CHECK(slots_in_use(pool) == 0);
    CHECK(read_exactly(one.link.peer.get(), one.sent.size() + 1).size() < one.sent.size());
}

TEST_CASE("linger_list: the longest time is no time that has passed", "[sink]") {
    const auto pool = make_pool({.slots = {1, 256}});
    stuck one{pool, std::chrono::milliseconds::max()};
    list().adopt(std::move(one.session));
    one.link.ours.reset();
    list().poll();
    CHECK(read_exactly(one.link.peer.get(), one.sent.size()) == one.sent);
    while (list().poll() != 0) {
        std::this_thread::yield();
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linger_list: a connection that is to be reset is reset, and leaves nothing", "[sink]") {
    const auto pool = make_pool({.slots = {1, 256}});
    stuck one{pool, 1h};
    const linger at_once{1, 0};
    REQUIRE(::setsockopt(one.link.ours.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) ==
            0);
    list().adopt(std::move(one.session));
    CHECK(list().size() == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linger_list: who hands one in polls some of the others", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1024}});
    std::vector<stuck> all;
    for (int i = 0; i < 3; ++i) {
        all.emplace_back(pool, 1h);
    }
    list().adopt(std::move(all[0].session));
    list().adopt(std::move(all[1].session));
    CHECK(list().size() == 2);
    all[0].link.peer.reset();  // with bytes unread: a reset
    ::usleep(20'000);
    list().adopt(std::move(all[2].session));
    CHECK(list().size() == 2);
    all.clear();
    CHECK(wait_empty());
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linger_list: several threads may poll it", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1024}});
    std::vector<stuck> all;
    for (int i = 0; i < 6; ++i) {
        all.emplace_back(pool, 1h);
        list().adopt(std::move(all.back().session));
        all.back().link.ours.reset();
    }
    CHECK(list().size() == 6);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([] { static_cast<void>(wait_empty()); });
        }
        for (const stuck& each : all) {
            CHECK(read_exactly(each.link.peer.get(), each.sent.size() + 1) == each.sent);
        }
    }
    CHECK(list().size() == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linger_list: a forked child does nothing to its parent's connection", "[sink]") {
    const auto pool = make_pool({.slots = {1, 256}});
    stuck one{pool, 1h};
    const auto in_flight = one.session->in_flight();
    const pid_t child = ::fork();
    if (child == 0) {
        list().adopt(std::move(one.session));
        ::_exit(list().size() == 0 ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(::write(one.link.peer.get(), "x", 1) == 1);
    std::vector<std::byte> got = read_exactly(one.link.peer.get(), one.sent.size());
    CHECK(got == one.sent);
    for (int i = 0; one.session->in_flight() != 0 && i < 10'000; ++i) {
        one.session->reap();
        ::usleep(1'000);
    }
    CHECK(one.session->counts().confirmed >= in_flight);
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
