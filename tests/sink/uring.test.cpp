// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/errors.hpp>
#include <support/lifetime.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/rings.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/uring.hpp>

// What all sinks promise (sink.test.cpp), through a ring. The system calls are liburing's, so that
// faults cannot be injected: ring_requests.test.cpp goes through what a ring may say.

#define NEED_RING()                                                                                \
    if (test_ring() == nullptr) {                                                                  \
        SKIP("io_uring is not to be had");                                                         \
    }

namespace {

using namespace zcpool_test;
using zcpool::slice;
namespace sink = zcpool::sink;

static_assert(zcpool::chain_sink<sink::uring>);

/// Through the ring of the tests, by reference from `copy_below` bytes on.
struct ring_sink : sink::uring {
    explicit ring_sink(int fd, std::size_t copy_below = 32 * 1024)
        : uring(fd, *test_ring(), {.copy_below = copy_below}) {}
};

/// Pushes until the descriptor takes no more. Returns: all bytes that were pushed.
std::vector<std::byte> block(sink::uring& out, zcpool::pool_view pool) {
    std::vector<std::byte> pushed;
    auto state = sink::state::done;
    for (std::uint64_t i = 0; state != sink::state::blocked; ++i) {
        REQUIRE(i < 10'000);
        REQUIRE(state != sink::state::failed);
        const auto part = make_slice(pool, 60'000, i);
        pushed.insert(pushed.end(), part.bytes().begin(), part.bytes().end());
        out.push(part);
        state = out.flush();
    }
    return pushed;
}

TEST_CASE("uring: what is pushed arrives in order on every kind of descriptor", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {4, 4}});
    for (const std::size_t copy_below : {0UL, 32UL * 1024, SIZE_MAX}) {
        for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
            connection link = make();
            ring_sink out{link.ours.get(), copy_below};
            CHECK(out.flush() == sink::state::done);
            CHECK(out.interest() == sink::interest::none);
            std::vector<std::byte> wanted;
            for (const std::size_t size : {1U, 3'000U, 2U, 40'000U}) {
                const auto part = make_slice(pool, size, size);
                wanted.insert(wanted.end(), part.bytes().begin(), part.bytes().end());
                out.push(part);
            }
            out.push(slice::adopt(pattern(700, 5)).value());
            const auto adopted = pattern(700, 5);
            wanted.insert(wanted.end(), adopted.begin(), adopted.end());
            CHECK(settle_ring(out) == sink::state::done);
            CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
            CHECK(out.stats().copied_bytes + out.stats().lent_bytes == wanted.size());
            CHECK(out.interest() == sink::interest::none);
            CHECK(slots_in_use(pool) == 0);
        }
    }
    const unique_fd file{::memfd_create("zcpool-test-file", MFD_CLOEXEC)};
    ring_sink out{file.get()};
    out.push(make_slice(pool, 3'000, 1));
    out.push(make_slice(pool, 40'000, 2));
    CHECK(settle_ring(out) == sink::state::done);
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    CHECK(read_exactly(file.get(), 3'000) == pattern(3'000, 1));
    CHECK(read_exactly(file.get(), 40'001) == pattern(40'000, 2));
}

TEST_CASE("uring: large slices go by reference over TCP, and are kept until the notification",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {4, 4}});
    connection link = tcp_pair();
    ring_sink out{link.ours.get()};
    if (out.refusal()) {
        SKIP("SENDMSG_ZC is Linux 6.1");
    }
    out.push(make_slice(pool, 60'000, 1));
    out.push(make_slice(pool, 300, 2));
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(out.stats().copied_bytes == 300);
    CHECK(out.stats().fallback_bytes == 0);
    CHECK(out.in_flight() == 0);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 2));
}

TEST_CASE("uring: the ring announces completions to whoever flushes the sink", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {4, 4}});
    connection link = tcp_pair();
    connection other_link = tcp_pair();
    std::vector<void*> told;
    const auto listen = [&] {
        told.clear();
        test_ring()->announce([&](void* owner) { told.push_back(owner); });
    };
    listen();
    ring_sink other{other_link.ours.get()};
    other.set_owner(&other);
    {
        ring_sink out{link.ours.get()};
        if (out.refusal()) {
            SKIP("SENDMSG_ZC is Linux 6.1");
        }
        out.set_owner(&out);
        out.push(make_slice(pool, 60'000, 1));
        CHECK(out.flush() == sink::state::pending);
        CHECK(out.in_flight() == 1);
        listen();
        CHECK(told.empty());  // the result, which its own flush took in
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
        for (int i = 0; i < 10'000 && test_ring()->in_flight() != 0; ++i) {
            ::usleep(1'000);
            CHECK(other.flush() == sink::state::done);  // hears for both
        }
        CHECK(out.in_flight() == 0);
        test_ring()->announce([&](void* owner) {
            told.push_back(owner);
            CHECK(out.flush() == sink::state::done);
        });
        CHECK(told == std::vector<void*>{&out});
        listen();
        CHECK(told.empty());
        out.push(make_slice(pool, 60'000, 2));
        CHECK(out.flush() == sink::state::pending);
    }
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
    CHECK(wait_for_ring());
    listen();
    CHECK(told.empty());  // there is nobody any more
}

TEST_CASE("uring: where it cannot refer it copies, and says why", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {4, 4}});
    const connection local = unix_pair();
    ring_sink out{local.ours.get()};
    out.push(make_slice(pool, 60'000, 1));
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(out.refusal());
    CHECK(out.stats().fallback_bytes == 60'000);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(read_exactly(local.peer.get(), 60'000) == pattern(60'000, 1));
    const connection pipe = pipe_pair();
    CHECK(ring_sink{pipe.ours.get()}.refusal());
}

TEST_CASE("uring: a full descriptor blocks the sink, and it goes on at the next byte", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {2, 256}});
    for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
        connection link = make();
        ring_sink out{link.ours.get()};
        const auto wanted = block(out, pool);
        CHECK(out.queued() > 0);
        // A write to a pipe may wait in the ring; one to a socket does not.
        CHECK((out.interest() == sink::interest::writable ||
               (make == pipe_pair && out.interest() == sink::interest::completion)));
        std::vector<std::byte> got;
        std::thread reader{[&] { got = read_exactly(link.peer.get(), wanted.size()); }};
        while (settle_ring(out) == sink::state::blocked && wait_writable(link.ours.get())) {
        }
        reader.join();
        CHECK(got == wanted);
        CHECK(settle_ring(out) == sink::state::done);
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("uring: sends to a socket that the ring knows by its place", "[sink]") {
    NEED_RING();
    const auto ring = sink::send_ring::create(8).value();
    if (!ring->ring().reserve_files(2)) {
        SKIP("sparse tables of files are Linux 5.19");
    }
    const auto pool = make_pool({.slots = {4, 4}});
    connection link = tcp_pair();
    connection other = tcp_pair();
    REQUIRE(ring->ring().set_file(1, link.ours.get()));
    // Another's descriptor: only the place leads to the peer.
    sink::uring out{other.ours.get(), *ring, {.copy_below = 4096, .registered_file = 1}};
    for (const std::size_t size : {300U, 60'000U}) {
        out.push(make_slice(pool, size, size));
        CHECK(settle_ring(out) == sink::state::done);
        CHECK(read_exactly(link.peer.get(), size) == pattern(size, size));
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("uring: a peer that closes in mid-send fails the sink and frees what it held", "[sink]") {
    NEED_RING();
    const auto previous = std::signal(SIGPIPE, SIG_IGN);
    const auto pool = make_pool({.slots = {2, 256}});
    for (auto* make : {tcp_pair, unix_pair}) {
        connection link = make();
        ring_sink out{link.ours.get()};
        static_cast<void>(block(out, pool));
        static_cast<void>(read_exactly(link.peer.get(), 1000));
        link.peer.reset();
        auto state = out.flush();
        for (int i = 0; i < 1'000 && state == sink::state::blocked; ++i) {
            ::usleep(1'000);
            state = out.flush();
        }
        CHECK(state == sink::state::failed);
        CHECK(
            (out.error() == std::errc::broken_pipe || out.error() == std::errc::connection_reset));
        CHECK(wait_for_ring());
        CHECK(slots_in_use(pool) == 0);
        out.push(make_slice(pool, 100, 1));
        CHECK(out.flush() == sink::state::failed);
        CHECK(slots_in_use(pool) == 0);
    }
    std::signal(SIGPIPE, previous);
}

TEST_CASE("uring: a sink that ends with sends in flight leaves them to the ring", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {2, 256}});
    connection link = tcp_pair();
    std::vector<std::byte> sent;
    {
        ring_sink out{link.ours.get()};
        sent = block(out, pool);
        sent.resize(sent.size() - out.queued());
    }
    link.ours
        .reset();  // nothing in flight holds the socket: the peer sees the end behind the bytes
    // What is free again is written over, before the peer reads.
    {
        std::vector<zcpool::buffer> taken;
        for (zcpool::buffer next; (next = pool.try_acquire(60'000));) {
            fill(next.space(), 0xBAD);
            taken.push_back(std::move(next));
        }
    }
    CHECK(read_exactly(link.peer.get(), sent.size() + 1) == sent);
    CHECK(wait_for_ring());
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("uring: moved or assigned, what is queued goes along", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {2, 2}});
    connection link = tcp_pair();
    ring_sink first{link.ours.get()};
    first.push(make_slice(pool, 300, 1));
    sink::uring second{std::move(first)};
    ring_sink third{-1};
    third.sink::uring::operator=(std::move(second));
    third.push(make_slice(pool, 40'000, 2));
    CHECK(settle_ring(third) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 1));
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 2));
    second.push(make_slice(pool, 10, 1));  // NOLINT(bugprone-use-after-move): has no descriptor
    CHECK(second.flush() == sink::state::failed);
    CHECK(second.error() == system_error(EBADF));
}

TEST_CASE("uring: a descriptor that is not open is an error from the beginning", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {2, 1}});
    ring_sink out{-1};
    CHECK(out.error() == system_error(EBADF));
    out.push(make_slice(pool, 100, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("uring: hundreds of small slices go out in order, and a buffer as it is", "[sink]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = tcp_pair();
    ring_sink out{link.ours.get(), 0};
    const slice whole = make_slice(pool, 3'000, 1);
    for (std::size_t i = 0; i < 300; ++i) {
        out.push(whole.subslice(10 * i, 10));
    }
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 3'000) == pattern(3'000, 1));
    auto last = pool.try_acquire(60'000);
    REQUIRE(last);
    fill(last.space().first(60'000), 3);
    last.commit(60'000);
    out.push(std::move(last));
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 3));
}

TEST_CASE("uring: slices of a registered pool go out from the pages that the ring was told of",
          "[sink]") {
    NEED_RING();
    const auto ring = sink::send_ring::create(8).value();
    const auto pool = make_pool({.slots = {1, 4}});
    if (!ring->register_pool(pool)) {
        SKIP("SEND_ZC is Linux 6.0");
    }
    connection link = tcp_pair();
    sink::uring out{link.ours.get(), *ring, {.copy_below = 4096}};
    const auto part = make_slice(pool, 60'000, 1);
    // Other pages at the address of the slot: what is sent now shows who looked them up, and when.
    auto* const page = const_cast<std::byte*>(part.data());
    REQUIRE(::mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0) == page);
    out.push(part);
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(out.stats().lent_bytes == 60'000);
    // Small slices are copied, which looks them up.
    out.push(part.subslice(0, 100));
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 100) == std::vector<std::byte>(100));
    CHECK(out.stats().copied_bytes == 100);
}

TEST_CASE("uring: slices of registered and of other memory arrive in order", "[sink]") {
    NEED_RING();
    const auto ring = sink::send_ring::create(8).value();
    const auto pool = make_pool({.slots = {1, 4}});
    const auto other = make_pool({.slots = {1, 4}});
    if (!ring->register_pool(pool)) {
        SKIP("SEND_ZC is Linux 6.0");
    }
    for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
        connection link = make();
        sink::uring out{link.ours.get(), *ring, {.copy_below = 4096}};
        std::vector<std::byte> wanted;
        for (std::uint64_t i = 0; i < 6; ++i) {
            const auto part = make_slice(i % 3 == 2 ? other : pool, 8'000, i);
            wanted.insert(wanted.end(), part.bytes().begin(), part.bytes().end());
            out.push(part);
        }
        CHECK(settle_ring(out) == sink::state::done);
        CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
        CHECK(out.stats().copied_bytes + out.stats().lent_bytes == wanted.size());
        if (!out.refusal()) {
            CHECK(out.stats().calls == 3);  // a registered one each, and from the first other on
        }
        CHECK(slots_in_use(pool) + slots_in_use(other) == 0);
    }
}

TEST_CASE("uring: while the kernel takes no request the sink is blocked, and loses nothing",
          "[sink]") {
    NEED_RING();
    const auto ring = sink::send_ring::create(2).value();
    const auto pool = make_pool({.slots = {1, 4}});
    connection link = tcp_pair();
    // In place of the ring's descriptor something that is no ring: io_uring_enter fails.
    const unique_fd kept{::dup(ring->fd())};
    const unique_fd no_ring{::memfd_create("zcpool-test-no-ring", MFD_CLOEXEC)};
    REQUIRE(::dup2(no_ring.get(), ring->fd()) == ring->fd());
    sink::uring out{link.ours.get(), *ring};
    out.push(make_slice(pool, 60'000, 1));
    for (int i = 0; i < 5; ++i) {  // more often than there are places for requests
        CHECK(out.flush() == sink::state::blocked);
        CHECK(out.interest() == sink::interest::writable);
        CHECK(out.in_flight() == 0);
        CHECK(ring->in_flight() == 0);
    }
    REQUIRE(::dup2(kept.get(), ring->fd()) == ring->fd());
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(slots_in_use(pool) == 0);
}

/// A pool of the ring of tests, whose pages it was told of or not; null when it cannot be told.
template <class Pool>
std::optional<Pool> pool_of_ring(const zcpool::pool_options& options, bool registered) {
    auto pool = make_pool<Pool>(options);
    if (registered && !test_ring()->register_pool(pool)) {
        WARN("SEND_ZC is Linux 6.0");
        return std::nullopt;
    }
    return pool;
}

TEST_CASE("uring: a slot used again at once changes nothing for a slow reader",
          "[sink][.zerocopy]") {
    NEED_RING();
    using one_slot = zcpool::pool<zcpool::size_classes<32_KiB>>;
    for (const bool registered : {false, true}) {
        const auto pool = pool_of_ring<one_slot>({.slots = {1}}, registered);
        for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
            connection link = make();
            patient_uring out{link.ours.get()};
            for (std::uint64_t i = 0; pool && i < static_cast<std::uint64_t>(scaled(100)); ++i) {
                out.push(make_slice(*pool, 32 * 1024, i));
                while (settle(out) == sink::state::blocked) {
                    REQUIRE(wait_writable(link.ours.get()));
                }
                auto next = pool->try_acquire(32 * 1024);
                REQUIRE(next);
                fill(next.space(), ~i);
                REQUIRE(read_exactly(link.peer.get(), 32 * 1024) == pattern(32 * 1024, i));
            }
        }
    }
}

TEST_CASE("uring: messages of all sizes to sleepy readers arrive as they were sent",
          "[sink][.zerocopy]") {
    NEED_RING();
    using two_slots = zcpool::pool<zcpool::size_classes<1_MiB>>;
    for (const bool registered : {false, true}) {
        if (const auto pool = pool_of_ring<two_slots>({.slots = {2}}, registered)) {
            CHECK(wrong_messages<patient_uring>(*pool, tcp_pair, scaled(5'000), run_seed()) == 0);
        }
    }
}

TEST_CASE("uring: between two network namespaces messages arrive as they were sent",
          "[sink][.veth]") {
    NEED_RING();
    if (!has_veth()) {
        SKIP("ZCPOOL_TEST_NETNS_A is not set: run tests/support/with_veth.sh");
    }
    using two_slots = zcpool::pool<zcpool::size_classes<1_MiB>>;
    for (const bool registered : {false, true}) {
        if (const auto pool = pool_of_ring<two_slots>({.slots = {2}}, registered)) {
            CHECK(wrong_messages<patient_uring>(*pool, veth_pair, scaled(5'000), run_seed()) == 0);
        }
    }
}

TEST_CASE("uring: however a connection ends, what was in flight is not used again too early",
          "[sink][.zerocopy]") {
    NEED_RING();
    const auto times = static_cast<int>(scaled(50));
    for (const bool registered : {false, true}) {
        const auto pool = pool_of_ring<small_pool>({.slots = {1, 256}}, registered);
        for (const ending how : all_endings) {
            CAPTURE(registered, static_cast<int>(how));
            CHECK((!pool || endings_changed<patient_uring>(*pool, how, times, wait_for_ring) == 0));
        }
    }
}

TEST_CASE("uring: with notifications forged the same test sees corruption", "[sink][.zerocopy]") {
    NEED_RING();
    const auto pool = make_pool({.slots = {1, 256}});
    int changed = 0;
    for (int i = 0; i < 20; ++i) {
        connection link = small_tcp_pair();
        const auto ring = sink::send_ring::create(64).value();
        sink::uring out{link.ours.get(), *ring, {.copy_below = 0}};
        const auto sent = fill_connection(out, pool);
        REQUIRE(out.in_flight() != 0);
        // Requests are named by small numbers with a generation above: all that there may be.
        for (std::uint64_t generation = 0; generation < 256; ++generation) {
            for (std::uint64_t index = 0; index < 64; ++index) {
                ring->take_in(generation << 32 | index, 0, sink::cqe_notification);
            }
        }
        REQUIRE(out.in_flight() == 0);
        spoil_free_slots(pool);
        changed += read_exactly(link.peer.get(), sent.size()) != sent ? 1 : 0;
    }
    CHECK(changed >= 19);
}

TEST_CASE("uring: a send that waits and is cancelled in the middle leaves a beginning of its bytes",
          "[sink][.zerocopy]") {
    auto loop = zcpool::sys::uring::create_for_loop(64);
    if (!loop) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto ring = sink::send_ring::create_driven(std::move(*loop)).value();
    REQUIRE(ring->ring().enable());
    const auto turn = [&] {
        ring->ring().submit_and_wait(1);
        ring->ring().reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
            ring->take_in(name, result, flags);
        });
    };
    const auto pool = make_pool({.slots = {1, 64}});
    for (const bool registered : {false, true}) {
        if (registered && !ring->register_pool(pool)) {
            break;
        }
        for (long i = 0; i < scaled(100); ++i) {
            connection link = small_tcp_pair();
            std::vector<std::byte> pushed;
            {
                sink::uring out{link.ours.get(), *ring, {.copy_below = 0}};
                for (std::uint64_t number = 0; number < 40; ++number) {
                    const auto part = make_slice(pool, 60'000, number);
                    pushed.insert(pushed.end(), part.bytes().begin(), part.bytes().end());
                    out.push(part);
                }
                for (int n = 0; n < 8; ++n) {
                    CHECK(out.flush() == sink::state::blocked);
                    turn();
                }
            }
            turn();  // the cancellation
            spoil_free_slots(pool);
            REQUIRE(::shutdown(link.ours.get(), SHUT_WR) == 0);
            const auto got = read_exactly(link.peer.get(), pushed.size());
            CHECK(got.size() < pushed.size());
            CHECK(got.size() >= 60'000);
            CHECK(std::equal(got.begin(), got.end(), pushed.begin()));
            for (int n = 0; n < 10'000 && ring->in_flight() != 0; ++n) {
                turn();
            }
            CHECK(ring->in_flight() == 0);
            CHECK(slots_in_use(pool) == 0);
        }
    }
}

TEST_CASE("uring: a ring that ends with sends in flight gives none of their slots away",
          "[sink][.zerocopy]") {
    NEED_RING();
    if (zcpool::can_poison) {
        SKIP("AddressSanitizer reports what is lost on purpose");
    }
    for (const bool registered : {false, true}) {
        const auto pool = make_pool({.slots = {1, 256}});
        connection link = small_tcp_pair();
        std::vector<std::byte> sent;
        {
            const auto ring = sink::send_ring::create(64).value();
            if (registered && !ring->register_pool(pool)) {
                break;
            }
            sink::uring out{link.ours.get(), *ring, {.copy_below = 0}};
            sent = fill_connection(out, pool);
            REQUIRE(out.in_flight() != 0);
        }
        CHECK(slots_in_use(pool) != 0);
        spoil_free_slots(pool);
        REQUIRE(::shutdown(link.ours.get(), SHUT_WR) == 0);
        CHECK(read_exactly(link.peer.get(), sent.size()) == sent);
    }
}

}  // namespace
