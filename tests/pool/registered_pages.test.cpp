// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include <support/child.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/registered_pages.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::registered_pages;

/// Not by a look at them: they are nobody's, which AddressSanitizer tells.
bool is_mapped(std::span<std::byte> pages) {
    return ::msync(pages.data(), pages.size(), MS_ASYNC) == 0;
}

template <class Pool>
zcpool::result<void> try_to_register(const Pool& pool) {
    auto pages = registered_pages::of(pool);
    return pages ? zcpool::result<void>{} : zcpool::fail(pages.error());
}

TEST_CASE("registered_pages: names the slots' memory, and keeps it when the pool ends", "[pool]") {
    const held before;
    {
        std::optional pool{make_pool({.slots = {2, 2}})};
        auto pages = registered_pages::of(*pool);
        REQUIRE(pages);
        CHECK(pages->bytes().size() == 2 * (4_KiB + 64_KiB));
        auto part = make_slice(*pool, 64_KiB, 1);
        CHECK(part.data() >= pages->bytes().data());
        CHECK(part.data() + part.size() <= pages->bytes().data() + pages->bytes().size());
        registered_pages moved = std::move(*pages);
        const registered_pages second = moved.share();
        moved = second.share();
        part = {};
        pool.reset();  // what is left of it is kept by the promises alone
        CHECK(is_mapped(second.bytes()));
    }
    CHECK(before == held{});
}

TEST_CASE("registered_pages: one promise is enough to keep the memory", "[pool]") {
    std::optional pool{make_pool({.slots = {2, 2}})};
    const auto pages = registered_pages::of(*pool);
    REQUIRE(pages);
    pool.reset();
    CHECK(is_mapped(pages->bytes()));
}

TEST_CASE("registered_pages: while it lives no pages are replaced", "[pool]") {
    const auto pool = make_pool({.slots = {32, 2}});
    {
        const auto pages = registered_pages::of(pool);
        REQUIRE(pages);
        CHECK(pool.trim() == 0);
        CHECK(pool.share().error() == errc::pages_registered);
        CHECK(try_to_register(pool));  // by another ring
        CHECK(pool.trim() == 0);
    }
    CHECK(pool.trim() == 32 * 4_KiB + 2 * 64_KiB);
    CHECK(try_to_register(pool).error() == errc::pages_replaceable);
}

TEST_CASE("registered_pages: a pool whose pages may be replaced is refused", "[pool]") {
    SECTION("it lends") {
        CHECK(try_to_register(make_pool(lending_options(2, 2))).error() == errc::pages_replaceable);
    }
    SECTION("it is shared, or a partner's") {
        const auto pool = make_pool({.slots = {2, 2}});
        const auto shared = pool.share();
        REQUIRE(shared);
        CHECK(try_to_register(pool).error() == errc::pages_replaceable);
    }
    SECTION("it is checked") {
        using checked = zcpool::pool<zcpool::size_classes<4_KiB>,
                                     zcpool::pool_policy{.checking = zcpool::checking::full}>;
        CHECK(try_to_register(make_pool<checked>({.slots = {2}})).error() ==
              errc::pages_replaceable);
    }
}

TEST_CASE("registered_pages: a forked child has no pages to register", "[pool]") {
    const auto pool = make_pool({.slots = {2, 2}});
    CHECK(status_of([&] {
              const auto done = try_to_register(pool);
              return !done && done.error() == errc::closed ? 0 : 1;
          }) == 0);
}

}  // namespace
