// SPDX-License-Identifier: MIT
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include <support/catch.hpp>
#include <zcpool/base/result.hpp>

namespace {

using namespace zcpool;

result<int> half(int number) {
    if (number % 2 != 0) {
        return fail(errc::invalid_options);
    }
    return number / 2;
}

result<void> refuse(std::error_code why) { return fail(why); }

TEST_CASE("result: holds the value, or the reason why there is none", "[base]") {
    CHECK(half(8) == 4);
    const auto none = half(7);
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error() == errc::invalid_options);
    CHECK(none.error() == std::errc::invalid_argument);
    CHECK(none.value_or(-1) == -1);
}

TEST_CASE("result: an error that is passed on keeps its number and category", "[base]") {
    for (const int code : {EPERM, ENOMEM, ETIMEDOUT}) {
        const auto refused = refuse({code, std::system_category()});
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().value() == code);
        CHECK(refused.error().category() == std::system_category());
    }
    CHECK(refuse(make_error_code(errc::closed)).error() == errc::closed);
}

TEST_CASE("result: a value that only moves goes through", "[base]") {
    result<std::unique_ptr<int>> made = std::make_unique<int>(3);
    REQUIRE(made.has_value());
    const std::unique_ptr<int> kept = std::move(*made);
    CHECK(*kept == 3);
}

}  // namespace
