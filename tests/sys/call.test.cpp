// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <thread>
#include <type_traits>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/interrupts.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/pipe.hpp>

namespace {

using namespace zcpool;
using sys::call;
using zcpool_test::faults;

/// A system call that fails so many times before it answers.
template <class T>
struct flaky {
    int failures;
    int error;
    T answer;
    T failure;
    int calls = 0;

    T operator()() {
        if (calls++ < failures) {
            errno = error;
            return failure;
        }
        return answer;
    }
};

TEST_CASE("call: the answer is the result, a short count and zero too", "[sys]") {
    errno = EIO;  // of an older call, and nobody's business
    CHECK(call([] { return 0; }) == 0);
    CHECK(call([] { return ssize_t{17}; }) == 17);
    CHECK(call([] { return -2; }) == -2);  // only -1 means "look at errno"
    static_assert(std::is_same_v<decltype(call([] { return 1L; })), result<long>>);
}

TEST_CASE("call: is made again for as long as signals interrupt it", "[sys]") {
    flaky<ssize_t> interrupted{3, EINTR, 7, -1};
    CHECK(call(interrupted) == 7);
    CHECK(interrupted.calls == 4);

    flaky<ssize_t> never{0, EINTR, 7, -1};
    CHECK(call(never) == 7);
    CHECK(never.calls == 1);
}

TEST_CASE("call: any other errno is the error, after one call", "[sys]") {
    for (const int error : {EPERM, ENOMEM, EAGAIN, EINVAL, ENOSYS, EBADF, EPIPE, ETIMEDOUT}) {
        flaky<long> failing{1, error, 7, -1};
        const auto answer = call(failing);
        REQUIRE_FALSE(answer.has_value());
        CHECK(answer.error() == std::error_code(error, std::system_category()));
        CHECK(failing.calls == 1);
    }
}

TEST_CASE("call: an address fails as MAP_FAILED and not as a null pointer", "[sys]") {
    int object = 0;
    flaky<void*> failing{1, ENOMEM, &object, MAP_FAILED};
    CHECK(call(failing).error() == std::errc::not_enough_memory);
    CHECK(call(failing) == &object);
    CHECK(call([]() -> void* { return nullptr; }) == nullptr);
    flaky<void*> interrupted{2, EINTR, &object, MAP_FAILED};
    CHECK(call(interrupted) == &object);
    CHECK(interrupted.calls == 3);
}

TEST_CASE("call: an errno is recognised by its number and by whose number it is", "[sys]") {
    CHECK(sys::is_errno({EINVAL, std::system_category()}, EINVAL));
    CHECK_FALSE(sys::is_errno({EINVAL, std::system_category()}, EPERM));
    CHECK_FALSE(sys::is_errno({EINVAL, std::generic_category()}, EINVAL));
    static_assert(static_cast<int>(errc::exhausted) == EPERM);
    CHECK_FALSE(sys::is_errno(errc::exhausted, EPERM));
    CHECK_FALSE(sys::is_errno({}, EINVAL));
}

TEST_CASE("call: an interrupted call of the library is made again", "[sys]") {
    faults interrupted;
    interrupted.fail_call(0, EINTR, 5);
    auto file = sys::memfd::create("zcpool-test", 4096);
    REQUIRE(file.has_value());
    CHECK(faults::calls() == 5 + 3);  // memfd_create, fchmod, ftruncate
    interrupted.fail_call(0, EINTR, 2);
    CHECK(file->seal().has_value());
    CHECK(faults::calls() == 3);
}

TEST_CASE("call: real signals do not get a blocked read to give up", "[sys]") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);  // it blocks
    sys::pipe blocking{sys::unique_fd{ends[0]}, sys::unique_fd{ends[1]}};
    const zcpool_test::interrupts timer;
    char byte = 0;
    // What call() is for: without it the read fails.
    CHECK((::read(ends[0], &byte, 1) == -1 && errno == EINTR));

    const pid_t reader = zcpool_test::thread_number();
    std::thread writer{[&] {
        zcpool_test::wait_asleep(reader);
        zcpool_test::interrupts::wait_for(5);
        static_cast<void>(call([&] { return ::write(ends[1], "x", 1); }));
    }};
    const auto got = blocking.read(&byte, 1);
    writer.join();
    REQUIRE(got.has_value());
    CHECK(*got == 1);
    CHECK(byte == 'x');
}

TEST_CASE("call: only want of room counts as blocking", "[sys]") {
    const auto is_blocking = [](int code) {
        return zcpool::sys::would_block(std::error_code{code, std::system_category()});
    };
    CHECK(is_blocking(EAGAIN));
    CHECK_FALSE(is_blocking(EPIPE));
    CHECK_FALSE(is_blocking(ENOBUFS));
    CHECK_FALSE(zcpool::sys::would_block(zcpool::errc::exhausted));
}

}  // namespace
