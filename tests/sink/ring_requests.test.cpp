// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/scale.hpp>
#include <support/witness.hpp>
#include <zcpool/sink/ring_requests.hpp>

namespace {

using zcpool::sink::cqe_more;
using zcpool::sink::cqe_notification;
using zcpool::sink::ring_requests;
using zcpool_test::witness;

TEST_CASE("ring_requests: a result that announces nothing ends the request", "[sink]") {
    int kept = 0;
    ring_requests<witness> requests;
    const auto name = requests.begin(witness{kept});
    REQUIRE(name.has_value());
    CHECK(kept == 1);
    const auto came = requests.complete(*name, 100, 0);
    CHECK(came.result == 100);
    CHECK(came.is_over);
    CHECK(kept == 0);
    CHECK(requests.size() == 0);
}

TEST_CASE("ring_requests: one that announces a notification keeps the memory until it has come",
          "[sink]") {
    int kept = 0;
    ring_requests<witness> requests;
    // Bytes, none, and errors alike: EOPNOTSUPP of AF_UNIX and ECANCELED notify, too.
    for (const std::int32_t result : {100, 0, -EOPNOTSUPP, -ECANCELED}) {
        const auto name = requests.begin(witness{kept});
        auto came = requests.complete(*name, result, cqe_more);
        CHECK(came.result == result);
        CHECK_FALSE(came.is_over);
        CHECK(kept == 1);
        came = requests.complete(*name, 0, cqe_notification);
        CHECK_FALSE(came.result);
        CHECK(came.is_over);
        CHECK(kept == 0);
    }
    CHECK(requests.unexpected() == 0);
}

TEST_CASE("ring_requests: a notification that is seen first does not end a request", "[sink]") {
    int kept = 0;
    ring_requests<witness> requests;
    const auto name = requests.begin(witness{kept});
    CHECK_FALSE(requests.complete(*name, 0, cqe_notification).is_over);
    CHECK(kept == 1);
    CHECK_FALSE(requests.complete(*name, 0, cqe_notification).is_over);  // a duplicate
    CHECK(requests.unexpected() == 1);
    const auto came = requests.complete(*name, 7, cqe_more);
    CHECK(came.result == 7);
    CHECK(came.is_over);
    CHECK(kept == 0);
}

TEST_CASE("ring_requests: a late completion does not touch the request that has its place now",
          "[sink]") {
    int kept = 0;
    ring_requests<witness> requests;
    const auto first = requests.begin(witness{kept});
    static_cast<void>(requests.complete(*first, 1, 0));
    const auto second = requests.begin(witness{kept});
    CHECK(static_cast<std::uint32_t>(*first) == static_cast<std::uint32_t>(*second));
    CHECK(*first != *second);
    CHECK_FALSE(requests.complete(*first, 0, cqe_notification).is_over);
    CHECK_FALSE(requests.complete(*first, 5, 0).result);
    CHECK(requests.unexpected() == 2);
    CHECK(kept == 1);
    CHECK_FALSE(requests.complete(0xFFFF'FFFF, 5, 0).result);  // which never was
    CHECK(requests.unexpected() == 3);
}

TEST_CASE("ring_requests: shows what a request refers to until it is over", "[sink]") {
    ring_requests<int> requests;
    const auto name = requests.begin(42);
    REQUIRE(requests.look(*name) != nullptr);
    CHECK(*requests.look(*name) == 42);
    static_cast<void>(requests.complete(*name, 1, cqe_more));
    CHECK(requests.look(*name) != nullptr);
    static_cast<void>(requests.complete(*name, 0, cqe_notification));
    CHECK(requests.look(*name) == nullptr);
}

TEST_CASE("ring_requests: what was not handed to the ring can be taken back", "[sink]") {
    int kept = 0;
    ring_requests<witness> requests;
    const auto name = requests.begin(witness{kept});
    {
        const witness back = requests.withdraw(*name);
        CHECK(kept == 1);
        CHECK(requests.size() == 0);
    }
    CHECK(kept == 0);
    const auto other = requests.begin(witness{kept});
    static_cast<void>(requests.complete(*other, 1, cqe_more));
    {
        const witness nothing = requests.withdraw(*other);  // the kernel has it
    }
    CHECK(kept == 1);
}

/// A request as a ring sees it that completes as the kernel does, but in any order.
struct fake_request {
    std::uint64_t name;
    std::int32_t result;
    bool announces;
    bool has_said_result = false;
    bool has_notified = false;

    [[nodiscard]] bool is_over() const { return has_said_result && (has_notified || !announces); }
};

TEST_CASE(
    "ring_requests: whatever a ring says in whatever order, each request ends once and in time",
    "[sink]") {
    const long sequences = zcpool_test::scaled(10'000);
    for (long sequence = 0; sequence < sequences; ++sequence) {
        CAPTURE(sequence);
        std::minstd_rand random{static_cast<unsigned>(sequence + 1)};
        ring_requests<witness> requests;
        std::map<std::uint64_t, int> kept;  // stay where they are
        std::vector<fake_request> live;
        std::vector<fake_request> over;
        std::uint64_t unexpected = 0;
        const auto say = [&](fake_request& request, bool notifies) {
            const bool is_duplicate = notifies ? request.has_notified : request.has_said_result;
            // To a request that is over, or that was answered without announcing anything, all is
            // unexpected.
            const bool was_over = request.is_over();
            const auto came = requests.complete(request.name, notifies ? 0 : request.result,
                                                notifies            ? cqe_notification
                                                : request.announces ? cqe_more
                                                                    : 0);
            if (is_duplicate || was_over) {
                ++unexpected;
                REQUIRE_FALSE(came.result);
                REQUIRE_FALSE(came.is_over);
                return;
            }
            (notifies ? request.has_notified : request.has_said_result) = true;
            REQUIRE(came.result.has_value() == !notifies);
            REQUIRE((notifies || came.result == request.result));
            REQUIRE(came.is_over == request.is_over());
        };
        const auto turn = [&](bool beginning) {
            if (beginning) {
                int& place = kept[kept.size()];
                const auto name = requests.begin(witness{place});
                REQUIRE(name.has_value());
                const std::int32_t results[] = {-EPIPE, 0, 1, 1000, -ECANCELED};
                live.push_back({*name, results[random() % 5], random() % 3 != 0});
            }
            if (!live.empty() && random() % 3 != 0) {
                fake_request& one = live[random() % live.size()];
                // Mostly the result first, now and then something twice.
                const bool notifies = one.announces && (one.has_said_result || random() % 4 == 0);
                say(one, notifies);
            }
            if (!over.empty() && random() % 8 == 0) {
                say(over[random() % over.size()], random() % 2 == 0);
            }
            for (auto each = live.begin(); each != live.end();) {
                if (each->is_over()) {
                    over.push_back(*each);
                    each = live.erase(each);
                } else {
                    ++each;
                }
            }
            REQUIRE(requests.size() == live.size());
            REQUIRE(static_cast<std::size_t>(std::count_if(
                        kept.begin(), kept.end(), [](auto& each) { return each.second != 0; })) ==
                    live.size());
            REQUIRE(requests.unexpected() == unexpected);
        };
        for (auto turns = 5 + random() % 100; turns != 0; --turns) {
            turn(random() % 3 == 0);
        }
        for (int i = 0; !live.empty(); ++i) {
            REQUIRE(i < 100'000);
            turn(false);
        }
    }
}

}  // namespace
