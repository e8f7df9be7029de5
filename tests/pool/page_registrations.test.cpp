// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>

#include <support/pools.hpp>
#include <zcpool/pool/page_registrations.hpp>

namespace {

using zcpool::page_registrations;

TEST_CASE("page_registrations: pages are registered or replaced, never both", "[pool]") {
    page_registrations pages;
    REQUIRE(pages.begin());
    REQUIRE(pages.begin());
    CHECK_FALSE(pages.allow_replacing());
    pages.end();
    CHECK_FALSE(pages.allow_replacing());
    pages.end();
    CHECK(pages.allow_replacing());
    CHECK(pages.allow_replacing());  // again, as often as pages are replaced
    CHECK_FALSE(pages.begin());
    CHECK(pages.allow_replacing());  // which a refused one does not change
}

TEST_CASE("page_registrations: of two threads at the same time one is refused", "[pool]") {
    for (int i = 0; i < 2'000; ++i) {
        page_registrations pages;
        std::atomic<int> ready{0};
        bool began = false;
        bool replaces = false;
        const auto meet = [&] {
            ready.fetch_add(1);
            while (ready.load() != 2) {
            }
        };
        std::thread other{[&] {
            meet();
            began = pages.begin();
        }};
        meet();
        replaces = pages.allow_replacing();
        other.join();
        REQUIRE(began != replaces);
    }
}

}  // namespace
