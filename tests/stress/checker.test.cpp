// SPDX-License-Identifier: MIT

// The checker checked: what it must accept and, more, what it must refuse.

#include <support/catch.hpp>

#include "history.hpp"
#include "linearizability.hpp"

namespace {

using namespace zcpool_test;

operation at(std::uint64_t begin, std::uint64_t end, act what, std::uint32_t value = 0) {
    return {begin, end, value, what, 0};
}

TEST_CASE("checker: accepts what one thread did alone", "[checker]") {
    CHECK(is_linearizable_pool(2, {}));
    CHECK(is_linearizable_pool(
        2, {at(1, 2, act::acquire, 0), at(3, 4, act::acquire, 1), at(5, 6, act::was_full),
            at(7, 8, act::release, 0), at(9, 10, act::acquire, 0)}));
    CHECK(is_linearizable(
        set_model{}, {at(1, 2, act::push, 7), at(3, 4, act::push, 5), at(5, 6, act::push, 5),
                      at(7, 8, act::pop, 5), at(9, 10, act::pop, 7), at(11, 12, act::pop_none)}));
    CHECK(is_linearizable(queue_model{2}, {at(1, 2, act::push, 7), at(3, 4, act::push, 5),
                                           at(5, 6, act::refused, 9), at(7, 8, act::pop, 7),
                                           at(9, 10, act::pop, 5), at(11, 12, act::pop_none)}));
}

TEST_CASE("checker: accepts operations that overlap in any order that makes sense", "[checker]") {
    // The release that frees the slot ends long after the acquire that got it.
    CHECK(is_linearizable_pool(
        1, {at(1, 2, act::acquire, 0), at(3, 100, act::release, 0), at(10, 20, act::acquire, 0)}));
    // Exhausted, although one of two slots was free at every moment: each was in use at one.
    CHECK(is_linearizable_pool(2, {at(1, 2, act::acquire, 0), at(10, 40, act::was_full),
                                   at(15, 18, act::release, 0), at(20, 25, act::acquire, 1)}));
    // Found only by stepping back: the first pop to begin is the last to take effect.
    CHECK(is_linearizable(
        queue_model{8}, {at(1, 50, act::pop, 3), at(2, 30, act::push, 1), at(3, 40, act::push, 2),
                         at(4, 45, act::push, 3), at(5, 48, act::pop, 1), at(6, 49, act::pop, 2)}));
    CHECK(is_linearizable(queue_model{8}, {at(1, 20, act::push_lost, 1), at(5, 9, act::pop_none)}));
    CHECK(is_linearizable(set_model{},
                          {at(1, 2, act::push, 3), at(4, 9, act::push, 1), at(5, 8, act::pop, 3)}));
}

TEST_CASE("checker: refuses a slot that two threads have", "[checker]") {
    CHECK_FALSE(is_linearizable_pool(2, {at(1, 9, act::acquire, 1), at(2, 8, act::acquire, 1)}));
}

TEST_CASE("checker: refuses a slot that is given out before it came back", "[checker]") {
    CHECK_FALSE(is_linearizable_pool(
        1, {at(1, 2, act::acquire, 0), at(3, 4, act::acquire, 0), at(5, 6, act::release, 0)}));
}

TEST_CASE("checker: refuses `exhausted` while a slot is free all the time", "[checker]") {
    CHECK_FALSE(is_linearizable_pool(2, {at(1, 2, act::acquire, 0), at(3, 20, act::was_full),
                                         at(5, 9, act::release, 0), at(22, 23, act::acquire, 1)}));
}

TEST_CASE("checker: refuses a slot that the pool does not have", "[checker]") {
    CHECK_FALSE(is_linearizable_pool(2, {at(1, 2, act::acquire, 2)}));
}

TEST_CASE("checker: refuses an index that a store made up, or gave twice", "[checker]") {
    CHECK_FALSE(is_linearizable(set_model{}, {at(1, 2, act::push, 4), at(1, 5, act::pop, 5)}));
    CHECK_FALSE(is_linearizable(
        set_model{}, {at(1, 2, act::push, 4), at(3, 5, act::pop, 4), at(4, 6, act::pop, 4)}));
    // It was pushed, but later.
    CHECK_FALSE(is_linearizable(set_model{}, {at(1, 2, act::pop, 4), at(3, 5, act::push, 4)}));
}

TEST_CASE("checker: refuses a pop alone that passes by what is there", "[checker]") {
    CHECK_FALSE(is_linearizable(set_model{}, {at(1, 2, act::push, 4), at(3, 4, act::pop_none)}));
    CHECK_FALSE(is_linearizable(
        set_model{}, {at(1, 2, act::push, 4), at(3, 4, act::push, 3), at(5, 6, act::pop, 4)}));
}

TEST_CASE("checker: refuses a queue that turns the order round", "[checker]") {
    CHECK_FALSE(is_linearizable(queue_model{8}, {at(1, 2, act::push, 1), at(3, 4, act::push, 2),
                                                 at(5, 9, act::pop, 2), at(10, 12, act::pop, 1)}));
    // The order of two pushes is open, but not two orders at once.
    CHECK_FALSE(is_linearizable(
        queue_model{8},
        {at(1, 9, act::push, 1), at(2, 9, act::push, 2), at(10, 11, act::pop, 2),
         at(12, 13, act::pop, 1), at(14, 15, act::push, 3), at(16, 17, act::push, 4),
         at(18, 20, act::pop, 4), at(21, 22, act::pop, 3)}));
}

TEST_CASE("checker: refuses a queue that loses, doubles or hides one", "[checker]") {
    CHECK_FALSE(is_linearizable(queue_model{8}, {at(1, 2, act::push_lost, 1)}));
    CHECK_FALSE(
        is_linearizable(queue_model{8}, {at(1, 2, act::push_lost, 1), at(3, 4, act::pop_none)}));
    CHECK_FALSE(is_linearizable(
        queue_model{8}, {at(1, 2, act::push, 1), at(3, 4, act::pop, 1), at(3, 5, act::pop, 1)}));
    CHECK_FALSE(is_linearizable(
        queue_model{8}, {at(1, 2, act::push, 1), at(3, 5, act::pop_none), at(6, 7, act::pop, 1)}));
}

TEST_CASE("checker: refuses a queue that is full too early or holds too many", "[checker]") {
    CHECK_FALSE(
        is_linearizable(queue_model{2}, {at(1, 2, act::push, 1), at(3, 4, act::refused, 2)}));
    CHECK_FALSE(is_linearizable(queue_model{1}, {at(1, 2, act::push, 1), at(3, 4, act::push, 2)}));
}

}  // namespace
