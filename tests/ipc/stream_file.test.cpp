// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/stream_file.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::page_size;
using zcpool::ipc::stream_file;
using zcpool::ipc::stream_table;
using zcpool::sys::unique_fd;

constexpr std::size_t capacity = 4 * page_size;

/// What a forger has in its hands.
struct forgery {
    stream_table table{.capacity = capacity};
    off_t bytes = page_size + capacity;
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    mode_t mode = 0600;
    int reopened = -1;  // with these flags, unless -1

    [[nodiscard]] unique_fd make() const {
        unique_fd file{::memfd_create("zcpool-forged", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
        REQUIRE(file);
        REQUIRE(::ftruncate(file.get(), bytes) == 0);
        if (bytes >= static_cast<off_t>(sizeof table)) {
            REQUIRE(::pwrite(file.get(), &table, sizeof table, 0) == sizeof table);
        }
        REQUIRE(::fchmod(file.get(), mode) == 0);
        REQUIRE(::fcntl(file.get(), F_ADD_SEALS, seals) == 0);
        if (reopened >= 0) {
            const std::string path = "/proc/self/fd/" + std::to_string(file.get());
            return unique_fd{::open(path.c_str(), reopened | O_CLOEXEC)};
        }
        return file;
    }
};

unique_fd opened(const char* path) { return unique_fd{::open(path, O_RDWR | O_CLOEXEC)}; }

unique_fd pipe_end() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ::close(ends[1]);
    return unique_fd{ends[0]};
}

unique_fd duplicate_of(int fd) {
    auto made = unique_fd::duplicate(fd);
    REQUIRE(made.has_value());
    return std::move(*made);
}

TEST_CASE("stream_file: a new one is sealed, zero, and can be attached to", "[ipc]") {
    const held before;
    {
        auto made = stream_file::create(capacity);
        REQUIRE(made.has_value());
        CHECK(::fcntl(made->file.fd(), F_GET_SEALS) >= (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
        CHECK(::ftruncate(made->file.fd(), 0) == -1);
        CHECK(made->pages.size() == capacity);
        CHECK(made->header().table.capacity == capacity);
        CHECK_FALSE(made->header().writer.was_closed());
        const auto other = stream_file::attach(duplicate_of(made->file.fd()));
        REQUIRE(other.has_value());
        CHECK(other->pages.size() == capacity);
        made->pages.data()[0] = std::byte{7};
        CHECK(other->pages.data()[capacity] == std::byte{7});
        made->header().writer.close();
        CHECK(other->header().writer.was_closed());
        CHECK_FALSE(other->header().reader.was_closed());
    }
    CHECK(before == held{});
}

TEST_CASE("stream_file: a capacity that is no power of two of pages is refused", "[ipc]") {
    for (const std::size_t wrong :
         {std::size_t{0}, std::size_t{1}, page_size / 2, page_size + 1, 3 * page_size,
          2 * zcpool::ipc::most_stream_capacity, SIZE_MAX}) {
        CHECK(stream_file::create(wrong).error() == errc::invalid_options);
    }
    CHECK(stream_file::create(page_size).has_value());
}

TEST_CASE("stream_file: what is no stream is refused by name, and closed", "[ipc]") {
    struct bad {
        const char* name;
        std::error_code expected;
        std::function<unique_fd()> make;
    };
    const auto changed = [](const char* name, errc expected, auto change) {
        return bad{name, expected, [change] {
                       forgery with;
                       change(with);
                       return with.make();
                   }};
    };
    const bad cases[] = {
        {"nothing", {EBADF, std::system_category()}, [] { return unique_fd{}; }},
        {"a pipe", errc::not_a_stream, pipe_end},
        {"a device", errc::not_a_stream, [] { return opened("/dev/zero"); }},
        {"a directory", errc::not_a_stream,
         [] { return unique_fd{::open("/", O_RDONLY | O_CLOEXEC)}; }},
        changed("magic", errc::not_a_stream, [](forgery& f) { f.table.magic ^= 1; }),
        changed("version", errc::wrong_version, [](forgery& f) { ++f.table.version; }),
        changed("empty", errc::not_a_stream, [](forgery& f) { f.bytes = 0; }),
        changed("shorter than the table", errc::not_a_stream, [](forgery& f) { f.bytes = 8; }),
        changed("a page short", errc::not_a_stream, [](forgery& f) { f.bytes -= page_size; }),
        changed("a page long", errc::not_a_stream, [](forgery& f) { f.bytes += page_size; }),
        changed("no capacity", errc::not_a_stream,
                [](forgery& f) {
                    f.table.capacity = 0;
                    f.bytes = page_size;
                }),
        changed("three pages", errc::not_a_stream,
                [](forgery& f) {
                    f.table.capacity = 3 * page_size;
                    f.bytes = 4 * page_size;
                }),
        changed("a capacity that overflows", errc::not_a_stream,
                [](forgery& f) {
                    f.table.capacity = UINT64_MAX - page_size + 1;
                    f.bytes = 0;
                }),
        changed("may shrink", errc::not_sealed, [](forgery& f) { f.seals &= ~F_SEAL_SHRINK; }),
        changed("may grow", errc::not_sealed, [](forgery& f) { f.seals &= ~F_SEAL_GROW; }),
        changed("may be sealed", errc::not_sealed, [](forgery& f) { f.seals &= ~F_SEAL_SEAL; }),
        changed("others may open it", errc::wrong_access, [](forgery& f) { f.mode = 0666; }),
        changed("read-only", errc::wrong_access, [](forgery& f) { f.reopened = O_RDONLY; }),
        changed("write-only", errc::wrong_access, [](forgery& f) { f.reopened = O_WRONLY; }),
    };
    const held before;
    for (const bad& each : cases) {
        CAPTURE(each.name);
        const auto got = stream_file::attach(each.make());
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error() == each.expected);
        CHECK(before == held{});
    }
    CHECK(stream_file::attach(forgery{}.make()).has_value());
}

TEST_CASE("stream_file: whichever call is refused, the error is told and nothing stays", "[ipc]") {
    const unique_fd good = forgery{}.make();
    const held before;
    const auto in_turn = [&](auto make) {
        for (long refused = 0;; ++refused) {
            REQUIRE(refused < 40);
            faults broken;
            broken.fail_call(refused, ENOMEM);
            const auto got = make();
            if (faults::calls() <= refused) {
                CHECK(got.has_value());
                return refused;
            }
            REQUIRE_FALSE(got.has_value());
            CHECK(got.error() == std::error_code(ENOMEM, std::system_category()));
        }
    };
    CHECK(in_turn([] { return stream_file::create(capacity); }) == 9);
    CHECK(in_turn([&] { return stream_file::attach(unique_fd{::dup(good.get())}); }) >= 9);
    CHECK(before == held{});
    // Before Linux 5.14: the pages come at the first touch.
    faults old;
    faults::fail_populating(EINVAL);
    CHECK(stream_file::create(capacity).has_value());
    faults::fail_populating(EFAULT);
    CHECK(stream_file::create(capacity).error() == std::errc::bad_address);
}

}  // namespace
