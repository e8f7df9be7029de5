// SPDX-License-Identifier: MIT
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/lifetime.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/zerocopy.hpp>

// Beyond what all sinks promise (sink.test.cpp, lifetime.test.cpp).

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::slice;
namespace sink = zcpool::sink;

TEST_CASE("zerocopy: is pending until the kernel says that it has done", "[sink]") {
    STATIC_REQUIRE(sink::zerocopy::receipts == sink::receipt::notified);
    const auto pool = make_pool({.slots = {4, 4}});
    connection link = tcp_pair();
    sink::zerocopy out{link.ours.get()};
    out.push(make_slice(pool, 1'000, 1));
    CHECK(out.flush() == sink::state::done);  // small: copied
    out.push(make_slice(pool, 60'000, 2));
    {
        // Nothing is heard of yet.
        faults broken;
        broken.fail_call(5, EAGAIN, 1'000);
        CHECK(out.flush() == sink::state::pending);
        CHECK(out.flush() == sink::state::pending);
    }
    CHECK(out.interest() == sink::interest::error_queue);
    CHECK(out.queued() == 0);
    CHECK(out.in_flight() == 1);
    CHECK(slots_in_use(pool) == 1);
    pollfd errors{link.ours.get(), 0, 0};  // which POLLERR does not need
    REQUIRE(::poll(&errors, 1, 10'000) == 1);
    CHECK((errors.revents & POLLERR) != 0);
    CHECK(out.flush() == sink::state::done);
    CHECK(out.interest() == sink::interest::none);
    CHECK(slots_in_use(pool) == 0);
    CHECK(out.stats().copied_bytes == 1'000);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(out.stats().fallback_bytes == 0);
    CHECK(out.counts().confirmed == 1);
    CHECK(out.counts().copied == 1);  // the loopback device does
    CHECK_FALSE(out.refusal());
    CHECK(pool.stats()[1].lent == 0);
    CHECK(read_exactly(link.peer.get(), 1'000) == pattern(1'000, 1));
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
}

TEST_CASE("zerocopy: adopted memory is sent by reference too, and kept as long", "[sink]") {
    static int owners = 0;
    struct counted {
        std::vector<std::byte> bytes;
        explicit counted(std::vector<std::byte> from) : bytes(std::move(from)) { ++owners; }
        counted(counted&& other) noexcept : bytes(std::move(other.bytes)) { ++owners; }
        ~counted() { --owners; }
    };
    owners = 0;
    const auto pool = make_pool({.slots = {1, 1024}});
    connection link = tcp_pair();
    sink::zerocopy out{link.ours.get()};
    const auto sent = fill_connection(out, pool);
    {
        counted owner{pattern(60'000, 77)};
        const std::span<const std::byte> bytes{owner.bytes};
        out.push(slice::adopt(bytes, std::move(owner)).value());
    }
    CHECK(owners == 1);
    const auto queued = out.queued();
    read_exactly(link.peer.get(), sent.size());
    while (out.queued() != 0) {
        REQUIRE(out.flush() != sink::state::failed);
    }
    const auto rest = read_exactly(link.peer.get(), queued);
    CHECK(std::vector<std::byte>(rest.end() - 60'000, rest.end()) == pattern(60'000, 77));
    CHECK(settle(out) == sink::state::done);
    CHECK(owners == 0);
    CHECK(out.stats().copied_bytes < 60'000);  // but for small rests
}

TEST_CASE("zerocopy: takes a buffer as it is", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = tcp_pair();
    sink::zerocopy out{link.ours.get()};
    auto last = pool.try_acquire(60'000);
    REQUIRE(last);
    fill(last.space().first(60'000), 3);
    last.commit(60'000);
    out.push(std::move(last));
    CHECK(settle(out) == sink::state::done);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 3));
}

TEST_CASE("zerocopy: large slices in a row go out with one call and one number", "[sink]") {
    const auto pool = make_pool({.slots = {1, 4}});
    connection link = tcp_pair();
    sink::zerocopy out{link.ours.get()};
    for (std::uint64_t i = 0; i < 3; ++i) {
        out.push(make_slice(pool, 40'000, i));
    }
    CHECK(settle(out) == sink::state::done);
    CHECK(out.stats().calls == 1);
    CHECK(out.counts().sent == 1);
    for (std::uint64_t i = 0; i < 3; ++i) {
        CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, i));
    }
}

TEST_CASE("zerocopy: a short count at every single byte of a message does no harm", "[sink]") {
    const auto pool = make_pool({.slots = {16, 1}});
    connection link = tcp_pair();
    lending_zerocopy out{link.ours.get()};
    for (std::size_t cut = 1; cut < 400; ++cut) {
        std::vector<std::byte> wanted;
        for (const std::size_t size : {1U, 130U, 7U, 262U}) {
            const auto part = make_slice(pool, size, cut + size);
            wanted.insert(wanted.end(), part.bytes().begin(), part.bytes().end());
            out.push(part);
        }
        const faults broken;
        faults::shorten_sends(cut);
        CHECK(settle(out) == sink::state::done);
        REQUIRE(read_exactly(link.peer.get(), 400) == wanted);
    }
    CHECK(out.stats().fallback_bytes == out.stats().copied_bytes);
    CHECK(out.counts().confirmed == out.counts().sent);
    CHECK(out.counts().unexpected == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("zerocopy: where it is refused it copies, counts, and says why", "[sink]") {
    const auto pool = make_pool({.slots = {1, 2}});
    const auto refused = [&](int error, const connection& link, sink::zerocopy& out) {
        for (std::uint64_t i = 0; i < 2; ++i) {
            out.push(make_slice(pool, 60'000, i));
            CHECK(out.flush() == sink::state::done);
            CHECK(slots_in_use(pool) == 0);
            CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, i));
        }
        CHECK(out.refusal() == system_error(error));
        CHECK(out.stats().fallback_bytes >= 60'000);
        CHECK(out.stats().lent_bytes == 0);
    };
    SECTION("a socket that cannot") {
        const connection link = unix_pair();
        sink::zerocopy out{link.ours.get()};
        refused(EOPNOTSUPP, link, out);
    }
    SECTION("a pipe") {
        const connection link = pipe_pair();
        sink::zerocopy out{link.ours.get()};
        refused(ENOTSOCK, link, out);
    }
    SECTION("a kernel that will not") {
        const connection link = tcp_pair();
        sink::zerocopy out{link.ours.get()};
        const faults broken;
        faults::refuse_zerocopy(EPERM);
        refused(EPERM, link, out);
    }
    SECTION("a socket that somebody else sends from, whose numbers would be taken for ours") {
        const connection link = tcp_pair();
        const int on = 1;
        REQUIRE(::setsockopt(link.ours.get(), SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) == 0);
        sink::zerocopy out{link.ours.get()};
        refused(EALREADY, link, out);
    }
}

TEST_CASE("zerocopy: what the kernel has no room to remember is copied this time", "[sink]") {
    const auto pool = make_pool({.slots = {1, 2}});
    connection link = tcp_pair();
    sink::zerocopy out{link.ours.get()};
    {
        const faults broken;
        faults::fail_references(GENERATE(ENOBUFS, ENOMEM));
        out.push(make_slice(pool, 60'000, 1));
        CHECK(out.flush() == sink::state::done);
    }
    CHECK(out.counts().refused == 1);
    CHECK(out.stats().fallback_bytes == 60'000);
    CHECK(slots_in_use(pool) == 0);
    out.push(make_slice(pool, 60'000, 2));
    CHECK(settle(out) == sink::state::done);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
}

TEST_CASE("zerocopy: where the option is taken and no reference is, it copies from then on",
          "[sink]") {
    const auto pool = make_pool({.slots = {1, 2}});
    connection link = tcp_pair();
    sink::zerocopy out{link.ours.get()};
    const int why = GENERATE(EOPNOTSUPP, EINVAL, 524);  // ENOTSUPP, which is the kernel's own
    {
        const faults broken;
        faults::fail_references(why);
        out.push(make_slice(pool, 60'000, 1));
        CHECK(out.flush() == sink::state::done);
    }
    CHECK(out.refusal() == system_error(why));
    out.push(make_slice(pool, 60'000, 2));
    CHECK(settle(out) == sink::state::done);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(out.stats().copied_bytes == 120'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 2));
}

TEST_CASE("zerocopy: so many sends that the real kernel refuses some arrive all the same",
          "[sink]") {
    const auto pool = make_pool({.slots = {1, 1024}});
    connection link = tcp_pair();
    lending_zerocopy out{link.ours.get()};
    const auto sent = fill_connection(out, pool);
    const auto before = out.queued();
    // Sends of single bytes until the socket is full or the kernel has no room for their numbers.
    const auto bytes = make_slice(pool, 4'000, 9);
    for (std::size_t i = 0; i < 4'000; ++i) {
        out.push(bytes.subslice(i, 1));
    }
    std::vector<std::byte> got;
    std::thread reader{[&] { got = read_exactly(link.peer.get(), sent.size() + before + 4'000); }};
    const faults broken;
    faults::shorten_sends(1);
    while (out.flush() == sink::state::blocked && wait_writable(link.ours.get())) {
    }
    reader.join();
    CHECK(settle(out) == sink::state::done);
    CHECK(std::vector<std::byte>(got.end() - 4'000, got.end()) == pattern(4'000, 9));
    CHECK(out.counts().confirmed == out.counts().sent);
    CHECK(out.counts().unexpected == 0);
}

TEST_CASE("zerocopy: whichever call fails, the peer has a clean beginning and no slot is lost",
          "[sink]") {
    const auto pool = make_pool({.slots = {16, 4}});
    const held before;
    for (const int error : {EIO, EAGAIN, ENOBUFS, EINTR}) {
        for (long i = 0;; ++i) {
            REQUIRE(i < 200);
            connection link = tcp_pair();
            std::vector<std::byte> wanted;
            bool struck = false;
            {
                lending_zerocopy out{link.ours.get()};
                for (const std::size_t size : {3'000U, 100U, 60'000U}) {
                    const auto part = make_slice(pool, size, size);
                    wanted.insert(wanted.end(), part.bytes().begin(), part.bytes().end());
                    out.push(part);
                }
                faults broken;
                faults::shorten_sends(20'000);
                broken.fail_call(i, error);
                auto state = settle(out);
                struck = faults::calls() > i;
                if (state == sink::state::blocked) {
                    CHECK(error == EAGAIN);
                    state = settle(out);
                }
                if (state == sink::state::failed) {
                    CHECK(out.error().value() == error);
                } else {
                    CHECK(state == sink::state::done);
                    CHECK(out.in_flight() == 0);
                    CHECK(read_exactly(link.peer.get(), wanted.size()) == wanted);
                    wanted.clear();
                }
            }
            link.ours.reset();
            const auto got = read_exactly(link.peer.get(), wanted.size());
            CHECK(std::equal(got.begin(), got.end(), wanted.begin()));
            CHECK(wait_for_lingering());
            CHECK(slots_in_use(pool) == 0);
            if (!struck) {
                break;
            }
        }
    }
    CHECK(before == held{});
}

TEST_CASE("zerocopy: moved or assigned, what is in flight goes along", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1024}});
    connection link = tcp_pair();
    sink::zerocopy first{link.ours.get()};
    const auto sent = fill_connection(first, pool);
    const auto in_flight = first.in_flight();
    sink::zerocopy second{std::move(first)};
    CHECK(second.in_flight() == in_flight);
    connection other = tcp_pair();
    sink::zerocopy third{other.ours.get()};
    const auto lost = fill_connection(third, pool);
    third = std::move(second);  // what was in flight of the third has no sink any more
    CHECK(third.in_flight() == in_flight);
    CHECK(sink::linger_list::common().size() == 1);
    CHECK(read_exactly(other.peer.get(), lost.size() + 1) == lost);
    CHECK(read_exactly(link.peer.get(), sent.size()) == sent);
    CHECK(wait_for_lingering());
    while (third.queued() != 0) {
        REQUIRE(third.flush() != sink::state::failed);
    }
    CHECK(settle(third) == sink::state::done);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("zerocopy: with notices forged the same test sees corruption", "[sink][.zerocopy]") {
    const auto pool = make_pool({.slots = {1, 256}});
    int changed = 0;
    for (int i = 0; i < 50; ++i) {
        const faults broken;
        connection link = tcp_pair();
        sink::zerocopy out{link.ours.get()};
        const auto sent = fill_connection(out, pool);
        faults::forge_notices();
        static_cast<void>(out.flush());
        REQUIRE(out.in_flight() == 0);
        spoil_free_slots(pool);
        changed += read_exactly(link.peer.get(), sent.size()) != sent ? 1 : 0;
    }
    CHECK(changed >= 49);
}

}  // namespace
