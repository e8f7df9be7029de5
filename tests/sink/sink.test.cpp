// SPDX-License-Identifier: MIT
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/sink.hpp>

// What every sink promises, in one body over all of them.

namespace {

using namespace zcpool_test;
using zcpool::chain;
using zcpool::slice;
namespace sink = zcpool::sink;

struct not_a_sink {
    void push(slice) noexcept {}
};
template <class... Sinks>
constexpr bool are_sinks = (zcpool::chain_sink<Sinks> && ...);
static_assert(are_sinks<ALL_SINKS>);
static_assert(!zcpool::chain_sink<not_a_sink>);
static_assert(!zcpool::chain_sink<int>);
/// Without a receipt, and yet it takes memory that its owner could still write to.
struct careless : sink::write {
    static constexpr sink::receipt receipts = sink::receipt::none;
};
static_assert(!zcpool::chain_sink<careless>);

/// Slices of 1 to 3,000 bytes, some of them parts, one of them adopted; and the bytes that they
/// are.
struct message {
    chain parts;
    std::vector<std::byte> bytes;

    explicit message(zcpool::pool_view pool, std::uint64_t seed = 1) {
        for (const std::size_t size : {1U, 3000U, 2U, 100U}) {
            add(make_slice(pool, size, seed + size));
        }
        add(make_slice(pool, 3000, seed).subslice(1000, 1500));
        auto owner = std::make_unique<std::vector<std::byte>>(pattern(700, seed));
        const std::span<const std::byte> adopted{*owner};
        add(slice::adopt(adopted, std::move(owner)).value());
        add(make_slice(pool, 20'000, seed));
    }

    void add(const slice& part) {
        bytes.insert(bytes.end(), part.bytes().begin(), part.bytes().end());
        REQUIRE(parts.append(part));
    }
};

/// Whether a sink took all that was pushed.
bool moves_on(sink::state state) {
    return state == sink::state::done || state == sink::state::pending;
}

/// Flushes and reads in turns, because many small sends fill a socket, until the peer has `count`
/// bytes.
template <class Sink>
std::vector<std::byte> sent_through(Sink& out, const connection& link, std::size_t count) {
    std::vector<std::byte> got;
    while (got.size() < count) {
        const auto state = settle(out);
        REQUIRE((state == sink::state::done || state == sink::state::blocked));
        int waiting = 0;
        REQUIRE(::ioctl(link.peer.get(), FIONREAD, &waiting) == 0);
        REQUIRE(waiting > 0);  // a sink that is blocked has sent something
        const auto part = read_exactly(link.peer.get(), static_cast<std::size_t>(waiting));
        got.insert(got.end(), part.begin(), part.end());
    }
    return got;
}

TEMPLATE_TEST_CASE("sink: what is pushed arrives in order, and every slot comes back", "[sink]",
                   ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    for (const bool tcp : {false, true}) {
        connection link = tcp ? tcp_pair() : unix_pair();
        TestType out{link.ours.get()};
        CHECK(out.interest() == sink::interest::none);
        CHECK(out.flush() == sink::state::done);
        message sent{pool};
        const auto wanted = sent.bytes;
        out.push(std::move(sent.parts));
        CHECK(out.queued() == wanted.size());
        CHECK(out.interest() == sink::interest::writable);
        CHECK(settle(out) == sink::state::done);
        CHECK(out.interest() == sink::interest::none);
        CHECK(out.queued() == 0);
        CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
        CHECK(out.stats().copied_bytes + out.stats().lent_bytes == wanted.size());
    }
    CHECK(slots_in_use(pool) == 0);
}

TEMPLATE_TEST_CASE("sink: sends that are cut anywhere continue at the next byte", "[sink]",
                   ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    for (const std::size_t most :
         {1UL, 2UL, 3UL, 7UL, 99UL, 100UL, 101UL, 700UL, 2999UL, 3000UL, 3001UL, 65536UL}) {
        connection link = unix_pair();
        TestType out{link.ours.get()};
        message sent{pool, most};
        const auto wanted = sent.bytes;
        const faults broken;
        faults::shorten_sends(most);
        out.push(std::move(sent.parts));
        REQUIRE(sent_through(out, link, wanted.size()) == wanted);
        CHECK(out.flush() == sink::state::done);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEMPLATE_TEST_CASE("sink: a short count at every single byte of a message does no harm", "[sink]",
                   ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 1));
    connection link = unix_pair();
    TestType out{link.ours.get()};
    for (std::size_t cut = 1; cut < 400; ++cut) {
        chain parts;
        std::vector<std::byte> wanted;
        for (const std::size_t size : {1U, 130U, 7U, 262U}) {
            const auto part = make_slice(pool, size, cut + size);
            wanted.insert(wanted.end(), part.bytes().begin(), part.bytes().end());
            REQUIRE(parts.append(part));
        }
        const faults broken;
        faults::shorten_sends(cut);
        out.push(std::move(parts));
        REQUIRE(sent_through(out, link, 400) == wanted);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEMPLATE_TEST_CASE("sink: a full descriptor blocks the sink, not the caller", "[sink]", ALL_SINKS) {
    const auto pool = make_pool(lending_options(2, 256));  // what is in flight holds its slots
    for (const bool tcp : {false, true}) {
        connection link = tcp ? tcp_pair() : unix_pair();
        TestType out{link.ours.get()};
        std::vector<std::byte> wanted;
        sink::state state = sink::state::done;
        for (std::uint64_t i = 0; moves_on(state); ++i) {
            REQUIRE(i < 10'000);
            const auto part = make_slice(pool, 60'000, i);
            wanted.insert(wanted.end(), part.bytes().begin(), part.bytes().end());
            out.push(part);
            state = out.flush();
        }
        CHECK(state == sink::state::blocked);
        CHECK(out.interest() == sink::interest::writable);
        CHECK(out.queued() > 0);
        CHECK_FALSE(out.error());

        std::vector<std::byte> got;
        std::thread reader{[&] { got = read_exactly(link.peer.get(), wanted.size()); }};
        while (out.flush() == sink::state::blocked && wait_writable(link.ours.get())) {
        }
        reader.join();
        CHECK(settle(out) == sink::state::done);
        CHECK(out.queued() == 0);
        CHECK(got == wanted);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEMPLATE_TEST_CASE("sink: a peer that closes in mid-send fails the sink and frees what it held",
                   "[sink]", ALL_SINKS) {
    // sendfile(2) has no MSG_NOSIGNAL; programs that use it ignore SIGPIPE.
    const auto previous = std::signal(SIGPIPE, SIG_IGN);
    const auto pool = make_pool(lending_options(2, 256));
    for (const bool tcp : {false, true}) {
        connection link = tcp ? tcp_pair() : unix_pair();
        TestType out{link.ours.get()};
        std::uint64_t sent = 0;
        for (auto state = sink::state::done; moves_on(state); ++sent) {
            REQUIRE(sent < 10'000);
            out.push(make_slice(pool, 60'000, sent));
            state = out.flush();
        }
        REQUIRE(out.queued() > 0);
        static_cast<void>(read_exactly(link.peer.get(), 1000));
        link.peer.reset();  // with bytes unread: a reset
        auto state = out.flush();
        for (int i = 0; i < 100 && state == sink::state::blocked; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
            state = out.flush();
        }
        CHECK(state == sink::state::failed);
        CHECK(
            (out.error() == std::errc::broken_pipe || out.error() == std::errc::connection_reset));
        CHECK(out.queued() == 0);
        CHECK(out.interest() == sink::interest::none);
        CHECK(slots_in_use(pool) == 0);
        out.push(make_slice(pool, 100, 1));  // for nothing: it is let go at once
        CHECK(slots_in_use(pool) == 0);
        CHECK(out.flush() == sink::state::failed);
    }
    std::signal(SIGPIPE, previous);
}

std::sig_atomic_t volatile pipe_signals = 0;

TEMPLATE_TEST_CASE("sink: copying to a socket whose peer has gone raises no signal", "[sink]",
                   PLAIN_SINKS) {
    const auto pool = make_pool(lending_options(2, 1));
    pipe_signals = 0;
    const auto previous = std::signal(SIGPIPE, [](int) { pipe_signals = 1; });
    connection link = unix_pair();
    TestType out{link.ours.get()};
    link.peer.reset();
    out.push(make_slice(pool, 100, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(out.error() == std::errc::broken_pipe);
    std::signal(SIGPIPE, previous);
    CHECK(pipe_signals == 0);
}

TEMPLATE_TEST_CASE("sink: a small head and the body behind it leave in one segment", "[sink]",
                   PLAIN_SINKS) {
    const auto pool = make_pool(lending_options(2, 1));
    connection link = tcp_pair();  // with TCP_NODELAY: what is sent alone leaves alone
    TestType out{link.ours.get()};
    out.push(make_slice(pool, 300, 1));
    out.push(make_slice(pool, 20'000, 2));
    REQUIRE(settle(out) == sink::state::done);
    CHECK(data_segments_sent(link.ours.get()) == 1);
    CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 1));
    CHECK(read_exactly(link.peer.get(), 20'000) == pattern(20'000, 2));
}

TEMPLATE_TEST_CASE("sink: whichever call fails, the peer has a clean beginning and no slot is lost",
                   "[sink]", ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    const held before;
    for (const int error : {EIO, EAGAIN, ENOBUFS, EINTR}) {
        for (long i = 0;; ++i) {
            REQUIRE(i < 100);
            connection link = unix_pair();
            message sent{pool, static_cast<std::uint64_t>(i)};
            faults broken;
            faults::shorten_sends(2'000);
            broken.fail_call(i, error);
            TestType out{link.ours.get()};
            out.push(std::move(sent.parts));
            auto state = out.flush();
            const bool struck = faults::calls() > i;
            if (state == sink::state::blocked) {
                CHECK(error == EAGAIN);
                state = out.flush();
            }
            if (state == sink::state::failed) {
                CHECK(out.error().value() == error);
                link.ours.reset();
                const auto got = read_exactly(link.peer.get(), sent.bytes.size());
                CHECK(std::equal(got.begin(), got.end(), sent.bytes.begin()));
            } else {
                CHECK(state == sink::state::done);
                CHECK(read_exactly(link.peer.get(), sent.bytes.size()) == sent.bytes);
            }
            CHECK(slots_in_use(pool) == 0);
            if (!struck) {
                break;
            }
        }
    }
    CHECK(before == held{});
}

TEMPLATE_TEST_CASE("sink: a descriptor that is not open is an error from the beginning", "[sink]",
                   ALL_SINKS) {
    const auto pool = make_pool(lending_options(2, 1));
    TestType out{-1};
    CHECK(out.error() == std::errc::bad_file_descriptor);
    out.push(make_slice(pool, 100, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(out.error() == std::errc::bad_file_descriptor);
    CHECK(slots_in_use(pool) == 0);
}

TEMPLATE_TEST_CASE("sink: moved, it goes on where it was", "[sink]", ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    connection link = unix_pair();
    TestType first{link.ours.get()};
    message sent{pool};
    const auto wanted = sent.bytes;
    first.push(std::move(sent.parts));
    TestType second{std::move(first)};
    CHECK(first.queued() == 0);  // NOLINT(bugprone-use-after-move): empty by promise
    CHECK(second.flush() == sink::state::done);
    CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
    first.push(make_slice(pool, 10, 1));  // has no descriptor any more
    CHECK(first.flush() == sink::state::failed);
}

TEMPLATE_TEST_CASE("sink: moved or assigned, what is queued and what failed goes along", "[sink]",
                   PLAIN_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    connection link = tcp_pair();
    TestType first{link.ours.get()};
    TestType second{std::move(first)};
    second.push(make_slice(pool, 300, 1));
    TestType third{-1};
    third = std::move(second);
    CHECK(third.queued() == 300);
    third.push(make_slice(pool, 20'000, 2));
    REQUIRE(settle(third) == sink::state::done);
    CHECK(data_segments_sent(link.ours.get()) == 1);  // it knows that this is a socket
    CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 1));
    CHECK(read_exactly(link.peer.get(), 20'000) == pattern(20'000, 2));
    TestType broken{-1};
    TestType moved{std::move(broken)};
    CHECK(moved.error() == std::errc::bad_file_descriptor);
    third = std::move(moved);
    CHECK(third.error() == std::errc::bad_file_descriptor);
}

TEMPLATE_TEST_CASE("sink: hundreds of small slices go out in order", "[sink]", ALL_SINKS) {
    const auto pool = make_pool(lending_options(1, 1));
    connection link = unix_pair();
    TestType out{link.ours.get()};
    const slice whole = make_slice(pool, 3'000, 1);
    for (std::size_t i = 0; i < 300; ++i) {
        out.push(whole.subslice(10 * i, 10));
    }
    CHECK(sent_through(out, link, 3'000) == pattern(3'000, 1));
}

TEMPLATE_TEST_CASE("sink: pipes take what sockets take", "[sink]", ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const unique_fd read_end{ends[0]};
    const unique_fd write_end{ends[1]};
    TestType out{write_end.get()};
    message sent{pool};
    out.push(std::move(sent.parts));
    CHECK(out.flush() == sink::state::done);
    CHECK(read_exactly(read_end.get(), sent.bytes.size()) == sent.bytes);
}

TEMPLATE_TEST_CASE("sink: files take what sockets take", "[sink]", ALL_SINKS) {
    const auto pool = make_pool(lending_options(16, 4));
    const unique_fd file{::memfd_create("zcpool-test-file", MFD_CLOEXEC)};
    REQUIRE(file);
    TestType out{file.get()};
    message sent{pool};
    out.push(std::move(sent.parts));
    CHECK(out.flush() == sink::state::done);
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    CHECK(read_exactly(file.get(), sent.bytes.size() + 1) == sent.bytes);
}

TEMPLATE_TEST_CASE("sink: a pool that ends before its sink leaves the bytes to be sent", "[sink]",
                   ALL_SINKS) {
    const held before;
    {
        connection link = unix_pair();
        TestType out{link.ours.get()};
        std::vector<std::byte> wanted;
        {
            const auto pool = make_pool(lending_options(16, 4));
            message sent{pool};
            wanted = sent.bytes;
            out.push(std::move(sent.parts));
        }
        CHECK(out.flush() == sink::state::done);
        CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
    }
    CHECK(before == held{});
}

}  // namespace
