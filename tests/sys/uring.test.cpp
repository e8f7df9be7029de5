// SPDX-License-Identifier: MIT
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <support/catch.hpp>
#include <support/resources.hpp>
#include <zcpool/sys/uring.hpp>

namespace {

using namespace zcpool;

TEST_CASE("uring: requests are completed under their names", "[sys]") {
    auto made = sys::uring::create(4);
    if (!made) {
        SKIP("io_uring is not to be had");
    }
    sys::uring& ring = **made;
    int completed = 0;
    const auto count = [&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
        CHECK(name == 7);
        CHECK(result == 0);
        CHECK(flags == 0);
        ++completed;
    };
    ring.reap(count);
    CHECK(completed == 0);
    ring.wait(1);
    // More than there is room for: those before are handed over.
    for (int i = 0; i < 6; ++i) {
        io_uring_sqe* const place = ring.next_request();
        REQUIRE(place != nullptr);
        ::io_uring_prep_nop(place);
        place->user_data = 7;
    }
    REQUIRE(ring.submit());
    pollfd readable{ring.fd(), POLLIN, 0};
    CHECK(::poll(&readable, 1, 10'000) == 1);
    ring.reap(count);
    CHECK(completed == 6);
    CHECK(ring.supports(IORING_OP_NOP));
    CHECK_FALSE(ring.supports(255));
}

TEST_CASE("uring: one for a loop takes requests once enabled, and hands all over in one wait",
          "[sys]") {
    auto made = sys::uring::create_for_loop(4);
    if (!made) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    sys::uring& ring = **made;
    std::uint64_t sum = 0;
    const auto add = [&](std::uint64_t name, std::int32_t result, std::uint32_t) {
        CHECK(result == 0);
        sum += name;
    };
    for (const std::uint64_t name : {1U, 2U, 4U}) {
        io_uring_sqe* const place = ring.next_request();
        REQUIRE(place != nullptr);
        ::io_uring_prep_nop(place);
        place->user_data = name;
    }
    CHECK_FALSE(ring.submit());
    REQUIRE(ring.enable());
    ring.reap(add);
    CHECK(sum == 0);
    ring.submit_and_wait(-1);
    ring.reap(add);
    CHECK(sum == 7);
    ring.submit_and_wait(1);  // nothing comes: the time is the end
}

TEST_CASE("uring: a request that was not handed over yet can be made to do nothing", "[sys]") {
    auto made = sys::uring::create(4);
    if (!made) {
        SKIP("io_uring is not to be had");
    }
    sys::uring& ring = **made;
    const int descriptor = ::dup(0);
    for (int turn = 0; turn < 3; ++turn) {  // the places are used again
        for (const std::uint64_t name : {1U, 2U, 3U}) {
            io_uring_sqe* const place = ring.next_request();
            REQUIRE(place != nullptr);
            ::io_uring_prep_close(place, name == 2 ? descriptor : -1);
            place->user_data = name;
        }
        CHECK(ring.disarm(2, 20));
        CHECK_FALSE(ring.disarm(4, 40));
        CHECK(ring.prepared() == 3);
        REQUIRE(ring.submit());
        int completed = 0;
        for (int i = 0; i < 1'000 && completed < 3; ++i) {
            ring.wait(10);
            ring.reap([&](std::uint64_t name, std::int32_t result, std::uint32_t) {
                CHECK((name == 20 ? result == 0 : result == -EBADF));
                ++completed;
            });
        }
        CHECK(completed == 3);
        CHECK(ring.prepared() == 0);
        CHECK_FALSE(ring.disarm(2, 20));
    }
    CHECK(::close(descriptor) == 0);
}

TEST_CASE("uring: linked requests find room together, or what is prepared goes first", "[sys]") {
    auto made = sys::uring::create(4);
    if (!made) {
        SKIP("io_uring is not to be had");
    }
    sys::uring& ring = **made;
    int completed = 0;
    const auto count = [&](std::uint64_t, std::int32_t, std::uint32_t) { ++completed; };
    for (unsigned i = 0; i < 3; ++i) {
        CHECK(ring.make_room(1));
        CHECK(ring.prepared() == i);
        io_uring_sqe* const place = ring.next_request();
        REQUIRE(place != nullptr);
        ::io_uring_prep_nop(place);
    }
    CHECK(ring.make_room(2));
    CHECK(ring.prepared() == 0);
    ring.reap(count);
    CHECK(completed == 3);
    CHECK_FALSE(ring.make_room(5));  // than it has places
}

TEST_CASE("uring: a registered file is named by its place, and open while it stands there",
          "[sys]") {
    auto made = sys::uring::create(4);
    if (!made) {
        SKIP("io_uring is not to be had");
    }
    sys::uring& ring = **made;
    if (!ring.reserve_files(2)) {
        SKIP("sparse tables of files are Linux 5.19");
    }
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(ring.set_file(1, ends[1]));
    ::close(ends[1]);
    for (const unsigned place : {1U, 0U}) {
        io_uring_sqe* const request = ring.next_request();
        REQUIRE(request != nullptr);
        ::io_uring_prep_write(request, static_cast<int>(place), "x", 1, 0);
        request->flags |= IOSQE_FIXED_FILE;
        REQUIRE(ring.submit());
        ring.wait(10'000);
        int completed = 0;
        ring.reap([&](std::uint64_t, std::int32_t result, std::uint32_t) {
            ++completed;
            CHECK(result == (place == 1 ? 1 : -EBADF));
        });
        CHECK(completed == 1);
    }
    char got = 0;
    CHECK(::read(ends[0], &got, 1) == 1);
    REQUIRE(ring.set_file(1, -1));
    CHECK(::read(ends[0], &got, 1) == 0);  // now it is closed
    CHECK_FALSE(ring.set_file(2, ends[0]).has_value());
    ::close(ends[0]);
}

TEST_CASE("uring: numbers that stand here are those of the kernel", "[sys]") {
    CHECK(sys::op_send_zc == IORING_OP_SEND_ZC);
    CHECK(sys::send_from_registered == IORING_RECVSEND_FIXED_BUF);
    CHECK(sys::op_sendmsg_zc == IORING_OP_SENDMSG_ZC);
    CHECK(sys::setup_coop_taskrun == IORING_SETUP_COOP_TASKRUN);
    CHECK(sys::setup_single_issuer == IORING_SETUP_SINGLE_ISSUER);
    CHECK(sys::setup_defer_taskrun == IORING_SETUP_DEFER_TASKRUN);
}

TEST_CASE("uring: a ring that cannot be is an error, and one that ends leaves nothing", "[sys]") {
    CHECK_FALSE(sys::uring::create(0).has_value());
    const zcpool_test::held before;
    static_cast<void>(sys::uring::create(4));
    CHECK(before == zcpool_test::held{});
}

}  // namespace
