// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/forgery.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/descriptors.hpp>

namespace {

using namespace zcpool_test;
using zcpool::class_spec;
using zcpool::errc;
using zcpool::page_size;
using zcpool::pool_table;
using zcpool::sys::unique_fd;

using pair = std::pair<unique_fd, unique_fd>;

struct bad_case {
    std::string name;
    std::error_code expected;
    std::function<pair()> make;
};

/// A change of the forgery.
bad_case changed(std::string name, errc expected, std::function<void(forgery&)> change) {
    return {std::move(name), expected, [change = std::move(change)] {
                forgery with;
                change(with);
                return pair{with.data(), with.control()};
            }};
}

unique_fd pipe_end() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ::close(ends[1]);
    return unique_fd{ends[0]};
}

unique_fd file_on_disk() {
    char path[] = "/tmp/zcpool-test-XXXXXX";
    unique_fd file{::mkostemp(path, O_CLOEXEC)};
    REQUIRE(file);
    ::unlink(path);
    return file;
}

/// A file of a tmpfs is as one of memfd_create(2), but that nobody has sealed it.
bool can_be_sealed(const unique_fd& file) { return ::fcntl(file.get(), F_GET_SEALS) >= 0; }

std::vector<bad_case> all_cases() {
    std::vector<bad_case> cases;
    // Each of the two descriptors is something else.
    const std::vector<std::tuple<std::string, std::error_code, std::function<unique_fd(unique_fd)>>>
        others{
            {"none", std::error_code{EBADF, std::system_category()},
             [](unique_fd) { return unique_fd{}; }},
            {"a directory", errc::not_a_pool,
             [](unique_fd) { return unique_fd{::open("/", O_RDONLY | O_CLOEXEC)}; }},
            {"a pipe", errc::not_a_pool, [](unique_fd) { return pipe_end(); }},
            {"a socket", errc::not_a_pool,
             [](unique_fd) { return unique_fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}; }},
            {"/dev/zero", errc::not_a_pool,
             [](unique_fd) { return unique_fd{::open("/dev/zero", O_RDWR | O_CLOEXEC)}; }},
            {"a file", can_be_sealed(file_on_disk()) ? errc::not_sealed : errc::not_a_pool,
             [](unique_fd) { return file_on_disk(); }},
            {"read only", errc::wrong_access,
             [](unique_fd file) { return reopen(std::move(file), O_RDONLY); }},
            {"write only", errc::wrong_access,
             [](unique_fd file) { return reopen(std::move(file), O_WRONLY); }},
            {"a path", errc::wrong_access,
             [](unique_fd file) { return reopen(std::move(file), O_PATH); }},
        };
    for (const auto& [name, expected, other] : others) {
        cases.push_back({"data: " + name, expected, [make = other] {
                             const forgery good;
                             return pair{make(good.data()), good.control()};
                         }});
        cases.push_back({"control: " + name, expected, [make = other] {
                             const forgery good;
                             return pair{good.data(), make(good.control())};
                         }});
    }
    for (const auto& [name, seals] :
         std::vector<std::pair<std::string, int>>{{"unsealed", 0},
                                                  {"may shrink", all_seals & ~F_SEAL_SHRINK},
                                                  {"may grow", all_seals & ~F_SEAL_GROW},
                                                  {"may be sealed", all_seals & ~F_SEAL_SEAL},
                                                  {"sealed for writing", all_seals | F_SEAL_WRITE},
                                                  {"for ever", all_seals | future_write}}) {
        cases.push_back(changed("data: " + name, errc::not_sealed,
                                [these = seals](forgery& f) { f.data_seals = these; }));
        // A table in a file that is sealed for writing is written before.
        cases.push_back(changed("control: " + name, errc::not_sealed,
                                [these = seals](forgery& f) { f.control_seals = these; }));
    }
    for (const mode_t mode : {0644U, 0660U, 0700U, 04600U}) {
        cases.push_back(
            changed("data: mode", errc::wrong_access, [mode](forgery& f) { f.data_mode = mode; }));
        cases.push_back(changed("control: mode", errc::wrong_access,
                                [mode](forgery& f) { f.control_mode = mode; }));
    }
    for (const off_t more : {-static_cast<off_t>(page_size), static_cast<off_t>(page_size)}) {
        cases.push_back(
            changed("data: size", errc::not_a_pool, [more](forgery& f) { f.data_bytes += more; }));
        cases.push_back(changed("control: size", errc::not_a_pool,
                                [more](forgery& f) { f.control_bytes += more; }));
    }
    const auto table = [&](std::string name, errc expected,
                           std::function<void(pool_table&)> change) {
        cases.push_back(changed("table: " + name, expected,
                                [change = std::move(change)](forgery& f) { change(f.table); }));
    };
    table("magic", errc::not_a_pool, [](auto& t) { t.magic ^= 1; });
    table("version", errc::wrong_version, [](auto& t) { ++t.version; });
    table("no class", errc::not_a_pool, [](auto& t) { t.class_count = 0; });
    table("one class more", errc::not_a_pool, [](auto& t) { ++t.class_count; });
    table("one class less", errc::not_a_pool, [](auto& t) { --t.class_count; });
    table("17 classes", errc::not_a_pool, [](auto& t) { t.class_count = 17; });
    table("2^32 classes", errc::not_a_pool, [](auto& t) { t.class_count = ~0U; });
    table("odd slots", errc::not_a_pool, [](auto& t) { ++t.classes[0].slot_bytes; });
    table("no slots", errc::not_a_pool, [](auto& t) { t.classes[1].slots = 0; });
    table("2^40 slots", errc::not_a_pool, [](auto& t) { t.classes[1].slots = 1ULL << 40; });
    table("2^64 bytes", errc::not_a_pool, [](auto& t) { t.classes[1].slot_bytes = ~4095ULL; });
    table("classes in no order", errc::not_a_pool,
          [](auto& t) { std::swap(t.classes[0], t.classes[1]); });
    table("data bytes", errc::not_a_pool, [](auto& t) { t.data_bytes += page_size; });
    table("control bytes", errc::not_a_pool, [](auto& t) { t.control_bytes -= page_size; });
    table("an unused class", errc::not_a_pool, [](auto& t) { t.classes[9].slots = 1; });
    table("lends", errc::not_a_pool, [](auto& t) { t.lends = 2; });
    table("undumped", errc::not_a_pool, [](auto& t) { t.undumped = 2; });
    table("spills", errc::not_a_pool, [](auto& t) { t.spills = 2; });
    table("zeroes", errc::not_a_pool, [](auto& t) { t.zeroes = 2; });
    table("what is not used", errc::not_a_pool, [](auto& t) { t.unused = 1; });
    table("a checked pool", errc::unsupported, [](auto& t) { t.checking = 1; });
    table("the budget", errc::not_a_pool, [](auto& t) { t.lent_budget_bytes = t.data_bytes + 1; });
    table("the time", errc::not_a_pool, [](auto& t) { t.lent_settle_ms = 3'600'001; });
    cases.push_back(changed("an empty control file", errc::not_a_pool,
                            [](forgery& f) { f.control_bytes = 0; }));
    cases.push_back({"swapped", errc::not_a_pool, [] {
                         const forgery good;
                         return pair{good.control(), good.data()};
                     }});
    cases.push_back(
        {"one file twice", errc::not_a_pool, [] {
             // Of a pool whose two files are of the same size.
             std::uint64_t slots = 1;
             const auto differ = [&] {
                 const auto of =
                     zcpool::compute_layout(std::array{class_spec{4096, slots}}).value();
                 return of.data_bytes != of.control_bytes;
             };
             while (differ()) {
                 ++slots;
             }
             unique_fd control = forgery{{{4096, slots}}}.control();
             unique_fd again{::dup(control.get())};
             return pair{std::move(again), std::move(control)};
         }});
    return cases;
}

