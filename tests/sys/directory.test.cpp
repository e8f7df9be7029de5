// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <system_error>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/system_tree.hpp>
#include <zcpool/sys/directory.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;
using zcpool_test::held;
using zcpool_test::system_error;
using zcpool_test::system_tree;

TEST_CASE("directory: each entry that is a whole number is visited once", "[sys]") {
    const system_tree tree;
    std::set<int> wanted{0, 2147483647, -7};
    for (const char* name : {"a", "1a", "a1", "2147483648", "99999999999", "1.5", "+3", "x 4"}) {
        tree.set(std::string{"/"} + name, "");
    }
    for (int number = 1'000; number < 2'000; ++number) {  // more than one call's worth
        wanted.insert(number);
    }
    for (const int number : wanted) {
        tree.set("/" + std::to_string(number), "");
    }
    const held before;
    std::multiset<int> seen;
    REQUIRE(sys::for_each_number(tree.root(), [&](int number) -> result<void> {
        seen.insert(number);
        return {};
    }));
    CHECK(seen == std::multiset<int>(wanted.begin(), wanted.end()));
    CHECK(before == held{});
}

TEST_CASE("directory: what the visitor cannot do ends it", "[sys]") {
    const held before;
    int visits = 0;
    const auto done = sys::for_each_number("/proc/self/fd", [&](int) -> result<void> {
        ++visits;
        return fail(system_error(ECANCELED));
    });
    CHECK(done.error() == system_error(ECANCELED));
    CHECK(visits == 1);
    CHECK(before == held{});
}

TEST_CASE("directory: one that is none, or cannot be read, is an error", "[sys]") {
    const held before;
    const auto nothing = [](int) -> result<void> { return {}; };
    CHECK(sys::for_each_number("/no/such", nothing).error() == system_error(ENOENT));
    CHECK(sys::for_each_number("/proc/self/stat", nothing).error() == system_error(ENOTDIR));
    faults broken;
    broken.fail_call(1, EIO);
    CHECK(sys::for_each_number("/proc/self/fd", nothing).error() == system_error(EIO));
    CHECK(before == held{});
}

}  // namespace
