// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/huge_pages.hpp>
#include <support/interrupts.hpp>
#include <support/lifetime.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/rings.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/linked_splice.hpp>

// What the sinks with a pipe promise (sink.test.cpp, lending.test.cpp, piped.test.cpp), by linked
// requests. Those are the kernel's, so that faults are made of what it meets: a pipe that is
// smaller than it says, a file that takes no pages, a peer that has gone. splice_progress.test.cpp
// goes through what the ring may say.

#define NEED_RING()                                                                                \
    if (test_ring() == nullptr) {                                                                  \
        SKIP("io_uring is not to be had");                                                         \
    }

namespace {

using namespace zcpool_test;
using zcpool::slice;
namespace sink = zcpool::sink;

static_assert(zcpool::chain_sink<sink::linked_splice>);
static_assert(sink::linked_splice::receipts == sink::receipt::none);

/// Through the ring of the tests.
struct ring_splice : sink::linked_splice {
    explicit ring_splice(int fd, const sink::pipe_options& options = {})
        : linked_splice(fd, *test_ring(), options) {}
};

std::error_code system_error(int code) { return {code, std::system_category()}; }

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

/// Pushes messages of 60,000 bytes until the descriptor takes no more.
/// Returns: all bytes that were pushed.
std::vector<std::byte> block(patient_linked_splice& out, zcpool::pool_view pool) {
    std::vector<std::byte> pushed;
    auto state = sink::state::done;
    for (std::uint64_t i = 0; state == sink::state::done; ++i) {
        REQUIRE(i < 10'000);
        const auto part = make_slice(pool, 60'000, i);
        append(pushed, part.bytes());
        out.push(part);
        state = out.flush();
    }
    REQUIRE(state == sink::state::blocked);
    return pushed;
}

TEST_CASE("linked_splice: what is pushed arrives in order on every kind of descriptor", "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(4, 4));
    for (const std::size_t copy_below : {std::size_t{0}, 16_KiB, SIZE_MAX}) {
        for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
            CAPTURE(copy_below);
            connection link = make();
            ring_splice out{link.ours.get(), {.copy_below = copy_below}};
            CHECK(out.flush() == sink::state::done);
            CHECK(out.interest() == sink::interest::none);
            std::vector<std::byte> wanted;
            for (const std::size_t size : {1U, 3'000U, 2U, 40'000U}) {
                const auto part = make_slice(pool, size, size);
                append(wanted, part.bytes());
                out.push(part);
            }
            out.push(slice::adopt(pattern(700, 5)).value());
            append(wanted, pattern(700, 5));
            CHECK(settle_ring(out) == sink::state::done);
            CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
            CHECK(out.stats().lent_bytes == (copy_below == 0       ? 43'003
                                             : copy_below < 40'000 ? 40'000
                                                                   : 0));
            CHECK(out.stats().copied_bytes + out.stats().lent_bytes == wanted.size());
            CHECK(out.interest() == sink::interest::none);
            CHECK(slots_in_use(pool) == 0);
        }
    }
    const unique_fd file{::memfd_create("zcpool-test-file", MFD_CLOEXEC)};
    ring_splice out{file.get()};
    out.push(make_slice(pool, 3'000, 1));
    out.push(make_slice(pool, 40'000, 2));
    CHECK(settle_ring(out) == sink::state::done);
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    CHECK(read_exactly(file.get(), 3'000) == pattern(3'000, 1));
    CHECK(read_exactly(file.get(), 40'001) == pattern(40'000, 2));
}

TEST_CASE("linked_splice: a slot that was lent is marked before its bytes leave", "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 1));
    connection link = unix_pair();
    ring_splice out{link.ours.get()};
    out.push(make_slice(pool, 60'000, 1));
    static_cast<void>(out.flush());
    CHECK(pool.stats()[1].lent == 1);
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(slots_in_use(pool) == 0);
    CHECK(pool.try_acquire(60'000));
    CHECK(pool.stats()[1].renewed == 1);
}

TEST_CASE("linked_splice: a pipe that is too small for a slice is filled more than once",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 4));
    for (auto* make : {tcp_pair, unix_pair}) {
        connection link = make();
        ring_splice out{link.ours.get(), {.copy_below = 0, .pipe_bytes = 8_KiB}};
        const auto whole = make_slice(pool, 60'000, 1);
        const auto cut = make_slice(pool, 50'000, 2).subslice(4'095);  // begins at a page's end
        out.push(whole);
        out.push(cut);
        CHECK(settle_ring(out) == sink::state::done);
        CHECK(out.pipe_room().bytes == 8_KiB);
        CHECK(out.stats().lent_bytes == 60'000 + 45'905);
        CHECK(out.stats().calls == 8 + 7);  // no link broke: as much was asked for as fits
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
        const auto rest = read_exactly(link.peer.get(), 45'905);
        CHECK(std::equal(rest.begin(), rest.end(), cut.bytes().begin(), cut.bytes().end()));
    }
}

TEST_CASE("linked_splice: a pipe that takes less than it should breaks the link and no order",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 8));
    for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
        connection link = make();
        sink::pipe_pool pipes;
        auto smaller = sink::sized_pipe::create(8_KiB).value();
        smaller.room.bytes = 1_MiB;
        pipes.give_back(std::move(smaller));
        ring_splice out{link.ours.get(), {.copy_below = 0, .pipes = &pipes}};
        std::vector<std::byte> wanted;
        for (std::uint64_t i = 0; i < 3; ++i) {
            const auto part = make_slice(pool, 20'000, i);
            append(wanted, part.bytes());
            out.push(part);
        }
        CHECK(settle_ring(out) == sink::state::done);
        // Each fill but the last of a slice is followed by a drain of its own.
        CHECK(out.stats().calls == 3 * 5);
        CHECK(out.stats().lent_bytes == 60'000);
        CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("linked_splice: a full descriptor makes it wait in the ring, and it goes on by itself",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(2, 256));
    for (auto* make : {tcp_pair, unix_pair, pipe_pair}) {
        connection link = make();
        patient_linked_splice out{link.ours.get()};
        auto wanted = block(out, pool);
        for (std::uint64_t i = 0; i < 20; ++i) {
            const auto part = make_slice(pool, 60'000, 100 + i);
            append(wanted, part.bytes());
            out.push(part);
        }
        CHECK(out.flush() == sink::state::blocked);
        CHECK(out.queued() > 0);
        CHECK(out.interest() == sink::interest::completion);
        std::vector<std::byte> got;
        std::thread reader{[&] {  // slow, and in pieces that fit nothing
            while (got.size() < wanted.size()) {
                const auto part = read_exactly(
                    link.peer.get(), std::min<std::size_t>(7'777, wanted.size() - got.size()));
                append(got, part);
                if (part.empty()) {
                    break;
                }
                if (got.size() % 5 == 0) {
                    ::usleep(500);
                }
            }
        }};
        CHECK(settle_ring(out) == sink::state::done);
        reader.join();
        CHECK(got == wanted);
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("linked_splice: interrupts, slow readers and a small pipe change no byte", "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(4, 64));
    connection link = small_tcp_pair();
    const auto messages = static_cast<std::uint64_t>(scaled(300));
    std::vector<std::byte> wanted;
    std::vector<std::byte> got;
    std::thread reader{[&] {
        for (std::vector<std::byte> part; !(part = read_exactly(link.peer.get(), 9'999)).empty();) {
            append(got, part);
        }
    }};
    {
        const interrupts disturbance;
        ring_splice out{link.ours.get(), {.copy_below = 2'000, .pipe_bytes = 16_KiB}};
        for (std::uint64_t i = 0; i < messages; ++i) {
            const auto part = make_slice(pool, 1 + i * 7'919 % 60'000, i);
            append(wanted, part.bytes());
            out.push(part);
            for (auto state = settle_ring(out); state != sink::state::done;
                 state = settle_ring(out)) {
                REQUIRE(state == sink::state::blocked);
                static_cast<void>(wait_writable(link.ours.get()));
            }
        }
        CHECK(out.stats().lent_bytes > out.stats().copied_bytes);
    }
    link.ours.reset();
    reader.join();
    CHECK(got == wanted);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linked_splice: what may not be lent is copied and counted", "[sink]") {
    NEED_RING();
    connection link = unix_pair();
    ring_splice out{link.ours.get()};
    const auto pool = make_pool(lending_options(1, 2));
    const auto never = make_pool({.slots = {1, 2}});
    auto broke_options = lending_options(1, 2);
    broke_options.lent_budget_permille = 0;
    broke_options.lent_settle_time = std::chrono::hours{1};
    const auto broke = make_pool(broke_options);
    faults broken;
    SECTION("a pool that never lends") { out.push(make_slice(never, 60'000, 1)); }
    SECTION("a pool whose lent budget is used up") { out.push(make_slice(broke, 60'000, 1)); }
    SECTION("adopted memory") { out.push(slice::adopt(pattern(60'000, 1)).value()); }
    SECTION("no pipe is to be had") {
        faults::fail_pipes(EMFILE);
        out.push(make_slice(pool, 60'000, 1));
    }
    SECTION("no descriptor is to be had") {
        broken.fail_call(0, EMFILE);
        out.push(make_slice(pool, 60'000, 1));
        REQUIRE(out.flush() == sink::state::done);
        CHECK(out.pipe_room().refusal == system_error(EMFILE));
    }
    REQUIRE(settle_ring(out) == sink::state::done);
    CHECK(out.stats().fallback_bytes == 60'000);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    faults::fail_pipes(0);
    out.push(make_slice(pool, 60'000, 2));  // tries again
    REQUIRE(settle_ring(out) == sink::state::done);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
}

TEST_CASE("linked_splice: may copy what is not sent often, and lends it from then on", "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 1));
    connection link = unix_pair();
    ring_splice out{link.ours.get(), {.copies_first = 2}};
    const auto each = make_slice(pool, 60'000, 1);
    for (int i = 0; i < 4; ++i) {
        out.push(each);
        REQUIRE(settle_ring(out) == sink::state::done);
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
        CHECK(out.stats().lent_bytes == (i < 2 ? 0U : 60'000U * static_cast<unsigned>(i - 1)));
    }
}

TEST_CASE("linked_splice: a descriptor that takes no pages is copied to, and no byte comes twice",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 4));
    const unique_fd file{::memfd_create("zcpool-test-file", MFD_CLOEXEC)};
    REQUIRE(::fcntl(file.get(), F_SETFL, O_APPEND) == 0);
    ring_splice out{file.get()};
    out.push(make_slice(pool, 60'000, 1));
    out.push(make_slice(pool, 40'000, 2));
    REQUIRE(settle_ring(out) == sink::state::done);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(out.stats().calls == 2);  // the requests, once, and a copy
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    CHECK(read_exactly(file.get(), 60'000) == pattern(60'000, 1));
    CHECK(read_exactly(file.get(), 40'001) == pattern(40'000, 2));
}

TEST_CASE("linked_splice: a peer that closes fails the sink, raises no signal, and frees all",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(2, 256));
    for (auto* make : {tcp_pair, unix_pair}) {
        CHECK(wait_for_ring());
        const held before;
        {
            connection link = make();
            patient_linked_splice out{link.ours.get()};
            static_cast<void>(block(out, pool));
            static_cast<void>(read_exactly(link.peer.get(), 1'000));
            link.peer.reset();
            CHECK(settle_ring(out) == sink::state::failed);
            CHECK((out.error() == std::errc::broken_pipe ||
                   out.error() == std::errc::connection_reset));
            CHECK(slots_in_use(pool) == 0);
            CHECK(out.interest() == sink::interest::none);
            out.push(make_slice(pool, 100, 1));
            CHECK(out.flush() == sink::state::failed);
            CHECK(slots_in_use(pool) == 0);
        }
        CHECK(before == held{});
    }
}

TEST_CASE("linked_splice: with a pipe_pool a sink has a pipe only while something is in it",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 256));
    connection link = unix_pair();
    sink::pipe_pool pipes;
    ring_splice out{link.ours.get(), {.pipes = &pipes}};
    for (std::uint64_t i = 0; i < 3; ++i) {
        out.push(make_slice(pool, 50'000, i));
        const bool is_blocked = out.flush() == sink::state::blocked;
        CHECK(pipes.size() == (is_blocked ? 0 : 1));
        REQUIRE(settle_ring(out) == sink::state::done);
        CHECK(pipes.size() == 1);
        CHECK(read_exactly(link.peer.get(), 50'000) == pattern(50'000, i));
    }
}

TEST_CASE("linked_splice: one that ends with bytes in its pipe closes it, and the connection ends",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(2, 256));
    for (auto* make : {tcp_pair, unix_pair}) {
        CHECK(wait_for_ring());
        const held before;
        {
            connection link = make();
            sink::pipe_pool pipes;
            std::vector<std::byte> pushed;
            {
                ring_splice out{link.ours.get(), {.pipes = &pipes}};
                for (std::uint64_t i = 0; i < 200; ++i) {
                    const auto part = make_slice(pool, 60'000, i);
                    append(pushed, part.bytes());
                    out.push(part);
                }
                for (int i = 0; i < 100; ++i) {  // until it is full, or nearly
                    CHECK(out.flush() == sink::state::blocked);
                    ::usleep(1'000);
                }
            }
            CHECK(wait_for_ring());
            CHECK(pipes.size() == 0);
            CHECK(slots_in_use(pool) == 0);
            // The peer sees a beginning and the end, though the socket is still open.
            const auto got = read_exactly(link.peer.get(), pushed.size());
            CHECK(got.size() >= 60'000);
            CHECK(got.size() < pushed.size());
            CHECK(std::equal(got.begin(), got.end(), pushed.begin()));
        }
        CHECK(before == held{});
    }
}

TEST_CASE("linked_splice: one that ends sends nothing to whoever has its descriptor then",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(2, 256));
    for (int i = 0; i < 50; ++i) {
        connection link = tcp_pair();
        connection other = tcp_pair();
        {
            patient_linked_splice out{link.ours.get()};
            if (i % 2 == 0) {
                static_cast<void>(block(out, pool));  // the drain waits
            } else {
                out.push(make_slice(pool, 60'000, 1));
                static_cast<void>(out.sink::linked_splice::flush());
            }
            REQUIRE(::dup2(other.ours.get(), link.ours.get()) == link.ours.get());
        }
        static_cast<void>(read_exactly(link.peer.get(), 1 << 24));
        CHECK(wait_for_ring());
        pollfd readable{other.peer.get(), POLLIN, 0};
        CHECK(::poll(&readable, 1, i < 2 ? 50 : 0) == 0);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linked_splice: moved or assigned with requests under way, it goes on where it was",
          "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(2, 256));
    connection link = tcp_pair();
    patient_linked_splice first{link.ours.get()};
    auto wanted = block(first, pool);
    sink::linked_splice second{std::move(first)};
    ring_splice third{-1};
    third.sink::linked_splice::operator=(std::move(second));
    append(wanted, pattern(40'000, 5));
    third.push(make_slice(pool, 40'000, 5));
    CHECK(third.pipe_room().bytes == 1_MiB);
    std::vector<std::byte> got;
    std::thread reader{[&] { got = read_exactly(link.peer.get(), wanted.size()); }};
    CHECK(settle_ring(third) == sink::state::done);
    reader.join();
    CHECK(got == wanted);
    second.push(make_slice(pool, 60'000, 1));  // NOLINT(bugprone-use-after-move): has no descriptor
    CHECK(second.flush() == sink::state::failed);
    CHECK(second.error() == system_error(EBADF));
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linked_splice: a descriptor that is not open is an error from the beginning", "[sink]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(2, 1));
    ring_splice out{-1};
    CHECK(out.error() == system_error(EBADF));
    out.push(make_slice(pool, 100, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linked_splice: while the kernel takes no request it is blocked, and loses nothing",
          "[sink]") {
    NEED_RING();
    const auto ring = sink::send_ring::create(4).value();
    const auto pool = make_pool(lending_options(1, 4));
    connection link = tcp_pair();
    // In place of the ring's descriptor something that is no ring: io_uring_enter fails.
    const unique_fd kept{::dup(ring->fd())};
    const unique_fd no_ring{::memfd_create("zcpool-test-no-ring", MFD_CLOEXEC)};
    REQUIRE(::dup2(no_ring.get(), ring->fd()) == ring->fd());
    sink::linked_splice out{link.ours.get(), *ring};
    out.push(make_slice(pool, 60'000, 1));
    for (int i = 0; i < 5; ++i) {  // more often than there are places for requests
        CHECK(out.flush() == sink::state::blocked);
        CHECK(out.interest() == sink::interest::writable);
        CHECK(ring->in_flight() == 0);
    }
    REQUIRE(::dup2(kept.get(), ring->fd()) == ring->fd());
    CHECK(settle_ring(out) == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(slots_in_use(pool) == 0);
}

/// A ring that a loop drives, and a turn of that loop.
struct driven {
    std::unique_ptr<sink::send_ring> ring;

    static driven create() {
        auto loop = zcpool::sys::uring::create_for_loop(16);
        if (!loop) {
            return {};
        }
        driven made{sink::send_ring::create_driven(std::move(*loop)).value()};
        REQUIRE(made.ring->ring().enable());
        return made;
    }
    void turn() const {
        ring->ring().submit_and_wait(10);
        ring->ring().reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
            ring->take_in(name, result, flags);
        });
    }
    [[nodiscard]] bool empty() const {
        for (int i = 0; i < 1'000 && ring->in_flight() != 0; ++i) {
            turn();
        }
        return ring->in_flight() == 0;
    }
};

TEST_CASE("linked_splice: what a loop drives leaves when the loop submits, and is announced once",
          "[sink]") {
    const auto loop = driven::create();
    if (!loop.ring) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool(lending_options(2, 256));
    connection links[] = {tcp_pair(), unix_pair()};
    sink::linked_splice outs[] = {sink::linked_splice{links[0].ours.get(), *loop.ring},
                                  sink::linked_splice{links[1].ours.get(), *loop.ring}};
    for (sink::linked_splice& out : outs) {
        out.set_owner(&out);
        out.push(make_slice(pool, 300, 1));
        out.push(make_slice(pool, 60'000, 2));
        CHECK(out.flush() == sink::state::blocked);
        CHECK(out.interest() == sink::interest::completion);
    }
    CHECK(loop.ring->in_flight() == 4);
    for (connection& link : links) {
        CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 1));  // a copy, at once
        pollfd readable{link.peer.get(), POLLIN, 0};
        CHECK(::poll(&readable, 1, 20) == 0);
    }
    int announced = 0;
    for (int i = 0; i < 1'000 && announced < 2; ++i) {
        loop.turn();
        loop.ring->announce([&](void* owner) {
            ++announced;
            CHECK(static_cast<sink::linked_splice*>(owner)->flush() == sink::state::done);
        });
    }
    CHECK(announced == 2);
    for (connection& link : links) {
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linked_splice: many more chains than a ring has places stay whole", "[sink]") {
    const auto loop = driven::create();  // of 16 places
    if (!loop.ring) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool(lending_options(2, 256));
    std::vector<connection> links;
    std::vector<sink::linked_splice> outs;
    for (std::uint64_t i = 0; i < 25; ++i) {
        links.push_back(unix_pair());
        outs.emplace_back(links.back().ours.get(), *loop.ring);
        outs.back().push(make_slice(pool, 60'000, i));
        CHECK(outs.back().flush() == sink::state::blocked);
        if (i == 3) {
            io_uring_sqe* const odd = loop.ring->ring().next_request();
            REQUIRE(odd != nullptr);
            ::io_uring_prep_nop(odd);
            odd->user_data = INT64_MAX;
        }
    }
    CHECK(loop.empty());
    for (std::uint64_t i = 0; i < 25; ++i) {
        CHECK(outs[i].flush() == sink::state::done);
        CHECK(outs[i].stats().calls == 1);
        CHECK(read_exactly(links[i].peer.get(), 60'000) == pattern(60'000, i));
    }
}

TEST_CASE("linked_splice: assigned while its pipe is being filled, it sends each byte once",
          "[sink]") {
    const auto loop = driven::create();
    if (!loop.ring) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool(lending_options(2, 256));
    const connection link = tcp_pair();
    sink::linked_splice first{link.ours.get(), *loop.ring};
    first.push(make_slice(pool, 60'000, 1));
    CHECK(first.flush() == sink::state::blocked);
    sink::linked_splice second{link.ours.get(), *loop.ring};
    second = std::move(first);
    CHECK(loop.empty());
    CHECK(second.flush() == sink::state::done);
    CHECK(second.stats().lent_bytes == 60'000);
    CHECK(loop.ring->in_flight() == 0);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("linked_splice: one that ends before the loop submits sends nothing", "[sink]") {
    const auto loop = driven::create();
    if (!loop.ring) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool(lending_options(2, 256));
    connection link = tcp_pair();
    const held before;
    {
        sink::linked_splice out{link.ours.get(), *loop.ring};
        out.push(make_slice(pool, 60'000, 1));
        CHECK(out.flush() == sink::state::blocked);
    }
    CHECK(loop.empty());
    CHECK(slots_in_use(pool) == 0);
    CHECK(before == held{});
    CHECK(read_exactly(link.peer.get(), 1).empty());  // its end
}

TEST_CASE("linked_splice: one that waits and is cancelled in the middle leaves a beginning",
          "[sink][.zerocopy]") {
    const auto loop = driven::create();
    if (!loop.ring) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool(lending_options(1, 64));
    for (long i = 0; i < scaled(100); ++i) {
        connection link = small_tcp_pair();
        std::vector<std::byte> pushed;
        {
            sink::linked_splice out{link.ours.get(), *loop.ring};
            for (std::uint64_t number = 0; number < 40; ++number) {
                const auto part = make_slice(pool, 60'000, number);
                append(pushed, part.bytes());
                out.push(part);
            }
            for (long n = 0; n < 4 + i % 8; ++n) {
                CHECK(out.flush() == sink::state::blocked);
                loop.turn();
            }
        }
        CHECK(loop.empty());
        CHECK(slots_in_use(pool) == 0);
        spoil_free_slots(pool);
        link.ours.reset();
        const auto got = read_exactly(link.peer.get(), pushed.size());
        CHECK(got.size() < pushed.size());
        CHECK(std::equal(got.begin(), got.end(), pushed.begin()));
    }
}

TEST_CASE("linked_splice: a slot used again at once changes nothing for a slow reader",
          "[sink][.zerocopy]") {
    NEED_RING();
    CHECK(messages_changed<patient_linked_splice>(unix_pair, 100, true) == 0);
    CHECK(messages_changed<patient_linked_splice>(tcp_pair, 100, true) == 0);
    CHECK(messages_changed<patient_linked_splice>(pipe_pair, 100, true) == 0);
}

TEST_CASE("linked_splice: with renewal switched off the same test sees corruption",
          "[sink][.zerocopy]") {
    NEED_RING();
    CHECK(messages_changed<patient_linked_splice>(unix_pair, 100, false) >= 99);
    CHECK(messages_changed<patient_linked_splice>(tcp_pair, 100, false) >= 99);
    CHECK(messages_changed<patient_linked_splice>(pipe_pair, 100, false) >= 99);
}

TEST_CASE("linked_splice: however a connection ends, what was in flight is not used too early",
          "[sink][.zerocopy]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 256));
    const auto times = static_cast<int>(scaled(20));
    for (const ending how : all_endings) {
        CAPTURE(static_cast<int>(how));
        CHECK(endings_changed<patient_linked_splice>(pool, how, times, wait_for_ring) == 0);
    }
}

TEST_CASE("linked_splice: with renewal switched off a connection that ends shows corruption",
          "[sink][.zerocopy]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 256));
    const faults broken;
    faults::switch_renewal_off();
    for (const ending how : {ending::peer_reads, ending::shut_down, ending::closed}) {
        CAPTURE(static_cast<int>(how));
        CHECK(endings_changed<patient_linked_splice>(pool, how, 10, wait_for_ring) >= 9);
    }
}

TEST_CASE("linked_splice: a ring that ends with splices in flight gives none of their slots away",
          "[sink][.zerocopy]") {
    NEED_RING();
    const auto pool = make_pool(lending_options(1, 256));
    for (int i = 0; i < 20; ++i) {
        connection link = small_tcp_pair();
        std::vector<std::byte> pushed;
        {
            const auto ring = sink::send_ring::create(8).value();
            sink::linked_splice out{link.ours.get(), *ring};
            for (std::uint64_t number = 0; number < 40; ++number) {
                const auto part = make_slice(pool, 60'000, number);
                append(pushed, part.bytes());
                out.push(part);
            }
            for (int n = 0; n < i; ++n) {
                CHECK(out.flush() == sink::state::blocked);
                ::usleep(200);
            }
        }
        spoil_free_slots(pool);
        link.ours.reset();
        const auto got = read_exactly(link.peer.get(), pushed.size());
        CHECK(got.size() < pushed.size());
        CHECK(std::equal(got.begin(), got.end(), pushed.begin()));
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("linked_splice: messages of all sizes to sleepy readers arrive as they were sent",
          "[sink][.zerocopy]") {
    NEED_RING();
    CHECK(wrong_messages<patient_linked_splice>(tcp_pair, scaled(5'000), run_seed()) == 0);
}

TEST_CASE("linked_splice: messages of all sizes from one arena arrive as they were sent",
          "[sink][.zerocopy]") {
    NEED_RING();
    const shmem_huge_pages allowed{"advise"};
    if (!allowed.was_granted()) {
        SKIP("shmem_enabled may not be set to advise");
    }
    auto options = arena_options(2, 0);
    options.arenas = zcpool::arena_backing::memfd;
    const auto pool = make_pool<zcpool::pool<zcpool::size_classes<1_MiB>>>(options);
    REQUIRE(pool.report().lending == zcpool::lending::arena);
    CHECK(wrong_messages<patient_linked_splice>(pool, tcp_pair, scaled(1'000), run_seed()) == 0);
    CHECK(pool.stats()[0].renewed > 10);
}

TEST_CASE("linked_splice: between two network namespaces corruption shows with renewal off",
          "[sink][.veth]") {
    NEED_RING();
    if (!has_veth()) {
        SKIP("ZCPOOL_TEST_NETNS_A is not set: run tests/support/with_veth.sh");
    }
    CHECK(messages_changed<patient_linked_splice>(veth_pair, 100, false) >= 99);
    CHECK(messages_changed<patient_linked_splice>(veth_pair, 100, true) == 0);
}

TEST_CASE("linked_splice: between two network namespaces messages arrive as they were sent",
          "[sink][.veth]") {
    NEED_RING();
    if (!has_veth()) {
        SKIP("ZCPOOL_TEST_NETNS_A is not set: run tests/support/with_veth.sh");
    }
    CHECK(wrong_messages<patient_linked_splice>(veth_pair, scaled(5'000), run_seed()) == 0);
}

}  // namespace
