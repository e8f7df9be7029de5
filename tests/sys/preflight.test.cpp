// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/system_tree.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/sys/preflight.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;
using zcpool_test::system_tree;

std::vector<feature> warned;

void note(const finding& about) noexcept { warned.push_back(about.what); }

/// Mappings of this process of any kind.
long all_mappings() {
    std::ifstream maps{"/proc/self/maps"};
    long lines = 0;
    for (std::string line; std::getline(maps, line);) {
        ++lines;
    }
    return lines;
}

/// A system where huge pages of both kinds are refused, and all else is as it is here.
void refuse_huge_pages(const system_tree& tree) {
    tree.set("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
    tree.set("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "[never]");
}

TEST_CASE("preflight: there is a finding for each feature, in its place", "[sys]") {
    const auto report = preflight();
    REQUIRE(report.has_value());
    for (std::size_t i = 0; i < feature_count; ++i) {
        const finding& each = report->findings[i];
        INFO(describe(each).view());
        CHECK(each.what == static_cast<feature>(i));
        CHECK(&(*report)[each.what] == &each);
        CHECK_FALSE(each.found.empty());
        CHECK_FALSE(std::string_view{each.without}.empty());
    }
}

TEST_CASE("preflight: nothing is left open or mapped", "[sys]") {
    static_cast<void>(preflight());  // what the C library keeps from a first time
    const zcpool_test::held before;
    const long mappings = all_mappings();
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(preflight({.lock_bytes = 64_MiB}));
    }
    CHECK(before == zcpool_test::held{});
    CHECK(all_mappings() == mappings);
}

TEST_CASE("preflight: what is not ok is recorded, and by itself no error", "[sys]") {
    const system_tree tree;
    refuse_huge_pages(tree);
    warned.clear();
    const auto report = preflight({.on_warning = note, .root = tree.root()});
    REQUIRE(report.has_value());
    CHECK((*report)[feature::anonymous_huge_pages].status == finding_status::missing);
    CHECK(warned.empty());
}

TEST_CASE("preflight: a feature to be warned of is told when it is not ok", "[sys]") {
    const system_tree tree;
    refuse_huge_pages(tree);
    preflight_options options{.on_warning = note, .root = tree.root()};
    options[feature::pages] = preflight_mode::warn;
    options[feature::file_huge_pages] = preflight_mode::warn;
    warned.clear();
    CHECK(preflight(options).has_value());
    CHECK(warned == std::vector{feature::file_huge_pages});
    options.on_warning = nullptr;
    CHECK(preflight(options).has_value());
}

TEST_CASE("preflight: the first required feature that is not ok is the error", "[sys]") {
    const system_tree tree;
    refuse_huge_pages(tree);
    preflight_options options{.on_warning = note, .root = tree.root()};
    options[feature::pages] = preflight_mode::require;
    CHECK(preflight(options).has_value());
    options[feature::file_huge_pages] = preflight_mode::require;
    auto report = preflight(options);
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error().what == feature::file_huge_pages);
    options[feature::anonymous_huge_pages] = preflight_mode::require;
    options[feature::reserved_huge_pages] = preflight_mode::warn;
    warned.clear();
    report = preflight(options);
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error().what == feature::anonymous_huge_pages);
    CHECK(report.error().report[feature::pages].status == finding_status::ok);
    const auto text = report.error().text();
    CHECK(text.view().starts_with("anonymous_huge_pages missing: "));
    CHECK(text.view().find("remedy: as root: echo madvise > ") != std::string_view::npos);
    CHECK(warned == std::vector{feature::reserved_huge_pages});
}

TEST_CASE("preflight: what is degraded or not known does not meet a requirement", "[sys]") {
    const system_tree tree;
    preflight_options options{.root = tree.root()};
    options[feature::zerocopy_notices] = preflight_mode::require;
    auto report = preflight(options);
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error().report[feature::zerocopy_notices].status == finding_status::unknown);
    tree.set("/proc/sys/net/core/optmem_max", "20480");
    report = preflight(options);
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error().report[feature::zerocopy_notices].status == finding_status::degraded);
    tree.set("/proc/sys/net/core/optmem_max", "131072");
    CHECK(preflight(options).has_value());
}

TEST_CASE("preflight: the amounts of the options reach what they are about", "[sys]") {
    const system_tree tree;
    tree.set("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2");
    faults refused;
    faults::fail_lock_trials(ENOMEM);
    faults::shorten_pipes(65536);
    const auto report = preflight({.lock_bytes = 3_GiB,
                                   .registered_bytes = 5_GiB,
                                   .in_flight_bytes = 7_GiB,
                                   .reserved_huge_bytes = 6_MiB,
                                   .pipe_bytes = 256_KiB,
                                   .root = tree.root()});
    REQUIRE(report.has_value());
    const auto found = [&](feature which, std::string_view part) {
        return (*report)[which].found.view().find(part) != std::string_view::npos;
    };
    CHECK(found(feature::memory_lock, "wanted: 3 GiB"));
    CHECK(found(feature::pinned_memory, "wanted: 5 GiB registered and 7 GiB in flight"));
    CHECK(found(feature::reserved_huge_pages, "wanted: 6 MiB"));
    CHECK(found(feature::pipes, "wanted: 256 KiB"));
}

TEST_CASE("preflight: whichever call the system refuses, it goes on and leaves nothing", "[sys]") {
    const zcpool_test::held before;
    faults broken;
    broken.fail_call(1'000'000, EPERM);
    REQUIRE(preflight().has_value());
    const long calls = faults::calls();
    for (long i = 0; i < calls; ++i) {
        broken.fail_call(i, EPERM);
        const auto report = preflight();
        REQUIRE(report.has_value());
        for (const finding& each : report->findings) {
            REQUIRE_FALSE(each.found.empty());
        }
    }
    CHECK(before == zcpool_test::held{});
}

}  // namespace
