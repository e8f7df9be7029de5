// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <zcpool/adapt/asio.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/buffers_iterator.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using asio::ip::tcp;
using zcpool::buffer;
using zcpool::chain;
using zcpool::errc;
using zcpool::slice;
using zcpool::writer;
using zcpool::adapt::const_buffers;
using zcpool::adapt::shared_const_buffers;

static_assert(asio::is_const_buffer_sequence<const_buffers>::value);
static_assert(asio::is_const_buffer_sequence<shared_const_buffers>::value);
static_assert(!asio::is_mutable_buffer_sequence<const_buffers>::value);
static_assert(std::is_trivially_copyable_v<const_buffers> && sizeof(const_buffers) <= 16);
static_assert(!std::is_constructible_v<const_buffers, chain>, "a view of a chain that goes");
static_assert(!std::is_constructible_v<shared_const_buffers, chain&>, "chains are moved");

/// A chain of `count` slots of the smaller class, each full of its own pattern.
chain make_chain(zcpool::pool_view pool, std::size_t count) {
    chain made;
    for (std::size_t i = 0; i < count; ++i) {
        REQUIRE(made.append(make_slice(pool, 4_KiB, i)));
    }
    return made;
}

/// Two ends of a TCP connection over the loopback device, with small socket buffers.
struct connection {
    connection() {
        tcp::acceptor acceptor{context, {asio::ip::address_v4::loopback(), 0}};
        acceptor.set_option(asio::socket_base::receive_buffer_size{4096});
        here.open(tcp::v4());
        here.set_option(asio::socket_base::send_buffer_size{4096});
        here.connect(acceptor.local_endpoint());
        acceptor.accept(there);
    }
    /// Runs handlers for at least as long as `pending` and at most a few seconds.
    template <class Pending>
    void run_while(Pending pending) {
        context.restart();
        for (int i = 0; i < 500 && pending(); ++i) {
            context.run_for(10ms);
            context.restart();
        }
    }
    /// What comes until `count` bytes have.
    std::vector<std::byte> receive(std::size_t count) {
        std::vector<std::byte> got(count);
        bool done = false;
        asio::async_read(there, asio::buffer(got), [&](asio::error_code error, std::size_t) {
            CHECK_FALSE(error);
            done = true;
        });
        run_while([&] { return !done; });
        CHECK(done);
        return got;
    }
    /// Whether these bytes come. A comparison of its own, so that nobody prints megabytes.
    bool receives(const std::vector<std::byte>& expected) {
        return receive(expected.size()) == expected;
    }
    asio::io_context context;
    tcp::socket here{context};
    tcp::socket there{context};
};

/// How an operation ended.
struct outcome {
    std::optional<asio::error_code> error;
    std::size_t bytes = 0;
    std::uint64_t slots = 0;  ///< in use when the handler was called
    auto handler(zcpool::pool_view pool) {
        return [this, pool](asio::error_code why, std::size_t count) {
            error = why;
            bytes = count;
            slots = slots_in_use(pool);
        };
    }
};

constexpr std::size_t many = 1500;  // slots: more than all socket buffers together, and 64 iovecs

TEST_CASE("asio: a chain is a buffer sequence of its slices", "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const chain made = make_chain(pool, 3);
    const const_buffers view{made};
    CHECK(asio::buffer_size(view) == made.size());
    CHECK(std::distance(view.begin(), view.end()) == 3);
    auto last = view.end();
    CHECK((*--last).data() == made.slices()[2].data());
    CHECK((*last--).size() == 4_KiB);
    CHECK(last == std::next(view.begin()));
    const std::vector<char> all(asio::buffers_begin(view), asio::buffers_end(view));
    const auto flat = flatten(made);
    CHECK(std::equal(all.begin(), all.end(), flat.begin(), flat.end(),
                     [](char a, std::byte b) { return static_cast<std::byte>(a) == b; }));
    CHECK(asio::buffer_size(const_buffers{}) == 0);
    CHECK(zcpool::adapt::const_buffer(made.front()).data() == made.front().data());
}

