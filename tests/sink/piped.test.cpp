// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/piped.hpp>
#include <zcpool/sys/pipe_pool.hpp>

// What the sinks with a pipe promise, beyond what those do that lend (lending.test.cpp).

namespace {

using namespace zcpool_test;
using zcpool::slice;
namespace sink = zcpool::sink;

#define PIPED_SINKS sink::splice, sink::vmsplice

/// Pushes large messages until the descriptor takes no more.
/// Returns: all bytes that were pushed.
template <class Sink>
std::vector<std::byte> block(Sink& out, zcpool::pool_view pool) {
    std::vector<std::byte> pushed;
    auto state = sink::state::done;
    for (std::uint64_t i = 0; state == sink::state::done; ++i) {
        REQUIRE(i < 10'000);
        const auto part = make_slice(pool, 60'000, i);
        pushed.insert(pushed.end(), part.bytes().begin(), part.bytes().end());
        out.push(part);
        state = out.flush();
    }
    REQUIRE(state == sink::state::blocked);
    return pushed;
}

/// Reads at the one end while the sink goes on at the other.
template <class Sink>
std::vector<std::byte> unblock(Sink& out, const connection& link, std::size_t count) {
    std::vector<std::byte> got;
    std::thread reader{[&] { got = read_exactly(link.peer.get(), count); }};
    while (out.flush() == sink::state::blocked && wait_writable(link.ours.get())) {
    }
    reader.join();
    return got;
}

TEMPLATE_TEST_CASE("piped: has a pipe of 1 MiB from the first slice that it lends", "[sink]",
                   PIPED_SINKS) {
    STATIC_REQUIRE(TestType::receipts == sink::receipt::none);
    const auto pool = make_pool(lending_options(4, 4));
    connection link = unix_pair();
    const held before;
    TestType out{link.ours.get()};
    out.push(make_slice(pool, 1000, 1));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.pipe_room().bytes == 0);
    CHECK(before == held{});
    out.push(make_slice(pool, 60'000, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.pipe_room().bytes == 1_MiB);
    CHECK_FALSE(out.pipe_room().refusal);
    CHECK(out.stats().copied_bytes == 1'000);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(out.stats().fallback_bytes == 0);
    CHECK(open_descriptors() == before.descriptors + 2);
}

TEMPLATE_TEST_CASE("piped: several slices fill the pipe before it is drained, with one call",
                   "[sink]", PIPED_SINKS) {
    const auto pool = make_pool(lending_options(4, 4));
    connection link = tcp_pair();
    TestType out{link.ours.get(), {.copy_below = 1}};
    for (std::uint64_t i = 0; i < 3; ++i) {
        out.push(make_slice(pool, 5'000, i));
    }
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().calls == (std::is_same_v<TestType, sink::splice> ? 4 : 2));
    CHECK(data_segments_sent(link.ours.get()) == 1);
    for (std::uint64_t i = 0; i < 3; ++i) {
        CHECK(read_exactly(link.peer.get(), 5'000) == pattern(5'000, i));
    }
}

TEMPLATE_TEST_CASE("piped: what follows a drained pipe in the same flush shares its last segment",
                   "[sink]", PIPED_SINKS) {
    const auto pool = make_pool(lending_options(4, 4));
    connection link = tcp_pair();  // with TCP_NODELAY: what is sent alone leaves alone
    TestType out{link.ours.get()};
    out.push(make_slice(pool, 20'000, 1));
    out.push(make_slice(pool, 300, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(data_segments_sent(link.ours.get()) == 1);
    CHECK(read_exactly(link.peer.get(), 20'000) == pattern(20'000, 1));
    CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 2));
}

TEMPLATE_TEST_CASE("piped: a pipe that is too small for a message is filled more than once",
                   "[sink]", PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = tcp_pair();
    TestType out{link.ours.get(), {.pipe_bytes = 8_KiB}};
    const auto whole = make_slice(pool, 60'000, 1);
    const auto cut = make_slice(pool, 50'000, 2).subslice(4'095);  // begins at a page's last byte
    out.push(whole);
    out.push(cut);
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.pipe_room().bytes == 8_KiB);
    // What is less than 16 KiB in the end is copied.
    CHECK(out.stats().lent_bytes > 60'000 + 45'905 - 2 * 16_KiB);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    const auto rest = read_exactly(link.peer.get(), 45'905);
    CHECK(std::equal(rest.begin(), rest.end(), cut.bytes().begin(), cut.bytes().end()));
}

TEMPLATE_TEST_CASE("piped: a pipe that the system keeps smaller does, and is reported", "[sink]",
                   PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = unix_pair();
    TestType out{link.ours.get()};
    const faults broken;
    faults::shorten_pipes(128 * 1024);
    out.push(make_slice(pool, 60'000, 1));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.pipe_room().bytes == 128_KiB);
    CHECK(out.pipe_room().refusal == system_error(EPERM));
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
}

TEMPLATE_TEST_CASE("piped: without a pipe it copies, counts and reports, and tries again", "[sink]",
                   PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = unix_pair();
    TestType out{link.ours.get()};
    {
        const faults broken;
        faults::fail_pipes(EMFILE);
        out.push(make_slice(pool, 60'000, 1));
        REQUIRE(out.flush() == sink::state::done);
    }
    CHECK(out.stats().fallback_bytes == 60'000);
    CHECK(out.pipe_room().bytes == 0);
    CHECK(out.pipe_room().refusal == system_error(EMFILE));
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    out.push(make_slice(pool, 60'000, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK_FALSE(out.pipe_room().refusal);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
}

TEMPLATE_TEST_CASE("piped: a descriptor that takes no pages is copied to, and no byte comes twice",
                   "[sink]", PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = unix_pair();
    TestType out{link.ours.get()};
    faults broken;
    faults::fail_splice_out(GENERATE(EINVAL, ENOSYS));
    out.push(make_slice(pool, 60'000, 1));
    out.push(make_slice(pool, 40'000, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(out.stats().copied_bytes == 100'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 2));
    faults::fail_splice_out(0);
    out.push(make_slice(pool, 60'000, 3));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().lent_bytes == 0);  // now and later
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 3));
}

TEMPLATE_TEST_CASE("piped: a file that is appended to takes no pages, and gets copies", "[sink]",
                   PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    const unique_fd file{::memfd_create("zcpool-test-file", MFD_CLOEXEC)};
    REQUIRE(::fcntl(file.get(), F_SETFL, O_APPEND) == 0);
    TestType out{file.get()};
    out.push(make_slice(pool, 60'000, 1));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().fallback_bytes == 60'000);
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    CHECK(read_exactly(file.get(), 60'001) == pattern(60'000, 1));
}

TEMPLATE_TEST_CASE("piped: with a pipe_pool a sink has a pipe only while something is in it",
                   "[sink]", PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = unix_pair();
    connection other = unix_pair();
    sink::pipe_pool pipes;
    const held before;
    TestType out{link.ours.get(), {.pipes = &pipes}};
    const auto pushed = block(out, pool);
    CHECK(pipes.size() == 0);
    {
        TestType beside{other.ours.get(), {.pipes = &pipes}};
        for (std::uint64_t i = 0; i < 3; ++i) {
            beside.push(make_slice(pool, 50'000, i));
            REQUIRE(beside.flush() == sink::state::done);
            CHECK(pipes.size() == 1);
            CHECK(read_exactly(other.peer.get(), 50'000) == pattern(50'000, i));
        }
    }
    CHECK(open_descriptors() == before.descriptors + 4);  // two pipes for all of that
    CHECK(unblock(out, link, pushed.size()) == pushed);
    CHECK(pipes.size() == 2);
}

TEMPLATE_TEST_CASE("piped: a sink that ends with bytes in its pipe closes it", "[sink]",
                   PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = unix_pair();
    sink::pipe_pool pipes;
    const held before;
    {
        TestType out{link.ours.get(), {.pipes = &pipes}};
        static_cast<void>(block(out, pool));
    }
    CHECK(pipes.size() == 0);
    CHECK(before == held{});
    CHECK(slots_in_use(pool) == 0);
    {
        TestType out{link.ours.get(), {.pipes = &pipes}};
        out.push(make_slice(pool, 60'000, 1));
        REQUIRE(out.flush() == sink::state::blocked);
        const faults broken;
        faults::fail_splice_out(EIO);
        CHECK(out.flush() == sink::state::failed);
        CHECK(before == held{});  // at once, not when the sink ends
    }
    CHECK(pipes.size() == 0);
}

TEMPLATE_TEST_CASE("piped: moved with bytes in its pipe, it goes on where it was", "[sink]",
                   PIPED_SINKS) {
    const auto pool = make_pool(lending_options(1, 4));
    connection link = tcp_pair();
    TestType first{link.ours.get()};
    auto pushed = block(first, pool);
    TestType second{std::move(first)};
    TestType third{-1};
    third = std::move(second);
    const auto more = make_slice(pool, 60'000, 5);
    pushed.insert(pushed.end(), more.bytes().begin(), more.bytes().end());
    third.push(more);
    CHECK(third.pipe_room().bytes == 1_MiB);
    CHECK(unblock(third, link, pushed.size()) == pushed);
    // The one that was moved from has no pipe to send from, and no descriptor.
    second.push(make_slice(pool, 60'000, 1));  // NOLINT(bugprone-use-after-move)
    CHECK(second.flush() == sink::state::failed);
    CHECK(second.error() == std::errc::bad_file_descriptor);
}

}  // namespace
