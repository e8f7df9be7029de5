// SPDX-License-Identifier: MIT
#include <cerrno>
#include <utility>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/sys/event_fd.hpp>

namespace {

using namespace zcpool;
using zcpool_test::is_readable;

TEST_CASE("event_fd: readable from its first signal until it is cleared", "[sys]") {
    auto event = sys::event_fd::create().value();
    CHECK_FALSE(is_readable(event.get()));
    event.clear();  // does not block
    event.signal();
    event.signal();
    CHECK(is_readable(event.get()));
    event.clear();
    CHECK_FALSE(is_readable(event.get()));
}

TEST_CASE("event_fd: what the system refuses is an error", "[sys]") {
    const long before = zcpool_test::open_descriptors();
    zcpool_test::faults broken;
    broken.fail_call(0, EMFILE);
    const auto made = sys::event_fd::create();
    REQUIRE_FALSE(made.has_value());
    CHECK(sys::is_errno(made.error(), EMFILE));
    CHECK(zcpool_test::open_descriptors() == before);
}

TEST_CASE("event_fd: a signal or a clearing that a signal interrupts is made again", "[sys]") {
    auto event = sys::event_fd::create().value();
    zcpool_test::faults broken;
    broken.fail_call(0, EINTR);
    event.signal();
    CHECK(is_readable(event.get()));
    broken.fail_call(0, EINTR);
    event.clear();
    CHECK_FALSE(is_readable(event.get()));
}

}  // namespace
