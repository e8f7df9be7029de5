// SPDX-License-Identifier: MIT
#include <array>
#include <bit>
#include <chrono>
#include <span>
#include <utility>
#include <vector>

#include <support/channels.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/channel.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::receive_channel;
using zcpool::ipc::send_channel;
using zcpool::ipc::wake_by;
using zcpool::sys::unique_fd;

const auto greeting =
    std::bit_cast<std::array<std::byte, 8>>(std::uint64_t{zcpool::ipc::channel_word});

TEST_CASE("channel: two processes get a pool and a channel each way over one socket", "[ipc]") {
    const auto wakes_by = GENERATE(wake_by::futex, wake_by::event);
    const auto pool = make_pool({.slots = {8, 4}});
    const auto pair = blocking_unix_pair();
    child echo{[&] {
        const auto attached = zcpool::ipc::receive_pool(pair.peer.get());
        if (!attached) {
            return 1;
        }
        auto in = receive_channel(pair.peer.get(), *attached);
        auto out = zcpool::ipc::channel_sender::create(*attached, {.wakes_by = wakes_by});
        if (!in || !out || !send_channel(pair.peer.get(), *out)) {
            return 2;
        }
        for (;;) {
            auto got = in->receive();
            if (!got) {
                return got.error() == errc::closed && out->finish_for(std::chrono::seconds{20}) ? 0
                                                                                                : 3;
            }
            zcpool::slice back = got->subslice(1);
            *got = {};  // so that it is the only one, and handed over
            if (!out->send(std::move(back))) {
                return 4;
            }
        }
    }};
    REQUIRE(zcpool::ipc::send_pool(pair.ours.get(), pool).has_value());
    auto out = make_sender(pool, {.wakes_by = wakes_by});
    REQUIRE(send_channel(pair.ours.get(), out).has_value());
    auto in = receive_channel(pair.ours.get(), pool);
    REQUIRE(in.has_value());
    for (std::uint64_t i = 0; i < 100; ++i) {
        const auto sent = make_slice(pool, 5'000, i);
        REQUIRE(out.send(sent).has_value());
        const auto got = in->receive();
        REQUIRE(got.has_value());
        CHECK(got->data() == sent.data() + 1);
        CHECK(got->size() == sent.size() - 1);
    }
    CHECK(out.finish_for(std::chrono::seconds{20}).has_value());
    CHECK(in->receive().error() == errc::closed);
    CHECK(echo.status() == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("channel: a message that is no channel is refused, and its descriptors are closed",
          "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto out = make_sender(pool, {});
    const auto other = attach_again(pool);
    const auto pair = blocking_unix_pair();
    const held before;
    const auto refused = [&] {
        const auto got = receive_channel(pair.peer.get(), other);
        REQUIRE_FALSE(got.has_value());
        CHECK(before == held{});
        return got.error();
    };
    const auto send = [&](std::vector<int> fds, std::span<const std::byte> bytes = greeting) {
        REQUIRE(zcpool::sys::send_fds(pair.ours.get(), bytes, fds).has_value());
    };
    const int memory = out.files().memory;
    for (const std::size_t count : {0U, 2U, 4U}) {
        send(std::vector<int>(count, memory));
        CHECK(refused() == errc::bad_message);
    }
    send({memory}, std::span{greeting}.first(7));
    CHECK(refused() == errc::bad_message);
    std::array<std::byte, 8> changed = greeting;
    changed[3] ^= std::byte{1};
    send({memory}, changed);
    CHECK(refused() == errc::bad_message);
    send({memory, memory, memory});  // events for a channel without
    CHECK(refused() == errc::bad_message);
    send({pool.share()->data});
    CHECK(refused() == errc::not_a_pool);
    {
        faults broken;
        faults::pretend_uid(static_cast<long>(::geteuid()) + 1);
        CHECK(refused() == errc::wrong_access);
    }
    send({memory});
    CHECK(receive_channel(pair.peer.get(), pool).error() == errc::unsupported);  // to oneself
    send({memory});
    CHECK(receive_channel(pair.peer.get(), other).has_value());
    CHECK(send_channel(-1, out).error().value() == EBADF);
}

TEST_CASE("channel: a receiver that dies before it has attached is noticed", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 1}});
    auto out = make_sender(pool, {.capacity = 1});
    auto pair = blocking_unix_pair();
    CHECK_FALSE(out.is_receiver_gone());
    REQUIRE(send_channel(pair.ours.get(), out).has_value());
    CHECK_FALSE(out.is_receiver_gone());
    REQUIRE(out.send(make_slice(pool, 64, 0)).has_value());
    pair.peer.reset();
    CHECK(out.is_receiver_gone());
    CHECK(out.send(make_slice(pool, 64, 1)).error() == errc::peer_gone);
    CHECK(out.finish_for(std::chrono::seconds{20}).error() == errc::peer_gone);
}

TEST_CASE("channel: once it has attached, the receiver's process counts and not the socket",
          "[ipc]") {
    const auto pool = make_pool({.slots = {8, 1}});
    auto out = make_sender(pool, {});
    auto pair = blocking_unix_pair();
    REQUIRE(send_channel(pair.ours.get(), out).has_value());
    const auto other = attach_again(pool);
    auto in = receive_channel(pair.peer.get(), other);
    REQUIRE(in.has_value());
    pair.peer.reset();
    CHECK_FALSE(out.is_receiver_gone());
    REQUIRE(out.send(make_slice(pool, 64, 0)).has_value());
    CHECK(is_frame(in->receive().value(), 0));
}

}  // namespace
