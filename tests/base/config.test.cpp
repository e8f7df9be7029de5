// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <zcpool/base/config.hpp>

namespace {

// Part of the layout of shared memory, whatever the compiler thinks.
static_assert(zcpool::cache_line == 64);
static_assert(zcpool::page_size == 4096);
static_assert(zcpool::huge_page_size == 2'097'152);

TEST_CASE("config: a condition that holds costs its evaluation, once, and nothing else", "[base]") {
    int evaluated = 0;
    ZCPOOL_ASSERT(++evaluated == 1, "never said");
    CHECK(evaluated == 1);
    // It is an expression, so that it can stand in a constructor's initialiser.
    CHECK((ZCPOOL_ASSERT(true, "never said"), 7) == 7);
}

TEST_CASE("misuse: config: a violated contract says which and where, and aborts", "[base]") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const int line = __LINE__ + 4;
    const int status = zcpool_test::status_of([&] {
        ::dup2(ends[1], STDERR_FILENO);
        const int two = 2;
        ZCPOOL_ASSERT(two + two == 5, "sums are as they are");
        return 0;
    });
    ::close(ends[1]);
    std::string said(1000, '\0');
    const ssize_t length = ::read(ends[0], said.data(), said.size());
    ::close(ends[0]);
    CHECK(status == -SIGABRT);
    REQUIRE(length > 0);
    said.resize(static_cast<std::size_t>(length));
    std::string expected = "zcpool: sums are as they are (two + two == 5) at " __FILE__ ":";
    expected += std::to_string(line);
    expected += '\n';
    CHECK(said == expected);
}

}  // namespace
