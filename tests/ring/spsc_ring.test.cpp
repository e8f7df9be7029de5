// SPDX-License-Identifier: MIT
#include <array>
#include <optional>
#include <thread>

#include <support/catch.hpp>
#include <support/scale.hpp>
#include <zcpool/ring/spsc_ring.hpp>

namespace {

using zcpool::ring_message;
using zcpool::take_back_outcome;

template <std::size_t Cells>
struct ring {
    explicit ring(std::uint64_t begin = 0) : in{memory(), begin}, out{memory(), begin} {
        taken.store(begin, zcpool::memory_order_relaxed);
    }
    [[nodiscard]] zcpool::spsc_memory memory() { return {cells, taken}; }
    [[nodiscard]] std::optional<ring_message> take() {
        const auto found = out.peek();
        if (found && !out.pop()) {
            return std::nullopt;
        }
        return found;
    }
    std::array<zcpool::spsc_memory::cell, Cells> cells;
    zcpool::spsc_memory::position taken;
    zcpool::spsc_producer in;
    zcpool::spsc_consumer out;
};

constexpr std::uint64_t largest = (std::uint64_t{1} << 51) - 1;

TEST_CASE("spsc_ring: messages come out whole and in order, up to the capacity", "[ring]") {
    ring<4> one;
    CHECK_FALSE(one.out.peek());
    for (std::uint64_t lap = 0; lap < 3; ++lap) {
        for (std::uint64_t i = 0; i < 4; ++i) {
            REQUIRE(one.in.try_push({largest - i, ~lap}));
        }
        CHECK_FALSE(one.in.try_push({}));
        CHECK(one.out.peek() == ring_message{largest, ~lap});
        CHECK(one.out.peek() == ring_message{largest, ~lap});
        for (std::uint64_t i = 0; i < 4; ++i) {
            CHECK(one.take() == ring_message{largest - i, ~lap});
        }
        CHECK_FALSE(one.take());
        CHECK_FALSE(one.in.try_push({}));  // it has not looked
        REQUIRE(one.in.refresh());
        CHECK(one.in.was_taken() == one.in.pushed());
    }
}

TEST_CASE("spsc_ring: a ring of one cell", "[ring]") {
    ring<1> one;
    for (std::uint64_t i = 0; i < 10; ++i) {
        REQUIRE(one.in.try_push({i, i}));
        CHECK_FALSE(one.in.try_push({}));
        CHECK(one.take() == ring_message{i, i});
        REQUIRE(one.in.refresh());
    }
}

TEST_CASE("spsc_ring: laps and positions start over", "[ring]") {
    const auto begin =
        GENERATE(std::uint64_t{0}, (std::uint64_t{1} << 14) - 6, ~std::uint64_t{0} - 5);
    ring<2> one{begin};
    for (std::uint64_t i = 0; i < 12; ++i) {
        CHECK_FALSE(one.out.peek());
        REQUIRE(one.in.try_push({i, 1}));
        REQUIRE(one.in.try_push({i, 2}));
        CHECK_FALSE(one.in.try_push({}));
        CHECK(one.take() == ring_message{i, 1});
        CHECK(one.take() == ring_message{i, 2});
        REQUIRE(one.in.refresh());
    }
}

TEST_CASE("spsc_ring: the oldest message is taken back, if the consumer has not got it", "[ring]") {
    ring<2> one;
    CHECK(one.in.take_back() == take_back_outcome::too_late);
    REQUIRE(one.in.try_push({1, 1}));
    REQUIRE(one.in.try_push({2, 2}));
    CHECK(one.in.take_back() == take_back_outcome::taken_back);
    REQUIRE(one.in.try_push({3, 3}));
    CHECK(one.take() == ring_message{2, 2});
    CHECK(one.take() == ring_message{3, 3});
    CHECK(one.in.take_back() == take_back_outcome::too_late);
    CHECK(one.in.was_taken() == 3);

    SECTION("between the look and the taking") {
        REQUIRE(one.in.try_push({4, 4}));
        REQUIRE(one.in.try_push({5, 5}));
        REQUIRE(one.out.peek() == ring_message{4, 4});
        CHECK(one.in.take_back() == take_back_outcome::taken_back);
        CHECK_FALSE(one.out.pop());
        CHECK(one.take() == ring_message{5, 5});
    }
    SECTION("all of them, and others behind") {
        for (std::uint64_t i = 4; i < 20; ++i) {
            REQUIRE(one.in.try_push({i, i}));
            if (i % 2 == 1) {
                CHECK(one.in.take_back() == take_back_outcome::taken_back);
                CHECK(one.in.take_back() == take_back_outcome::taken_back);
            }
        }
        CHECK_FALSE(one.out.peek());
        REQUIRE(one.in.try_push({20, 20}));
        CHECK(one.take() == ring_message{20, 20});
    }
}

TEST_CASE("spsc_ring: a position that cannot be is refused and changes nothing", "[ring]") {
    ring<4> one;
    for (std::uint64_t i = 0; i < 3; ++i) {
        REQUIRE(one.in.try_push({i, i}));
    }
    CHECK(one.take());
    REQUIRE(one.in.refresh());
    for (const std::uint64_t bad :
         {std::uint64_t{0}, std::uint64_t{4}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
        one.taken.store(bad, zcpool::memory_order_relaxed);
        CHECK_FALSE(one.in.refresh());
        CHECK(one.in.take_back() == take_back_outcome::corrupt);
        CHECK(one.in.was_taken() == 1);
    }
    one.taken.store(3, zcpool::memory_order_relaxed);
    CHECK(one.in.refresh());
}

TEST_CASE("spsc_ring: two threads, every message once and in order", "[ring]") {
    ring<8> one;
    const auto count = static_cast<std::uint64_t>(zcpool_test::scaled(200'000));
    std::thread producer{[&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            while (!one.in.try_push({i & largest, ~i})) {
                if (!one.in.refresh()) {
                    std::abort();
                }
                std::this_thread::yield();
            }
        }
    }};
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < count;) {
        if (const auto found = one.take()) {
            wrong += *found == ring_message{i & largest, ~i} ? 0U : 1U;
            ++i;
        } else {
            std::this_thread::yield();
        }
    }
    producer.join();
    CHECK(wrong == 0);
}

TEST_CASE("spsc_ring: a producer that takes back, and what comes out still comes in order",
          "[ring]") {
    ring<4> one;
    const auto count = static_cast<std::uint64_t>(zcpool_test::scaled(200'000));
    std::uint64_t back = 0;
    std::thread producer{[&] {
        for (std::uint64_t i = 1; i <= count; ++i) {
            while (!one.in.try_push({i, ~i})) {
                back += one.in.take_back() == take_back_outcome::taken_back ? 1U : 0U;
            }
        }
    }};
    std::uint64_t last = 0;
    std::uint64_t got = 0;
    std::uint64_t wrong = 0;
    while (last != count) {
        if (const auto found = one.take()) {
            wrong += found->second == ~found->first && found->first > last ? 0U : 1U;
            last = found->first;
            ++got;
        } else {
            std::this_thread::yield();
        }
    }
    producer.join();
    CHECK(wrong == 0);
    CHECK(got + back == count);
}

}  // namespace
