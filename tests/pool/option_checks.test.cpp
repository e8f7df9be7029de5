// SPDX-License-Identifier: MIT
#include <sys/sysinfo.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <system_error>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <zcpool/pool/option_checks.hpp>

// That each option out of range is refused is in create.test.cpp, where it is seen from outside.

namespace {

using namespace zcpool_test;
using zcpool::class_spec;
using zcpool::creation_report;
using zcpool::errc;

TEST_CASE("option_checks: what can be met has a layout, and its size is reported", "[pool]") {
    const std::array<class_spec, 1> classes{{{4_KiB, 8}}};
    creation_report report;
    const auto layout =
        zcpool::checked_layout(classes, {.slots = {8}}, {}, zcpool::lending::never, report);
    REQUIRE(layout.has_value());
    CHECK(report.data_bytes == 8 * 4_KiB);
    CHECK(report.control_bytes == layout->control_bytes);
    CHECK(std::string_view{report.text}.empty());
}

TEST_CASE("option_checks: a class table of a stranger is refused in words", "[pool]") {
    const std::array<class_spec, 2> classes{{{8_KiB, 1}, {4_KiB, 1}}};
    creation_report report;
    const auto layout =
        zcpool::checked_layout(classes, {.slots = {1, 1}}, {}, zcpool::lending::never, report);
    CHECK(layout.error() == errc::invalid_options);
    CHECK(std::string_view{report.text}.find("must increase") != std::string_view::npos);
}

TEST_CASE("option_checks: as much memory as the machine has is too much, a byte less is not",
          "[pool]") {
    struct sysinfo system{};
    REQUIRE(::sysinfo(&system) == 0);
    const auto total = static_cast<std::size_t>(system.totalram + system.totalswap) *
                       static_cast<std::size_t>(system.mem_unit);
    creation_report report;
    CHECK(zcpool::check_memory(total, report).error() == std::errc::not_enough_memory);
    CHECK(std::string_view{report.text}.find("fewer slots") != std::string_view::npos);
    CHECK(zcpool::check_memory(total - 1, report).has_value());
}

TEST_CASE("option_checks: a machine that does not tell its memory is no reason to refuse",
          "[pool]") {
    const std::array<class_spec, 1> classes{{{4_KiB, 8}}};
    creation_report report;
    faults broken;
    broken.fail_call(0, EFAULT);
    CHECK(zcpool::checked_layout(classes, {.slots = {8}}, {}, zcpool::lending::never, report)
              .has_value());
    CHECK(faults::calls() == 1);
}

}  // namespace
