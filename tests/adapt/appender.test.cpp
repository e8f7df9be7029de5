// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <support/pools.hpp>
#include <support/texts.hpp>
#include <zcpool/adapt/appender.hpp>

namespace {

using namespace zcpool_test;
using zcpool::writer;
using zcpool::adapt::appender;

static_assert(std::output_iterator<appender, char>);

TEST_CASE("appender: what an algorithm writes is in the chain", "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    writer out{pool, 4_KiB};
    const std::string text(5000, 'x');
    const appender end = std::copy(text.begin(), text.end(), appender{out});
    CHECK_FALSE(end.failed());
    CHECK(out.lost() == 0);
    CHECK(text_of(out.finish()) == text);
}

TEST_CASE("appender: buffers grow with the text", "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    writer out{pool};
    *appender{out} = 'x';
    CHECK(pool.stats()[0].in_use == 1);
    CHECK(pool.stats()[1].in_use == 0);
    std::fill_n(appender{out}, 5000, 'x');
    CHECK(pool.stats()[0].in_use == 2);
}

TEST_CASE("appender: where the pool has no slot the text ends, and the writer says so", "[adapt]") {
    const auto pool = make_pool({.slots = {3, 1}});
    auto held = pool.try_acquire(4_KiB);
    writer out{pool, 4_KiB};
    const std::string text(8200, 'x');
    CHECK(std::copy(text.begin(), text.end(), appender{out}).failed());
    CHECK(out.lost() == 8);
    CHECK(out.size() == 8192);
    CHECK(out.refusal() == zcpool::errc::exhausted);

    // Room again, but nothing closes up behind the gap, however it is written.
    held.reset();
    CHECK(appender{out}.failed());
    *appender{out} = 'y';
    CHECK(out.lost() == 9);
    CHECK(out.space().empty());
    CHECK(out.growing_space().empty());
    CHECK(out.write(std::string_view{"y"}) == 0);
    CHECK_FALSE(out.put(std::uint8_t{1}));
    CHECK_FALSE(out.append(make_slice(pool, 4097, 1)));
    CHECK(text_of(out.finish()) == std::string(8192, 'x'));

    CHECK(out.lost() == 0);
    CHECK_FALSE(appender{out}.failed());
    *appender{out} = 'z';
    CHECK(text_of(out.finish()) == "z");
}

TEST_CASE("appender: the writer names the reason", "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    writer out{pool};
    CHECK(out.refusal(64_KiB + 1) == zcpool::errc::too_large);
    pool.close();
    *appender{out} = 'x';
    CHECK(out.lost() == 1);
    CHECK(out.refusal() == zcpool::errc::closed);
}

}  // namespace