TEST_CASE("asio: a view of a chain is written whole, in as many parts as it takes", "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    const chain sent = make_chain(pool, many);
    connection both;
    outcome ended;
    asio::async_write(both.here, const_buffers{sent}, ended.handler(pool));
    both.run_while([first = true]() mutable { return std::exchange(first, false); });
    CHECK_FALSE(ended.error);  // nobody reads yet
    CHECK(both.receives(flatten(sent)));
    REQUIRE(ended.error);
    CHECK_FALSE(*ended.error);
    CHECK(ended.bytes == sent.size());
}

TEST_CASE("asio: shared buffers keep their slots until the operation has ended", "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    connection both;
    outcome ended;
    std::vector<std::byte> expected;
    {
        chain sent = make_chain(pool, many);
        expected = flatten(sent);
        asio::async_write(both.here, shared_const_buffers{std::move(sent)}, ended.handler(pool));
    }
    both.run_while([first = true]() mutable { return std::exchange(first, false); });
    CHECK_FALSE(ended.error);
    CHECK(slots_in_use(pool) == many);
    CHECK(both.receives(expected));
    REQUIRE(ended.error);
    CHECK_FALSE(*ended.error);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("asio: an operation of a socket drops shared buffers before its handler", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    connection both;
    outcome ended;
    both.here.async_write_some(shared_const_buffers{make_chain(pool, 1)}, ended.handler(pool));
    CHECK(slots_in_use(pool) == 1);
    both.run_while([&] { return !ended.error; });
    REQUIRE(ended.error);
    CHECK(ended.bytes > 0);
    CHECK(ended.slots == 0);
}

TEST_CASE("asio: async_write lets go of slots as they are out, of all before the handler",
          "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    connection both;
    chain sent = make_chain(pool, many);
    const auto expected = flatten(sent);
    outcome ended;
    zcpool::adapt::async_write(both.here, std::move(sent), ended.handler(pool));
    CHECK(slots_in_use(pool) == many);
    both.run_while([first = true]() mutable { return std::exchange(first, false); });
    CHECK_FALSE(ended.error);
    const auto meanwhile = slots_in_use(pool);
    CHECK(meanwhile < many);
    CHECK(meanwhile > 0);
    CHECK(both.receives(expected));
    REQUIRE(ended.error);
    CHECK_FALSE(*ended.error);
    CHECK(ended.bytes == expected.size());
    CHECK(ended.slots == 0);
}

TEST_CASE("asio: async_write of nothing ends, and not from inside the call", "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    connection both;
    outcome ended;
    zcpool::adapt::async_write(both.here, chain{}, ended.handler(pool));
    CHECK_FALSE(ended.error);
    both.run_while([&] { return !ended.error; });
    REQUIRE(ended.error);
    CHECK_FALSE(*ended.error);
    CHECK(ended.bytes == 0);
}

TEST_CASE("asio: a write that is cancelled ends with its slots free and its bytes counted",
          "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    for (const int how : {0, 1, 2}) {
        connection both;
        outcome ended;
        asio::cancellation_signal signal;
        chain sent = make_chain(pool, many);
        const auto expected = flatten(sent);
        zcpool::adapt::async_write(
            both.here, std::move(sent),
            asio::bind_cancellation_slot(signal.slot(), ended.handler(pool)));
        both.run_while([first = true]() mutable { return std::exchange(first, false); });
        CHECK_FALSE(ended.error);
        if (how == 0) {
            both.here.cancel();
        } else if (how == 1) {
            signal.emit(asio::cancellation_type::partial);
        } else {
            both.here.close();
        }
        both.run_while([&] { return !ended.error; });
        REQUIRE(ended.error);
        CHECK(*ended.error == asio::error::operation_aborted);
        CHECK(ended.slots == 0);
        CHECK(ended.bytes < expected.size());
        CHECK(ended.bytes > 0);
        both.here.close();
        const auto got = both.receive(ended.bytes);
        CHECK(std::equal(got.begin(), got.end(), expected.begin()));
    }
}

