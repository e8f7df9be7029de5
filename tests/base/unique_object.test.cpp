// SPDX-License-Identifier: MIT
#include <type_traits>
#include <utility>

#include <support/catch.hpp>
#include <support/witness.hpp>
#include <zcpool/base/unique_object.hpp>

namespace {

using zcpool::unique_object;

struct seen {
    explicit seen(int& alive) : here(alive) {}
    zcpool_test::witness here;
    int number = 7;
};

/// An element of an array, each of which counts for one.
struct counted_object {
    counted_object() { ++alive; }
    counted_object(const counted_object&) = delete;
    counted_object& operator=(const counted_object&) = delete;
    ~counted_object() { --alive; }
    int number = 7;
    static inline int alive = 0;
};

TEST_CASE("unique_object: the object goes with its one owner", "[base]") {
    int alive = 0;
    unique_object<seen> first{new seen{alive}};
    CHECK(alive == 1);
    CHECK(first->number == 7);
    CHECK(&*first == first.get());
    unique_object<seen> second = std::move(first);
    CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): what it is then is the test
    CHECK(first == nullptr);
    CHECK(second != nullptr);
    CHECK(alive == 1);
    second = unique_object<seen>{new seen{alive}};  // deletes what it had
    CHECK(alive == 1);
    second.reset(new seen{alive});
    CHECK(alive == 1);
    unique_object<seen>& itself = second;
    second = std::move(itself);
    CHECK(alive == 1);
    second.reset(second.release());
    CHECK(alive == 1);
    second.reset();
    CHECK(alive == 0);
    {
        const unique_object<seen> last{new seen{alive}};
        CHECK(alive == 1);
    }
    CHECK(alive == 0);
    static_assert(!std::is_copy_constructible_v<unique_object<seen>>);
    static_assert(!std::is_copy_assignable_v<unique_object<seen>>);
}

TEST_CASE("unique_object: an array goes with all its elements", "[base]") {
    unique_object<counted_object[]> some{new counted_object[3]};
    CHECK(counted_object::alive == 3);
    some[2].number = 9;
    CHECK(some.get()[2].number == 9);
    some = {};
    CHECK(counted_object::alive == 0);
    CHECK_FALSE(some);
}

}  // namespace
