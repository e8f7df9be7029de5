// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/sys/smaps.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;

TEST_CASE("shared_memory: is zeroed, private to its user, sealed and close-on-exec", "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 8 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    const std::span bytes{memory->data(), memory->size()};
    CHECK(std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }));

    struct stat status{};
    REQUIRE(::fstat(memory->fd(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(status.st_blocks * 512 >= static_cast<long>(8 * page_size));  // every page is there
    CHECK((::fcntl(memory->fd(), F_GETFD) & FD_CLOEXEC) != 0);
    const int seals = ::fcntl(memory->fd(), F_GET_SEALS);
    CHECK((seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) ==
          (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));

    CHECK((::ftruncate(memory->fd(), 0) == -1 && errno == EPERM));
    CHECK((::ftruncate(memory->fd(), 1 << 20) == -1 && errno == EPERM));
    CHECK((::fcntl(memory->fd(), F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM));
    CHECK(memory->renew(0, page_size).has_value());  // what the seals must still allow
}

TEST_CASE("shared_memory: another mapping of the file sees the same bytes and their renewal",
          "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 4 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    const auto other =
        shared_memory::adopt(sys::memfd::adopt(sys::unique_fd{::dup(memory->fd())}, memory->size()),
                             page_use::renewable);
    REQUIRE(other.has_value());
    CHECK(other->data() != memory->data());
    memory->data()[page_size] = std::byte{7};
    CHECK(other->data()[page_size] == std::byte{7});
    REQUIRE(other->renew(page_size, page_size).has_value());
    CHECK(memory->data()[page_size] == std::byte{0});
    other->data()[page_size] = std::byte{8};
    CHECK(memory->data()[page_size] == std::byte{8});
}

TEST_CASE("shared_memory: where the kernel can, the file can never be executed", "[pool]") {
    auto memory = shared_memory::create("zcpool-test", page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    constexpr int seal_exec = 0x0020;
    if ((::fcntl(memory->fd(), F_GET_SEALS) & seal_exec) == 0) {
        SKIP("MFD_NOEXEC_SEAL needs Linux 6.3");
    }
    CHECK((::fchmod(memory->fd(), 0700) == -1 && errno == EPERM));
}

TEST_CASE("shared_memory: renewal detaches what the kernel still references", "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 64 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    CHECK(memory->verify_renewal(0, 16 * page_size) == true);
    CHECK(memory->verify_renewal(63 * page_size, page_size) == true);
}

/// The VmFlags of the mapping at an address.
std::string flags_of(const void* address) {
    std::ifstream maps{"/proc/self/smaps"};
    char begin[32];
    std::snprintf(begin, sizeof begin, "%lx-", reinterpret_cast<unsigned long>(address));
    bool found = false;
    for (std::string line; std::getline(maps, line);) {
        found = found || line.starts_with(begin);
        if (found && line.starts_with("VmFlags:")) {
            return line + ' ';
        }
    }
    return {};
}

TEST_CASE("shared_memory: pages of slots are kept small", "[pool]") {
    if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
        SKIP("this kernel has no large pages");
    }
    auto renewable = shared_memory::create("zcpool-test", 16 * page_size, page_use::renewable);
    auto fixed = shared_memory::create("zcpool-test", 16 * page_size, page_use::fixed);
    auto control = shared_memory::create("zcpool-test", 16 * page_size, page_use::control);
    REQUIRE((renewable.has_value() && fixed.has_value() && control.has_value()));
    CHECK(flags_of(renewable->data()).find(" nh ") != std::string::npos);
    CHECK(flags_of(fixed->data()).find(" nh ") != std::string::npos);
    CHECK(flags_of(control->data()).find(" nh ") == std::string::npos);
    const auto pool = zcpool_test::make_pool(zcpool_test::lending_options(1, 1));
    auto buffer = pool.try_acquire(1);
    CHECK(flags_of(buffer.data()).find(" nh ") != std::string::npos);
}

TEST_CASE("shared_memory: discarded pages are no longer the process's, and come back zeroed",
          "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 16 * page_size, page_use::fixed);
    REQUIRE(memory.has_value());
    const auto blocks = [&] {
        struct stat status{};
        REQUIRE(::fstat(memory->fd(), &status) == 0);
        return status.st_blocks * 512;
    };
    const auto before = blocks();
    std::fill_n(memory->data(), 16 * page_size, std::byte{1});
    REQUIRE(memory->discard(4 * page_size, 8 * page_size).has_value());
    CHECK(blocks() == before - 8 * static_cast<long>(page_size));
    REQUIRE(memory->renew(4 * page_size, 8 * page_size).has_value());
    CHECK(blocks() == before);
    CHECK(memory->data()[4 * page_size] == std::byte{0});
    CHECK(memory->data()[4 * page_size - 1] == std::byte{1});
    CHECK(memory->data()[12 * page_size] == std::byte{1});
}

TEST_CASE("shared_memory: renewal that does nothing is found out", "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 16 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    const faults broken;
    faults::switch_renewal_off();
    CHECK(memory->verify_renewal(0, 16 * page_size) == false);
}

TEST_CASE("shared_memory: renewal of a part only is found out, and the trial leaves zeros",
          "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 16 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    {
        const faults broken;
        faults::shorten_punches(15 * page_size);
        CHECK(memory->verify_renewal(0, 16 * page_size) == false);
    }
    CHECK(memory->verify_renewal(0, 16 * page_size) == true);
    const auto is_zero = [](std::byte each) { return each == std::byte{0}; };
    CHECK(std::all_of(memory->data(), memory->data() + 16 * page_size, is_zero));
}

TEST_CASE("shared_memory: a trial of renewal that is cut short leaves zeros", "[pool]") {
    auto memory = shared_memory::create("zcpool-test", 4 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    int cut_short = 0;
    for (long i = 0;; ++i) {
        REQUIRE(i < 100);
        faults broken;
        broken.fail_call(i, EAGAIN);
        const auto tried = memory->verify_renewal(0, 4 * page_size);
        if (faults::calls() <= i) {
            CHECK(tried == true);
            break;
        }
        cut_short += tried ? 0 : 1;
        broken.fail_call(-1, 0);
        REQUIRE(memory->fill(0, 4 * page_size));
        const auto is_zero = [](std::byte each) { return each == std::byte{0}; };
        CHECK(std::all_of(memory->data(), memory->data() + 4 * page_size, is_zero));
    }
    CHECK(cut_short >= 6);  // populating, the pipe, filling it twice, punching, populating
}

TEST_CASE("shared_memory: kernels without MFD_NOEXEC_SEAL will do", "[pool]") {
    const faults old;
    faults::forget_noexec_seal();
    auto memory = shared_memory::create("zcpool-test", 16 * page_size, page_use::renewable);
    REQUIRE(memory.has_value());
    struct stat status{};
    REQUIRE(::fstat(memory->fd(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(memory->verify_renewal(0, page_size) == true);
}

TEST_CASE("shared_memory: kernels without MADV_POPULATE_WRITE have pages, but no renewable ones",
          "[pool]") {
    const faults old;
    faults::fail_populating(EINVAL);
    auto memory = shared_memory::create("zcpool-test", 16 * page_size, page_use::fixed);
    REQUIRE(memory.has_value());
    struct stat status{};
    REQUIRE(::fstat(memory->fd(), &status) == 0);
    CHECK(status.st_blocks * 512 >= static_cast<long>(16 * page_size));
    CHECK(memory->verify_renewal(0, page_size).error() == errc::unsupported);
    const auto none = shared_memory::create("zcpool-test", 16 * page_size, page_use::renewable);
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error() == errc::unsupported);
}

TEST_CASE("shared_memory: a forked child does not have the slots' pages", "[pool]") {
    auto memory = shared_memory::create("zcpool-test", page_size, page_use::fixed);
    auto control = shared_memory::create("zcpool-test", page_size, page_use::control);
    REQUIRE((memory.has_value() && control.has_value()));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        // msync(2) answers ENOMEM for what is not mapped, where a touch would be a signal.
        const bool gone = ::msync(memory->data(), page_size, MS_ASYNC) == -1 && errno == ENOMEM;
        const bool there = ::msync(control->data(), page_size, MS_ASYNC) == 0;
        ::_exit(gone && there ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("shared_memory: whichever call fails, the error is its own and nothing is leaked",
          "[pool]") {
    const zcpool_test::held before;
    long calls = 0;
    for (long i = 0;; ++i) {
        REQUIRE(i < 100);
        faults broken;
        broken.fail_call(i, EMFILE);
        auto memory = shared_memory::create("zcpool-test", 4 * page_size, page_use::renewable);
        if (faults::calls() <= i) {
            CHECK(memory.has_value());
            break;
        }
        ++calls;
        if (!memory) {
            CHECK(memory.error() == std::error_code(EMFILE, std::system_category()));
        }
    }
    CHECK(calls >= 6);
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("shared_memory: is in core dumps until it is excluded", "[pool]") {
    const auto is_excluded = [](const shared_memory& memory) {
        std::ifstream maps{"/proc/self/smaps"};
        char begin[32];
        std::snprintf(begin, sizeof begin, "%lx-", reinterpret_cast<unsigned long>(memory.data()));
        std::string line;
        while (std::getline(maps, line) && !line.starts_with(begin)) {
        }
        while (std::getline(maps, line) && !line.starts_with("VmFlags:")) {
        }
        REQUIRE(line.starts_with("VmFlags:"));
        return line.find(" dd") != std::string::npos;
    };
    const auto memory = shared_memory::create("zcpool-test", page_size, page_use::fixed).value();
    CHECK_FALSE(is_excluded(memory));
    REQUIRE(memory.exclude_from_core_dumps().has_value());
    CHECK(is_excluded(memory));
}

/// Arenas of two huge pages, as far as the system gives any.
shared_memory make_huge(arena_backing backing) {
    auto made = shared_memory::create_huge("zcpool-test", 2 * huge_page_size, backing);
    REQUIRE(made.has_value());
    return std::move(*made);
}

TEST_CASE("shared_memory: what is for arenas lies where huge pages do, with a file or without",
          "[pool]") {
    for (const auto backing : {arena_backing::anonymous, arena_backing::memfd}) {
        const shared_memory memory = make_huge(backing);
        CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % huge_page_size == 0);
        CHECK(memory.has_file() == (backing == arena_backing::memfd));
        CHECK((memory.fd() == -1) == (backing == arena_backing::anonymous));
        const std::span bytes{memory.data(), memory.size()};
        CHECK(std::all_of(bytes.begin(), bytes.end(),
                          [](std::byte each) { return each == std::byte{0}; }));
        CHECK(memory.verify_renewal(0, huge_page_size) == true);
        CHECK(memory.verify_renewal(0, 2 * huge_page_size) == true);
        CHECK(zcpool_test::status_of(
                  [&] { return ::msync(memory.data(), page_size, MS_ASYNC) == -1 ? 0 : 1; }) == 0);
    }
}

TEST_CASE("shared_memory: a locked arena is renewed as well", "[pool]") {
    const shared_memory memory = make_huge(arena_backing::anonymous);
    if (::mlock(memory.data(), memory.size()) != 0) {
        SKIP("4 MiB may not be locked here");
    }
    CHECK(memory.verify_renewal(0, 2 * huge_page_size) == true);
}

TEST_CASE("shared_memory: an arena whose huge pages were split is renewed as a whole", "[pool]") {
    for (const auto backing : {arena_backing::anonymous, arena_backing::memfd}) {
        const shared_memory memory = make_huge(backing);
        // What the system does when memory is short, or when a part is treated apart.
        REQUIRE(memory.pages().forbid(page_size, page_size).has_value());
        REQUIRE(::mprotect(memory.data(), memory.size(), PROT_READ | PROT_WRITE) == 0);
        REQUIRE(::madvise(memory.data() + huge_page_size, page_size, MADV_NOHUGEPAGE) == 0);
        CHECK(memory.verify_renewal(0, huge_page_size) == true);
        CHECK(memory.verify_renewal(huge_page_size, huge_page_size) == true);
        CHECK(memory.verify_renewal(0, 2 * huge_page_size) == true);
    }
}

TEST_CASE("shared_memory: an arena is a huge page again after it was renewed", "[pool]") {
    const shared_memory memory = make_huge(arena_backing::anonymous);
    if (sys::huge_bytes_of(memory.data(), memory.size()) != memory.size()) {
        SKIP("no transparent huge pages are to be had");
    }
    for (int i = 0; i < 10; ++i) {
        REQUIRE(memory.renew(0, huge_page_size).has_value());
    }
    CHECK(sys::huge_bytes_of(memory.data(), memory.size()) == memory.size());
}

TEST_CASE("shared_memory: for arenas, renewal that does nothing is found out", "[pool]") {
    for (const auto backing : {arena_backing::anonymous, arena_backing::memfd}) {
        const shared_memory memory = make_huge(backing);
        const faults broken;
        faults::switch_renewal_off();
        CHECK(memory.verify_renewal(0, huge_page_size) == false);
    }
}

TEST_CASE("misuse: shared_memory: a part of a huge page cannot be replaced", "[pool]") {
    const shared_memory memory = make_huge(arena_backing::memfd);
    for (const auto& [offset, size] :
         {std::pair{std::size_t{0}, page_size}, std::pair{page_size, huge_page_size}}) {
        CHECK(zcpool_test::status_of([&] {
                  std::fclose(stderr);
                  return memory.renew(offset, size).has_value() ? 0 : 1;
              }) == -SIGABRT);
    }
}

TEST_CASE("shared_memory: for arenas, whichever call fails, nothing is leaked", "[pool]") {
    for (const auto backing : {arena_backing::anonymous, arena_backing::memfd}) {
        const zcpool_test::held before;
        for (long i = 0;; ++i) {
            REQUIRE(i < 100);
            faults broken;
            broken.fail_call(i, EMFILE);
            auto memory = shared_memory::create_huge("zcpool-test", huge_page_size, backing);
            if (faults::calls() <= i) {
                CHECK(memory.has_value());
                break;
            }
        }
        CHECK(before == zcpool_test::held{});
    }
}

}  // namespace
