// SPDX-License-Identifier: MIT
#include <array>
#include <source_location>
#include <string>
#include <string_view>

#include <support/catch.hpp>
#include <zcpool/pool/call_site.hpp>

namespace {

using namespace zcpool;

std::string words(const call_site& site) {
    std::array<char, 400> text{};
    site.print(text.data(), text.size());
    return text.data();
}

[[gnu::noinline]] const void* caller() { return __builtin_return_address(0); }

TEST_CASE("call_site: a source location is printed as file and line", "[pool]") {
    const auto here = std::source_location::current();
    const std::string text = words({here, caller()});
    CHECK(text.find(here.file_name() + (":" + std::to_string(here.line()))) == 0);
    CHECK(text.find(here.function_name()) != std::string::npos);
}

TEST_CASE("call_site: without one it is the program and the offset of the code", "[pool]") {
    const std::string text = words({{}, caller()});
    CHECK(text.find("code at ") == 0);
    CHECK(text.find("+0x") != std::string::npos);
    CHECK(words({{}, reinterpret_cast<const void*>(0x11)}) == "code at 0x10");
    CHECK(words({}) == "a place that is not known");
}

TEST_CASE("call_site: names of any length are cut off, not overrun", "[pool]") {
    const std::string long_name(10'000, 'x');
    call_site site;
    site.file = site.function = long_name.c_str();
    site.line = 1;
    CHECK(words(site).size() < 400);
}

TEST_CASE("call_site: what was set is got, and nothing before that", "[pool]") {
    stored_call_site stored;
    CHECK(words(stored.get()) == "a place that is not known");
    const call_site here{std::source_location::current(), caller()};
    stored.set(here);
    CHECK(words(stored.get()) == words(here));
    CHECK(stored.get().code == here.code);
    stored.set({});
    CHECK(words(stored.get()) == "a place that is not known");
}

}  // namespace
