// SPDX-License-Identifier: MIT
#include <cerrno>
#include <string_view>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/system_tree.hpp>
#include <zcpool/sys/process_findings.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;

void check_both_ways(feature what, finding (*look)() noexcept, std::string_view kernel) {
    const zcpool_test::held before;
    const finding here = look();
    INFO(describe(here).view());
    CHECK(here.what == what);
    CHECK(here.status == finding_status::ok);  // the tests need Linux 5.18
    CHECK(here.remedy.empty());
    faults broken;
    broken.fail_call(0, EPERM);
    const finding refused = look();
    CHECK(refused.what == what);
    CHECK(refused.status == finding_status::missing);
    CHECK(refused.found.view().find("not permitted") != std::string_view::npos);
    CHECK(refused.remedy.view().find(kernel) != std::string_view::npos);
    CHECK_FALSE(std::string_view{refused.without}.empty());
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("process_findings: a descriptor of a process works, or is refused", "[sys]") {
    check_both_ways(feature::process_descriptors, sys::look_at_process_descriptors, "Linux 5.3");
}

TEST_CASE("process_findings: the barrier is known, or is refused", "[sys]") {
    check_both_ways(feature::process_barrier, sys::look_at_process_barrier, "Linux 4.14");
}

TEST_CASE("process_findings: the fork guard works, or is refused", "[sys]") {
    check_both_ways(feature::fork_guard, sys::look_at_fork_guard, "Linux 4.14");
}

TEST_CASE("process_findings: /proc is there, or not", "[sys]") {
    CHECK(sys::look_at_process_files("").status == finding_status::ok);
    const zcpool_test::system_tree tree;
    const finding none = sys::look_at_process_files(tree.root());
    CHECK(none.what == feature::process_files);
    CHECK(none.status == finding_status::missing);
    CHECK_FALSE(none.remedy.empty());
}

}  // namespace
