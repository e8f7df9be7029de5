// SPDX-License-Identifier: MIT
#include <poll.h>

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

TEST_CASE("uring: numbers that stand here are those of the kernel", "[sys]") {
    CHECK(sys::op_sendmsg_zc == IORING_OP_SENDMSG_ZC);
}

TEST_CASE("uring: a ring that cannot be is an error, and one that ends leaves nothing", "[sys]") {
    CHECK_FALSE(sys::uring::create(0).has_value());
    const zcpool_test::held before;
    static_cast<void>(sys::uring::create(4));
    CHECK(before == zcpool_test::held{});
}

}  // namespace