TEST_CASE("asio: total cancellation is not offered, as bytes are out", "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    connection both;
    outcome ended;
    asio::cancellation_signal signal;
    zcpool::adapt::async_write(both.here, make_chain(pool, many),
                               asio::bind_cancellation_slot(signal.slot(), ended.handler(pool)));
    both.run_while([first = true]() mutable { return std::exchange(first, false); });
    signal.emit(asio::cancellation_type::total);
    both.run_while([first = true]() mutable { return std::exchange(first, false); });
    CHECK_FALSE(ended.error);
    both.here.cancel();
    both.run_while([&] { return !ended.error; });
    CHECK(ended.slots == 0);
}

TEST_CASE("asio: a peer that has gone is an error, and frees the slots", "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    connection both;
    outcome ended;
    zcpool::adapt::async_write(both.here, make_chain(pool, many), ended.handler(pool));
    both.run_while([first = true]() mutable { return std::exchange(first, false); });
    both.there.set_option(asio::socket_base::linger{true, 0});
    both.there.close();
    both.run_while([&] { return !ended.error; });
    REQUIRE(ended.error);
    CHECK(*ended.error);
    CHECK(ended.slots == 0);
}

TEST_CASE("asio: an operation that never ran gives its slots back with the context", "[adapt]") {
    const auto pool = make_pool({.slots = {many, 1}});
    {
        connection both;
        zcpool::adapt::async_write(both.here, make_chain(pool, many),
                                   [](asio::error_code, std::size_t) {});
        CHECK(slots_in_use(pool) == many);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("asio: bytes are read straight into a buffer, and into a writer", "[adapt]") {
    const auto pool = make_pool({.slots = {3, 1}});
    connection both;
    const auto expected = pattern(6000, 3);
    std::size_t read = 0;
    asio::write(both.here, asio::buffer(expected, 100));
    buffer one = pool.try_acquire(4_KiB);
    both.there.async_read_some(zcpool::adapt::mutable_buffer(one),
                               [&](asio::error_code, std::size_t count) {
                                   one.commit(count);
                                   read = count;
                               });
    both.run_while([&] { return read == 0; });
    REQUIRE(one.size() == 100);
    CHECK(std::equal(one.bytes().begin(), one.bytes().end(), expected.begin()));
    CHECK(zcpool::adapt::mutable_buffer(one).size() == 4_KiB - 100);

    const auto large = pool.try_acquire(64_KiB);
    writer into{pool, 4_KiB};
    asio::async_write(both.here, asio::buffer(expected), [](asio::error_code, std::size_t) {});
    while (into.size() < expected.size()) {
        bool done = false;
        both.there.async_read_some(zcpool::adapt::mutable_buffer(into).value(),
                                   [&](asio::error_code error, std::size_t count) {
                                       CHECK_FALSE(error);
                                       into.commit(count);
                                       done = true;
                                   });
        both.run_while([&] { return !done; });
        REQUIRE(done);
    }
    CHECK(zcpool::adapt::mutable_buffer(into, 4_KiB).error() == errc::exhausted);
    CHECK(zcpool::adapt::mutable_buffer(into, 1_MiB).error() == errc::too_large);
    CHECK(flatten(into.finish()) == expected);
}

TEST_CASE("asio: completion tokens of all kinds", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    connection both;
    auto future = zcpool::adapt::async_write(both.here, make_chain(pool, 2), asio::use_future);
    CHECK(both.receive(8_KiB).size() == 8_KiB);
    REQUIRE(future.wait_for(0s) == std::future_status::ready);
    CHECK(future.get() == 8_KiB);
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
