// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <string_view>

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
    const auto layout = zcpool::checked_layout(classes, {.slots = {8}}, {}, report);
    REQUIRE(layout.has_value());
    CHECK(report.data_bytes == 8 * 4_KiB);
    CHECK(report.control_bytes == layout->control_bytes);
    CHECK(std::string_view{report.text}.empty());
}

TEST_CASE("option_checks: a class table of a stranger is refused in words", "[pool]") {
    const std::array<class_spec, 2> classes{{{8_KiB, 1}, {4_KiB, 1}}};
    creation_report report;
    const auto layout = zcpool::checked_layout(classes, {.slots = {1, 1}}, {}, report);
    CHECK(layout.error() == errc::invalid_options);
    CHECK(std::string_view{report.text}.find("must increase") != std::string_view::npos);
}

TEST_CASE("option_checks: a machine that does not tell its memory is no reason to refuse",
          "[pool]") {
    const std::array<class_spec, 1> classes{{{4_KiB, 8}}};
    creation_report report;
    faults broken;
    broken.fail_call(0, EFAULT);
    CHECK(zcpool::checked_layout(classes, {.slots = {8}}, {}, report).has_value());
    CHECK(faults::calls() == 1);
}

}  // namespace
