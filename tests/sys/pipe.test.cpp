// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/pipe.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;
using zcpool_test::system_error;

constexpr std::size_t pages = 8;
constexpr std::size_t bytes = pages * page_size;

sys::pipe make_pipe() {
    auto made = sys::pipe::create();
    REQUIRE(made.has_value());
    return std::move(*made);
}

/// A mapped file whose pages are small and hold their own numbers.
struct numbered_file {
    sys::memfd file;
    sys::mapping memory;

    explicit numbered_file(std::size_t size = bytes) {
        auto made = sys::memfd::create("zcpool-test", size);
        REQUIRE(made.has_value());
        file = std::move(*made);
        auto mapped = sys::mapping::shared(file.fd(), size);
        REQUIRE(mapped.has_value());
        memory = std::move(*mapped);
        // A part of a large page would be emptied in place. Kernels without them answer EINVAL.
        static_cast<void>(memory.advise(0, size, MADV_NOHUGEPAGE));
        for (std::size_t page = 0; page < size / page_size; ++page) {
            fill(page, std::byte(page));
        }
    }

    void fill(std::size_t page, std::byte with) const {
        std::fill_n(memory.data() + page * page_size, page_size, with);
    }
};

/// What comes out of the pipe until it is empty.
std::vector<std::byte> drain(sys::pipe& from) {
    std::vector<std::byte> all;
    for (;;) {
        std::vector<std::byte> part(3000);
        const auto got = from.read(part.data(), part.size());
        if (!got) {
            REQUIRE(got.error() == system_error(EAGAIN));
            return all;
        }
        all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(*got));
    }
}

std::vector<std::byte> page_of(std::byte value) { return std::vector<std::byte>(page_size, value); }

