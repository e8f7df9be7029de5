// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace {

using namespace zcpool;
using sys::memfd;
using zcpool_test::faults;
using zcpool_test::held;
using zcpool_test::system_error;

constexpr std::size_t pages = 8;
constexpr std::size_t bytes = pages * page_size;

memfd make() {
    auto made = memfd::create("zcpool-test", bytes);
    REQUIRE(made.has_value());
    return std::move(*made);
}

struct stat status_of(const memfd& file) {
    struct stat status{};
    REQUIRE(::fstat(file.fd(), &status) == 0);
    return status;
}

std::size_t allocated_bytes(const memfd& file) {
    return static_cast<std::size_t>(status_of(file).st_blocks) * 512;
}

/// Whether a range of the file is all the same byte.
bool is_all(const memfd& file, std::size_t offset, std::size_t count, char wanted) {
    std::vector<char> found(count);
    REQUIRE(::pread(file.fd(), found.data(), count, static_cast<off_t>(offset)) ==
            static_cast<ssize_t>(count));
    return std::all_of(found.begin(), found.end(), [&](char each) { return each == wanted; });
}

void overwrite(const memfd& file, char with) {
    const std::string text(bytes, with);
    REQUIRE(::pwrite(file.fd(), text.data(), bytes, 0) == static_cast<ssize_t>(bytes));
}

