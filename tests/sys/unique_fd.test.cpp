// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <type_traits>
#include <utility>

#include <support/catch.hpp>
#include <support/resources.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace {

using zcpool::sys::unique_fd;
using zcpool_test::held;

static_assert(!std::is_copy_constructible_v<unique_fd>);
static_assert(!std::is_copy_assignable_v<unique_fd>);
static_assert(!std::is_convertible_v<int, unique_fd>);
static_assert(std::is_nothrow_move_constructible_v<unique_fd>);
static_assert(sizeof(unique_fd) == sizeof(int));

int open_something() {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST_CASE("unique_fd: an empty one holds nothing and closes nothing", "[sys]") {
    const held before;
    {
        unique_fd empty;
        CHECK_FALSE(empty);
        CHECK(empty.get() == -1);
        CHECK(empty.release() == -1);
        empty.reset();
        const unique_fd none{-1};
        CHECK_FALSE(none);
    }
    CHECK(before == held{});
}

TEST_CASE("unique_fd: descriptor 0 is one like any other", "[sys]") {
    unique_fd zero{0};
    CHECK(zero);
    CHECK(zero.release() == 0);
}

TEST_CASE("unique_fd: closes at its end", "[sys]") {
    const int fd = open_something();
    {
        const unique_fd owner{fd};
        CHECK(owner);
        CHECK(owner.get() == fd);
    }
    CHECK_FALSE(is_open(fd));
}

TEST_CASE("unique_fd: closes once, not what got the number afterwards", "[sys]") {
    const int fd = open_something();
    {
        unique_fd owner{fd};
        owner.reset();
        CHECK_FALSE(owner);
        REQUIRE_FALSE(is_open(fd));
        REQUIRE(open_something() == fd);  // a stranger with the same number
        owner.reset();
        CHECK(is_open(fd));
    }
    CHECK(is_open(fd));
    ::close(fd);
}

TEST_CASE("unique_fd: what is released stays open", "[sys]") {
    const int fd = open_something();
    {
        unique_fd owner{fd};
        CHECK(owner.release() == fd);
        CHECK_FALSE(owner);
    }
    CHECK(is_open(fd));
    ::close(fd);
}

TEST_CASE("unique_fd: a move leaves the source empty and the descriptor open", "[sys]") {
    const int fd = open_something();
    unique_fd second;
    {
        unique_fd first{fd};
        second = unique_fd{std::move(first)};
        CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): it is empty by promise
    }
    CHECK(second.get() == fd);
    CHECK(is_open(fd));
}

TEST_CASE("unique_fd: closes what is replaced", "[sys]") {
    const int first = open_something();
    const int second = open_something();
    unique_fd owner{first};
    owner = unique_fd{second};
    CHECK_FALSE(is_open(first));
    CHECK(is_open(second));
    owner = unique_fd{};
    CHECK_FALSE(is_open(second));
}

TEST_CASE("unique_fd: a duplicate is another descriptor for the same, and stays open alone",
          "[sys]") {
    const held before;
    {
        unique_fd first{open_something()};
        const auto second = unique_fd::duplicate(first.get());
        REQUIRE(second.has_value());
        CHECK(second->get() != first.get());
        CHECK((::fcntl(second->get(), F_GETFD) & FD_CLOEXEC) != 0);
        first.reset();
        CHECK(is_open(second->get()));
    }
    CHECK(before == held{});
    CHECK(unique_fd::duplicate(-1).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("unique_fd: keeps its descriptor when it is moved to itself", "[sys]") {
    const int fd = open_something();
    unique_fd owner{fd};
    unique_fd& itself = owner;
    owner = std::move(itself);
    CHECK(owner.get() == fd);
    CHECK(is_open(fd));
}

}  // namespace
