// SPDX-License-Identifier: MIT
// Compiled twice: into the binary of all tests, where Asio goes by epoll, and into one where it
// goes by io_uring.
#include <algorithm>
#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <zcpool/adapt/asio_registration.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

namespace {

using namespace zcpool_test;
using asio::ip::tcp;
using zcpool::buffer;
using zcpool::errc;
using zcpool::slice;
using zcpool::adapt::pool_registration;

/// Whether a context can be had: where Asio goes by io_uring, that may be forbidden.
bool has_context() {
    try {
        asio::io_context context;
        const tcp::socket socket{context, tcp::v4()};
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

TEST_CASE("asio_registration: what is registered is sent and received", "[adapt]") {
    if (!has_context()) {
        SKIP("no io_uring here");
    }
    const auto pool = make_pool({.slots = {4, 1}, .locking = zcpool::lock_policy::none});
    asio::io_context context;
    tcp::socket here{context};
    tcp::socket there{context};
    {
        tcp::acceptor acceptor{context, {asio::ip::address_v4::loopback(), 0}};
        here.connect(acceptor.local_endpoint());
        acceptor.accept(there);
    }
    {
        auto registered = pool_registration::create(context, pool);
        REQUIRE(registered.has_value());
        CHECK(pool.trim() == 0);  // the pages stay

        const slice sent = make_slice(pool, 3000, 1).subslice(100);
        const auto from = registered->const_buffer(sent);
        REQUIRE(from);
        CHECK(from->data() == sent.data());
        CHECK(from->size() == 2900);
        CHECK(from->id().native_handle() == 0);
        buffer got = pool.try_acquire(4_KiB);
        const auto into = registered->mutable_buffer(got);
        REQUIRE(into);
        CHECK(into->data() == got.data());
        CHECK(into->size() == 4_KiB);

        std::size_t written = 0;
        std::size_t read = 0;
        here.async_write_some(*from, [&](asio::error_code error, std::size_t count) {
            CHECK_FALSE(error);
            written = count;
        });
        there.async_read_some(*into, [&](asio::error_code error, std::size_t count) {
            CHECK_FALSE(error);
            got.commit(count);
            read = count;
        });
        context.run();
        CHECK(written == 2900);
        CHECK(read == 2900);
        CHECK(std::equal(got.bytes().begin(), got.bytes().end(), sent.bytes().begin(),
                         sent.bytes().end()));
        CHECK(registered->mutable_buffer(got)->size() == 4_KiB - 2900);
    }
    CHECK(pool.trim() > 0);
}

TEST_CASE("asio_registration: what lies elsewhere is not registered", "[adapt]") {
    if (!has_context()) {
        SKIP("no io_uring here");
    }
    const auto pool = make_pool({.slots = {1, 1}, .locking = zcpool::lock_policy::none});
    const auto other = make_pool({.slots = {1, 1}});
    asio::io_context context;
    const auto registered = pool_registration::create(context, pool);
    REQUIRE(registered.has_value());
    const slice foreign = make_slice(other, 10, 1);
    CHECK_FALSE(registered->const_buffer(foreign));
    const slice empty;
    CHECK_FALSE(registered->const_buffer(empty));
    const slice adopted = slice::adopt(std::vector<char>(100)).value();
    CHECK_FALSE(registered->const_buffer(adopted));
    buffer none;
    CHECK_FALSE(registered->mutable_buffer(none));
    buffer last = pool.try_acquire(64_KiB);
    REQUIRE(registered->mutable_buffer(last));
    CHECK(registered->mutable_buffer(last)->size() == 64_KiB);
}

TEST_CASE(
    "asio_registration: a pool whose pages are replaced is refused, as is what the system "
    "refuses",
    "[adapt]") {
    if (!has_context()) {
        SKIP("no io_uring here");
    }
    asio::io_context context;
    const auto lends = make_pool(lending_options(1, 1));
    CHECK(pool_registration::create(context, lends).error() == errc::pages_replaceable);
    const auto pool = make_pool({.slots = {1, 1}, .locking = zcpool::lock_policy::none});
    const auto first = pool_registration::create(context, pool);
    REQUIRE(first.has_value());
    const auto second = pool_registration::create(context, pool);
    CHECK(second.has_value() == !pool_registration::uses_io_uring);
    if (!second) {
        CHECK(second.error() == std::errc::device_or_resource_busy);
    }
    static_assert(!std::is_move_assignable_v<pool_registration>);
}

}  // namespace
