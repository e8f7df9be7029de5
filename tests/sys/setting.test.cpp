// SPDX-License-Identifier: MIT
#include <cerrno>
#include <string>
#include <system_error>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/system_tree.hpp>
#include <zcpool/sys/setting.hpp>

namespace {

using namespace zcpool;
using sys::setting;
using zcpool_test::faults;
using zcpool_test::system_tree;

setting read_back(const system_tree& tree, std::string_view text) {
    tree.set("/proc/sys/x", text);
    const auto read = setting::read(tree.root(), "/proc/sys/x");
    REQUIRE(read.has_value());
    return *read;
}

TEST_CASE("setting: a text is as it stands in the file, without its last end of line", "[sys]") {
    const system_tree tree;
    CHECK(read_back(tree, "a b\nc").text() == "a b\nc");
    CHECK(read_back(tree, "").text().empty());
    CHECK(read_back(tree, std::string(5000, 'x')).text().size() == 4096);
}

TEST_CASE("setting: a number is read from the beginning, and anything else is none", "[sys]") {
    const system_tree tree;
    CHECK(read_back(tree, "65536").number() == 65536);
    CHECK(read_back(tree, "7 words").number() == 7);
    CHECK_FALSE(read_back(tree, "-1").number().has_value());
    CHECK_FALSE(read_back(tree, "x").number().has_value());
    CHECK_FALSE(read_back(tree, "").number().has_value());
    CHECK_FALSE(read_back(tree, "99999999999999999999").number().has_value());
    tree.set("/proc/sys/y", "3");
    CHECK(sys::number_set(tree.root(), "/proc/sys/y") == 3);
    CHECK_FALSE(sys::number_set(tree.root(), "/proc/sys/z").has_value());
}

TEST_CASE("setting: of words the chosen one stands in brackets", "[sys]") {
    const system_tree tree;
    CHECK(read_back(tree, "always [madvise] never").chosen() == "madvise");
    CHECK(read_back(tree, "[never]").chosen() == "never");
    for (const char* none : {"always never", "[always", "always]", "]a[b"}) {
        CHECK(read_back(tree, none).chosen().empty());
    }
}

TEST_CASE("setting: of lines the one with a label has the number", "[sys]") {
    const system_tree tree;
    const setting lines =
        read_back(tree, "Name:\tx VmLck: 1\nVmLck:\t      12 kB\nVmPin:   7 kB\nE:");
    CHECK(lines.number_of("VmLck:") == 12);
    CHECK(lines.number_of("VmPin:") == 7);
    CHECK_FALSE(lines.number_of("Name:").has_value());
    CHECK_FALSE(lines.number_of("E:").has_value());
    CHECK_FALSE(lines.number_of("F:").has_value());
}

TEST_CASE("setting: what the system refuses is an error, and leaves nothing open", "[sys]") {
    const zcpool_test::held before;
    CHECK(setting::read("", "/proc/no-such").error() == std::errc::no_such_file_or_directory);
    faults broken;
    for (long i = 0; i < 2; ++i) {
        broken.fail_call(i, EACCES);
        CHECK(setting::read("", "/proc/self/status").error() == std::errc::permission_denied);
    }
    broken.fail_call(-1, 0);
    CHECK(setting::read("", "/proc/self/status")->number_of("VmPin:").has_value());
    CHECK(before == zcpool_test::held{});
}

}  // namespace
