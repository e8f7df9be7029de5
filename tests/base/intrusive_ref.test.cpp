// SPDX-License-Identifier: MIT
#include <cstddef>
#include <utility>

#include <support/catch.hpp>
#include <support/witness.hpp>
#include <zcpool/base/intrusive_ref.hpp>

namespace {

struct counted {
    std::size_t holders = 1;
    zcpool_test::witness seen;
};
using reference = zcpool::intrusive_ref<counted>;

/// Not inlined: g++ 12 cannot see that the count is not 0, and warns of what is used after it.
[[gnu::noinline]] void drop(reference last) { last = {}; }

TEST_CASE("intrusive_ref: the object goes with the last reference", "[base]") {
    int alive = 0;
    reference first{new counted{1, zcpool_test::witness{alive}}};
    CHECK((*first).holders == 1);
    reference second = first.share();
    CHECK(first->holders == 2);
    CHECK(second.get() == first.get());
    reference third = std::move(second);
    CHECK_FALSE(second);  // NOLINT(bugprone-use-after-move): what it is then is the test
    CHECK(third->holders == 2);
    third = reference::to(first.get());  // drops what it had
    CHECK(first->holders == 2);
    counted* const released = third.release();
    CHECK_FALSE(third);
    CHECK(first->holders == 2);
    drop(std::move(first));
    CHECK(alive == 1);
    CHECK(released->holders == 1);
    drop(reference{released});
    CHECK(alive == 0);
}

}  // namespace