TEST_CASE("descriptors: those of a pool are found to be one", "[ipc]") {
    const held before;
    {
        const forgery good;
        const auto found = zcpool::ipc::check_descriptors(good.data(), good.control());
        REQUIRE(found.has_value());
        CHECK(found->layout.class_count == 2);
        CHECK(found->layout.classes[1].slots == 2);
        CHECK(found->table.version == pool_table::expected_version);
        CHECK(found->data.bytes() == static_cast<std::size_t>(good.data_bytes));
    }
    {
        const auto pool = make_pool(lending_options(3, 1));
        const auto files = pool.share().value();
        const auto found = zcpool::ipc::check_descriptors(unique_fd{::dup(files.data)},
                                                          unique_fd{::dup(files.control)});
        REQUIRE(found.has_value());
        CHECK(found->table.lends == 1);
    }
    CHECK(before == held{});
}

TEST_CASE("descriptors: everything else is refused by name, and closed", "[ipc]") {
    const auto cases = all_cases();
    CHECK(cases.size() >= 40);
    const held before;
    const auto rounds = std::max(1L, scaled(2'000) / static_cast<long>(cases.size()));
    for (long round = 0; round < rounds; ++round) {
        for (const bad_case& each : cases) {
            auto [data, control] = each.make();
            const auto found = zcpool::ipc::check_descriptors(std::move(data), std::move(control));
            INFO(each.name);
            REQUIRE_FALSE(found.has_value());
            CHECK(found.error() == each.expected);
        }
    }
    CHECK(before == held{});
}

TEST_CASE("descriptors: files of huge pages are no pool", "[ipc]") {
    forgery huge;
    const unique_fd probe{::memfd_create("zcpool-test", MFD_HUGETLB)};
    if (!probe) {
        SKIP("no hugetlbfs");
    }
    huge.flags = MFD_HUGETLB;
    huge.data_bytes = 2 << 20;
    huge.control_bytes = 0;
    const auto found = zcpool::ipc::check_descriptors(huge.data(), forgery{}.control());
    CHECK(found.error() == errc::not_a_pool);
}

TEST_CASE("descriptors: another user's are refused", "[ipc]") {
    faults broken;
    const forgery good;
    faults::pretend_uid(static_cast<long>(::geteuid()) + 1);
    const auto found = zcpool::ipc::check_descriptors(good.data(), good.control());
    CHECK(found.error() == errc::wrong_access);
}

TEST_CASE("descriptors: whichever call fails, its errno is the answer and nothing leaks", "[ipc]") {
    const held before;
    const forgery good;
    for (long i = 0;; ++i) {
        REQUIRE(i < 50);
        faults broken;
        broken.fail_call(i, ENFILE);
        const auto found = zcpool::ipc::check_descriptors(good.data(), good.control());
        if (faults::calls() <= i) {
            CHECK(found.has_value());
            CHECK(i >= 9);
            break;
        }
        CHECK(found.error() == std::error_code(ENFILE, std::system_category()));
    }
    CHECK(before == held{});
}

}  // namespace
