// SPDX-License-Identifier: MIT
#include <cerrno>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include <support/catch.hpp>
#include <zcpool/base/errc.hpp>

namespace {

using zcpool::errc;

struct meaning {
    errc value;
    std::optional<std::errc> standard;  // none: it compares with nothing but itself
};

constexpr meaning meanings[] = {
    {errc::exhausted, std::errc::resource_unavailable_try_again},
    {errc::too_large, std::errc::message_size},
    {errc::closed, {}},
    {errc::timed_out, std::errc::timed_out},
    {errc::invalid_options, std::errc::invalid_argument},
    {errc::unsupported, std::errc::not_supported},
    {errc::renewal_ineffective, {}},
    {errc::out_of_memory, std::errc::not_enough_memory},
    {errc::out_of_range, std::errc::result_out_of_range},
    {errc::not_a_pool, {}},
    {errc::not_sealed, {}},
    {errc::wrong_access, {}},
    {errc::wrong_version, {}},
    {errc::too_many_processes, {}},
    {errc::other_namespace, {}},
    {errc::bad_message, {}},
    {errc::pages_registered, {}},
    {errc::pages_replaceable, {}},
    {errc::corrupt, {}},
    {errc::peer_gone, std::errc::broken_pipe},
    {errc::full, {}},
    {errc::foreign_slice, {}},
    {errc::not_a_stream, {}},
};
constexpr int count = std::size(meanings);

TEST_CASE("errc: every value has a message of its own", "[base]") {
    std::set<std::string> messages;
    for (int value = 1; value <= count; ++value) {
        const std::string message = zcpool::category().message(value);
        INFO(value << ": " << message);
        CHECK_FALSE(message.empty());
        CHECK(message.find("unknown") == std::string::npos);
        CHECK(messages.insert(message).second);
    }
}

TEST_CASE("errc: a number that is no value is said to be unknown", "[base]") {
    // The number behind the last one too: the table above has them all.
    for (const int value : {0, -1, count + 1, 1'000'000}) {
        CHECK(zcpool::category().message(value) == "unknown zcpool error");
        const std::error_code code{value, zcpool::category()};
        CHECK(code.default_error_condition().category() == zcpool::category());
    }
}

TEST_CASE("errc: a code compares with the standard condition of its kind and no other", "[base]") {
    for (const meaning& one : meanings) {
        const std::error_code code = one.value;
        INFO(code.message());
        for (const meaning& other : meanings) {
            if (other.standard) {
                CHECK((code == *other.standard) == (one.value == other.value));
            }
        }
        if (!one.standard) {
            CHECK(code.default_error_condition() ==
                  std::error_condition(code.value(), zcpool::category()));
        }
    }
}

TEST_CASE("errc: a code is equal to its own value only", "[base]") {
    for (const meaning& one : meanings) {
        const std::error_code code = one.value;
        CHECK(code);
        for (const meaning& other : meanings) {
            CHECK((code == other.value) == (one.value == other.value));
        }
    }
}

TEST_CASE("errc: an errno of the same number is something else", "[base]") {
    CHECK(std::error_code{errc::exhausted}.value() == EPERM);
    CHECK_FALSE(std::error_code(EPERM, std::system_category()) == errc::exhausted);
    CHECK_FALSE(std::error_code(errc::exhausted) == std::errc::operation_not_permitted);
    CHECK_FALSE(std::error_code(ETIMEDOUT, std::system_category()) == errc::timed_out);
}

TEST_CASE("errc: there is one category, and it has the library's name", "[base]") {
    CHECK(std::string{zcpool::category().name()} == "zcpool");
    CHECK(&make_error_code(errc::closed).category() == &zcpool::category());
    CHECK(zcpool::category() != zcpool::error_category{});
}

}  // namespace