TEST_CASE("memfd: is new, as long as asked, and nobody else's", "[sys]") {
    const memfd file = make();
    CHECK(file.bytes() == bytes);
    const auto status = status_of(file);
    CHECK(status.st_size == bytes);
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(is_all(file, 0, bytes, '\0'));
    CHECK((::fcntl(file.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    // Not sealed yet, but it can be.
    CHECK((::fcntl(file.fd(), F_GET_SEALS) &
           (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)) == 0);
}

TEST_CASE("memfd: a descriptor that was made elsewhere is taken over", "[sys]") {
    const held before;
    {
        memfd file = make();
        const memfd taken = memfd::adopt(sys::unique_fd{::dup(file.fd())}, bytes);
        CHECK(taken.bytes() == bytes);
        overwrite(file, 'x');
        CHECK(is_all(taken, 0, bytes, 'x'));
    }
    CHECK(before == held{});
}

TEST_CASE("memfd: two of a name are two files", "[sys]") {
    const memfd first = make();
    const memfd second = make();
    overwrite(first, 'x');
    CHECK(is_all(second, 0, bytes, '\0'));
}

TEST_CASE("memfd: where the kernel can, nobody makes it executable", "[sys]") {
    constexpr unsigned noexec_seal = 0x0008;
    if (!sys::unique_fd{::memfd_create("zcpool-test", MFD_CLOEXEC | noexec_seal)}) {
        SKIP("MFD_NOEXEC_SEAL needs Linux 6.3");
    }
    const memfd file = make();
    CHECK((::fchmod(file.fd(), 0700) == -1 && errno == EPERM));
}

TEST_CASE("memfd: a kernel that does not know MFD_NOEXEC_SEAL will do, without it", "[sys]") {
    const faults old;
    faults::forget_noexec_seal();
    memfd file = make();
    CHECK((status_of(file).st_mode & 07777) == 0600);
    CHECK((::fcntl(file.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(::fcntl(file.fd(), F_GET_SEALS) == 0);
    CHECK(file.seal().has_value());
}

TEST_CASE("memfd: what the kernel refuses with EINVAL anyway is EINVAL", "[sys]") {
    CHECK(memfd::create(std::string(300, 'n').c_str(), bytes).error() == system_error(EINVAL));
    CHECK(memfd::create("zcpool-test", SIZE_MAX).error() == system_error(EINVAL));
}

TEST_CASE("memfd: other refusals of the first call are not retried", "[sys]") {
    for (const int error : {EPERM, ENOSYS, EMFILE}) {
        faults broken;
        broken.fail_call(0, error);
        CHECK(memfd::create("zcpool-test", bytes).error() == system_error(error));
        CHECK(faults::calls() == 1);
    }
}

TEST_CASE("memfd: sealed, it keeps its size and its seals, and its bytes still change", "[sys]") {
    memfd file = make();
    REQUIRE(file.seal().has_value());
    CHECK((::ftruncate(file.fd(), bytes - 1) == -1 && errno == EPERM));
    CHECK((::ftruncate(file.fd(), bytes + 1) == -1 && errno == EPERM));
    CHECK((::fcntl(file.fd(), F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM));
    CHECK((::pwrite(file.fd(), "x", 1, bytes) == -1 && errno == EPERM));
    CHECK(file.seal().error() == system_error(EPERM));  // once and for all

    overwrite(file, 'x');
    CHECK(file.punch(0, bytes).has_value());
    CHECK(file.allocate(0, bytes).has_value());
    CHECK(file.allocate(bytes, page_size).error() == system_error(EPERM));
    CHECK(status_of(file).st_size == bytes);
}

TEST_CASE("memfd: allocating takes the memory of the range and changes no byte", "[sys]") {
    const memfd file = make();
    CHECK(allocated_bytes(file) == 0);
    REQUIRE(file.allocate(page_size, 3 * page_size).has_value());
    CHECK(allocated_bytes(file) == 3 * page_size);
    overwrite(file, 'x');
    REQUIRE(file.allocate(0, bytes).has_value());
    CHECK(allocated_bytes(file) == bytes);
    CHECK(is_all(file, 0, bytes, 'x'));
}

TEST_CASE("memfd: punching frees the range, which then reads zero, and nothing else", "[sys]") {
    const memfd file = make();
    overwrite(file, 'x');
    REQUIRE(file.punch(2 * page_size, 3 * page_size).has_value());
    CHECK(is_all(file, 0, 2 * page_size, 'x'));
    CHECK(is_all(file, 2 * page_size, 3 * page_size, '\0'));
    CHECK(is_all(file, 5 * page_size, 3 * page_size, 'x'));
    CHECK(allocated_bytes(file) == bytes - 3 * page_size);
    // At the end of the file the size stays too.
    REQUIRE(file.punch(5 * page_size, 3 * page_size).has_value());
    CHECK(status_of(file).st_size == bytes);
}

TEST_CASE("memfd: a range that is none is refused", "[sys]") {
    const memfd file = make();
    CHECK(file.allocate(0, 0).error() == system_error(EINVAL));
    CHECK(file.punch(0, SIZE_MAX).error() == system_error(EINVAL));
    const memfd empty;
    CHECK(empty.fd() == -1);
    CHECK(empty.bytes() == 0);
    CHECK(empty.punch(0, page_size).error() == system_error(EBADF));
}

TEST_CASE("memfd: whichever call fails, the error is its own and no descriptor is left", "[sys]") {
    const held before;
    const auto use = []() -> result<void> {
        auto file = memfd::create("zcpool-test", bytes);
        if (!file) {
            return fail(file.error());
        }
        if (auto done = file->seal(); !done) {
            return done;
        }
        if (auto done = file->allocate(0, bytes); !done) {
            return done;
        }
        return file->punch(0, bytes);
    };
    constexpr int calls = 6;  // memfd_create, fchmod, ftruncate, add_seals, fallocate twice
    for (int i = 0; i < calls; ++i) {
        faults broken;
        broken.fail_call(i, ENFILE);
        const auto done = use();
        REQUIRE_FALSE(done.has_value());
        CHECK(done.error() == system_error(ENFILE));
        CHECK(faults::calls() == i + 1);
    }
    faults broken;
    broken.fail_call(calls, ENFILE);
    CHECK(use().has_value());
    CHECK(faults::calls() == calls);
    CHECK(before == held{});
}

TEST_CASE("memfd: a move hands the file over, and it is closed once", "[sys]") {
    const held before;
    {
        memfd first = make();
        const int fd = first.fd();
        memfd second{std::move(first)};
        CHECK(first.fd() == -1);  // NOLINT(bugprone-use-after-move): it is empty by promise
        CHECK(first.bytes() == 0);
        CHECK(second.fd() == fd);
        CHECK(second.bytes() == bytes);
        second = make();
        CHECK(::fcntl(fd, F_GETFD) == -1);
    }
    CHECK(before == held{});
}

}  // namespace
