// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include <support/catch.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/sys/finding.hpp>

namespace {

using namespace zcpool;

TEST_CASE("finding: each feature has a name of its own, by which it is found", "[sys]") {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < feature_count; ++i) {
        const auto which = static_cast<feature>(i);
        CHECK_FALSE(name_of(which).empty());
        names.insert(name_of(which));
        CHECK(feature_of(name_of(which)) == which);
    }
    CHECK(names.size() == feature_count);
    CHECK(name_of(feature::pages) == "pages");
    CHECK(name_of(feature::memory_lock) == "memory_lock");
    CHECK(name_of(feature::pipes) == "pipes");
    CHECK(name_of(feature::process_files) == "process_files");
    CHECK_FALSE(feature_of("Pages").has_value());
    CHECK_FALSE(feature_of("").has_value());
}

TEST_CASE("finding: each status has a name", "[sys]") {
    CHECK(name_of(finding_status::ok) == "ok");
    CHECK(name_of(finding_status::degraded) == "degraded");
    CHECK(name_of(finding_status::missing) == "missing");
    CHECK(name_of(finding_status::unknown) == "not known");
}

TEST_CASE("finding: a short text is cut off where it does not fit", "[sys]") {
    short_text<8> text;
    CHECK(text.empty());
    text.add("%s", "abc");
    CHECK(text.view() == "abc");
    text.add("%d", 1234);
    CHECK(text.view() == "abc1234");
    text.add("%s", "more");
    CHECK(text.view() == "abc1234");
    CHECK(std::string_view{text.c_str()} == "abc1234");
    short_text<8> once;
    once.add("%s", "123456789");
    CHECK(once.view() == "1234567");
    CHECK_FALSE(once.empty());
}

TEST_CASE("finding: bytes are written in the largest unit that comes out even", "[sys]") {
    CHECK(readable_bytes(0).view() == "0 bytes");
    CHECK(readable_bytes(1023).view() == "1023 bytes");
    CHECK(readable_bytes(64_KiB).view() == "64 KiB");
    CHECK(readable_bytes(64_KiB + 1).view() == "65537 bytes");
    CHECK(readable_bytes(268_MiB).view() == "268 MiB");
    CHECK(readable_bytes(1_GiB + 1_MiB).view() == "1025 MiB");
    CHECK(readable_bytes(3_GiB).view() == "3 GiB");
    CHECK(readable_bytes(UINT64_MAX).view() == "unlimited");
}

TEST_CASE("finding: a line says what, how, the value and the remedy if there is one", "[sys]") {
    finding about{.what = feature::pipes, .status = finding_status::degraded};
    about.found.add("64 KiB");
    CHECK(describe(about).view() == "pipes degraded: 64 KiB");
    about.remedy.add("close some");
    CHECK(describe(about).view() == "pipes degraded: 64 KiB; remedy: close some");
}

}  // namespace