TEST_CASE("pipe: neither end blocks, nor is inherited by a program that is executed", "[sys]") {
    sys::pipe tested = make_pipe();
    for (const int fd : {tested.read_end.get(), tested.write_end.get()}) {
        REQUIRE((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    std::byte byte{};
    CHECK(tested.read(&byte, 1).error() == system_error(EAGAIN));
    tested.write_end.reset();
    CHECK(tested.read(&byte, 1) == 0);
}

TEST_CASE("pipe: a range of a file comes out as it is, from its offset on", "[sys]") {
    const numbered_file source;
    sys::pipe tested = make_pipe();
    CHECK(tested.fill_from(source.file.fd(), 3 * page_size - 1, 2) == 2);
    CHECK(drain(tested) == std::vector{std::byte{2}, std::byte{3}});
    CHECK(tested.fill_from(source.file.fd(), bytes - 1, 100) == 1);
    CHECK(tested.fill_from(source.file.fd(), bytes, 100) == 0);
    CHECK(drain(tested) == std::vector{std::byte{pages - 1}});
    CHECK(::lseek(source.file.fd(), 0, SEEK_CUR) == 0);  // nobody's position has moved
}

TEST_CASE("pipe: takes what fits, and then nothing until it is read", "[sys]") {
    const numbered_file source{64 * page_size};
    sys::pipe tested = make_pipe();
    const auto slots = static_cast<std::size_t>(::fcntl(tested.write_end.get(), F_GETPIPE_SZ));
    REQUIRE(slots < 64 * page_size);
    std::size_t taken = 0;
    for (;;) {
        const auto more = tested.fill_from(source.file.fd(), taken, 64 * page_size - taken);
        if (!more) {
            CHECK(more.error() == system_error(EAGAIN));
            break;
        }
        taken += *more;
    }
    CHECK(taken == slots);
    CHECK(drain(tested).size() == taken);
    CHECK(tested.fill_from(source.file.fd(), 0, 1) == 1);
}

// The hazard that this library is about: a call that has returned says nothing about the pages.
TEST_CASE("pipe: holds the file's pages, so that later writes change what is read", "[sys]") {
    const numbered_file source;
    sys::pipe tested = make_pipe();
    REQUIRE(tested.fill_from(source.file.fd(), 0, page_size) == page_size);
    source.fill(0, std::byte{0xEE});
    CHECK(drain(tested) == page_of(std::byte{0xEE}));
}

// And the way out of it: new pages for the file, and the pipe keeps the old.
TEST_CASE("pipe: keeps the old pages when they are punched out of the file", "[sys]") {
    const numbered_file source;
    sys::pipe tested = make_pipe();
    REQUIRE(tested.fill_from(source.file.fd(), page_size, 2 * page_size) == 2 * page_size);
    REQUIRE(source.file.punch(page_size, page_size).has_value());
    CHECK(source.memory.data()[page_size] == std::byte{0});
    source.fill(1, std::byte{0xEE});
    source.fill(2, std::byte{0xEE});

    auto expected = page_of(std::byte{1});  // punched
    const auto behind = page_of(std::byte{0xEE});
    expected.insert(expected.end(), behind.begin(), behind.end());
    CHECK(drain(tested) == expected);
    CHECK(source.memory.data()[page_size] == std::byte{0xEE});
}

TEST_CASE("pipe: takes pages of memory, in order, and the same pages that the file has", "[sys]") {
    const numbered_file source;
    sys::pipe tested = make_pipe();
    const std::array<iovec, 2> parts{{{source.memory.data() + 2 * page_size, page_size},
                                      {source.memory.data() + 5 * page_size, page_size}}};
    REQUIRE(tested.fill_from(parts) == 2 * page_size);
    source.fill(2, std::byte{0xEE});  // the hazard
    REQUIRE(source.file.punch(5 * page_size, page_size).has_value());
    source.fill(5, std::byte{0xEE});  // and the way out of it
    auto expected = page_of(std::byte{0xEE});
    const auto behind = page_of(std::byte{5});
    expected.insert(expected.end(), behind.begin(), behind.end());
    CHECK(drain(tested) == expected);
}

TEST_CASE("pipe: moves what it holds into another, and says when that is full", "[sys]") {
    const numbered_file source;
    sys::pipe from = make_pipe();
    sys::pipe to = make_pipe();
    REQUIRE(to.resize(page_size)->bytes == page_size);
    REQUIRE(from.fill_from(source.file.fd(), 0, 2 * page_size) == 2 * page_size);
    CHECK(from.drain_into(to.write_end.get(), 2 * page_size, true) == page_size);
    CHECK(from.drain_into(to.write_end.get(), page_size, false).error() == system_error(EAGAIN));
    CHECK(drain(to) == page_of(std::byte{0}));
    CHECK(from.drain_into(to.write_end.get(), page_size, false) == page_size);
    CHECK(drain(to) == page_of(std::byte{1}));
    CHECK(from.drain_into(-1, 1, false).error() == system_error(EBADF));
}

TEST_CASE("pipe: gets the room that it asks for, or as much as the system gives, and why",
          "[sys]") {
    sys::pipe tested = make_pipe();
    auto room = tested.resize(1 << 20);
    REQUIRE(room.has_value());
    CHECK(room->bytes == 1 << 20);
    CHECK_FALSE(room->refusal);
    CHECK(tested.resize(8192)->bytes == 8192);
    CHECK(tested.resize(std::size_t{4} << 30)->bytes > 8192);  // not of its lower 32 bits
    CHECK(tested.resize(8192)->bytes == 8192);
    faults broken;
    faults::shorten_pipes(200'000);
    room = tested.resize(1 << 20);
    CHECK(room->bytes == 131'072);
    CHECK(room->refusal == system_error(EPERM));
    faults::shorten_pipes(4096);
    room = tested.resize(1 << 20);
    CHECK(room->bytes == 131'072);  // as it was
    CHECK(room->refusal == system_error(EPERM));
    broken.fail_call(0, EBADF);
    CHECK(tested.resize(4096).error() == system_error(EBADF));
}

TEST_CASE("pipe: keeps the pages of a file that is gone", "[sys]") {
    sys::pipe tested = make_pipe();
    {
        const numbered_file source;
        REQUIRE(tested.fill_from(source.file.fd(), 5 * page_size, page_size) == page_size);
    }
    CHECK(drain(tested) == page_of(std::byte{5}));
}

TEST_CASE("pipe: what the system refuses is told, and nothing is leaked", "[sys]") {
    const zcpool_test::held before;
    {
        const numbered_file source;
        faults broken;
        broken.fail_call(0, EMFILE);
        CHECK(sys::pipe::create().error() == system_error(EMFILE));
        broken.fail_call(0, EINTR);
        sys::pipe tested = make_pipe();
        broken.fail_call(0, ENOMEM);
        CHECK(tested.fill_from(source.file.fd(), 0, 1).error() == system_error(ENOMEM));
        CHECK(tested.fill_from(-1, 0, 1).error() == system_error(EBADF));
        broken.fail_call(0, EIO);
        std::byte byte{};
        CHECK(tested.read(&byte, 1).error() == system_error(EIO));
    }
    CHECK(before == zcpool_test::held{});
}

}  // namespace
