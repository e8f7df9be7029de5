// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/mirror_mapping.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace {

using namespace zcpool;
using sys::memfd;
using sys::mirror_mapping;
using zcpool_test::faults;

static_assert(!std::is_copy_constructible_v<mirror_mapping>);
static_assert(std::is_nothrow_move_constructible_v<mirror_mapping>);

constexpr std::size_t front = page_size;
constexpr std::size_t bytes = 4 * page_size;

memfd make_file() {
    auto made = memfd::create("zcpool-test", front + bytes);
    REQUIRE(made.has_value());
    return std::move(*made);
}

mirror_mapping make(const memfd& file) {
    auto made = mirror_mapping::shared(file.fd(), front, bytes);
    REQUIRE(made.has_value());
    return std::move(*made);
}

TEST_CASE("mirror_mapping: an empty one has nothing", "[sys]") {
    const mirror_mapping empty;
    CHECK_FALSE(empty);
    CHECK(empty.size() == 0);
}

TEST_CASE("mirror_mapping: what runs over the end goes on at the beginning", "[sys]") {
    const memfd file = make_file();
    const mirror_mapping tested = make(file);
    REQUIRE(tested);
    CHECK(tested.size() == bytes);
    CHECK(tested.data() == tested.front() + front);
    std::memcpy(tested.data() + bytes - 3, "contiguous", 10);
    CHECK(std::memcmp(tested.data(), "tiguous", 7) == 0);
    CHECK(std::memcmp(tested.data() + bytes - 3, "con", 3) == 0);
    // Every byte of the ring is there twice, the one in front once.
    for (std::size_t i = 0; i < bytes; i += 511) {
        tested.data()[i] = std::byte{static_cast<unsigned char>(i % 251)};
        CHECK(tested.data()[bytes + i] == std::byte{static_cast<unsigned char>(i % 251)});
        tested.data()[bytes + i] = std::byte{3};
        CHECK(tested.data()[i] == std::byte{3});
    }
    *tested.front() = std::byte{9};
    char in_file[2] = {};
    REQUIRE(::pread(file.fd(), in_file, 1, 0) == 1);
    CHECK(in_file[0] == 9);
    REQUIRE(::pread(file.fd(), in_file, 1, static_cast<off_t>(front)) == 1);
    CHECK(in_file[0] == 3);
}

TEST_CASE("mirror_mapping: another mapping of the file has the same bytes", "[sys]") {
    const memfd file = make_file();
    const mirror_mapping first = make(file);
    const mirror_mapping second = make(file);
    REQUIRE(first.data() != second.data());
    first.data()[2 * bytes - 1] = std::byte{7};
    CHECK(second.data()[bytes - 1] == std::byte{7});
    CHECK(zcpool_test::status_of([&] {
              second.data()[bytes] = std::byte{8};
              return 0;
          }) == 0);
    CHECK(first.data()[0] == std::byte{8});
}

/// Page faults of writing all of it. The kernel writes: sanitizers would add faults of their own.
long faults_of_writing(const mirror_mapping& tested) {
    const sys::unique_fd zeros{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    struct rusage before{};
    struct rusage after{};
    REQUIRE(::getrusage(RUSAGE_THREAD, &before) == 0);
    const ssize_t written = ::read(zeros.get(), tested.front(), front + 2 * bytes);
    REQUIRE(::getrusage(RUSAGE_THREAD, &after) == 0);
    REQUIRE(written == static_cast<ssize_t>(front + 2 * bytes));
    return after.ru_minflt - before.ru_minflt;
}

TEST_CASE("mirror_mapping: populating leaves no page to be faulted in, either time", "[sys]") {
    const memfd file = make_file();
    const mirror_mapping fresh = make(file);
    const mirror_mapping tested = make(file);
    const auto done = tested.populate();
    if (!done && sys::is_errno(done.error(), EINVAL)) {
        SKIP("MADV_POPULATE_WRITE needs Linux 5.14");
    }
    REQUIRE(done.has_value());
    // None is the answer; AddressSanitizer adds one or two around the call.
    const long found = faults_of_writing(tested);
    CHECK(found < static_cast<long>(bytes / page_size));
    CHECK(found < faults_of_writing(fresh));
}

TEST_CASE("mirror_mapping: unmaps both times, once, also after moves", "[sys]") {
    const memfd file = make_file();
    const zcpool_test::held before;
    std::byte* address = nullptr;
    {
        mirror_mapping first = make(file);
        address = first.front();
        mirror_mapping second{std::move(first)};
        CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): it is empty by promise
        CHECK(first.size() == 0);
        mirror_mapping third;
        third = std::move(second);
        CHECK(third.front() == address);
        CHECK(third.size() == bytes);
        mirror_mapping& itself = third;
        third = std::move(itself);
        CHECK(third.size() == bytes);
        CHECK(third.data()[2 * bytes - 1] == std::byte{0});
    }
    for (std::size_t at = 0; at < front + 2 * bytes; at += page_size) {
        unsigned char present = 0;
        CHECK(::mincore(address + at, page_size, &present) == -1);
    }
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("mirror_mapping: whichever call is refused, the error is told and nothing stays",
          "[sys]") {
    const memfd file = make_file();
    const zcpool_test::held before;
    for (const long refused : {0, 1, 2}) {
        faults broken;
        broken.fail_call(refused, EAGAIN);
        const auto got = mirror_mapping::shared(file.fd(), front, bytes);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error() == std::error_code(EAGAIN, std::system_category()));
        CHECK(faults::calls() == refused + 1);
    }
    CHECK(before == zcpool_test::held{});
    CHECK(mirror_mapping::shared(-1, front, bytes).error() ==
          std::error_code(EBADF, std::system_category()));
}

TEST_CASE("mirror_mapping: sizes beyond the address space are refused", "[sys]") {
    const memfd file = make_file();
    constexpr std::size_t huge = SIZE_MAX - SIZE_MAX % page_size;
    for (const auto& [ahead, ring] :
         {std::pair{huge, bytes}, std::pair{front, huge}, std::pair{front, SIZE_MAX / 2 + 1}}) {
        const auto got = mirror_mapping::shared(file.fd(), ahead, ring);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error() == std::errc::not_enough_memory);
    }
}

}  // namespace
