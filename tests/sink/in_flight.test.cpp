// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/scale.hpp>
#include <support/witness.hpp>
#include <zcpool/sink/in_flight.hpp>

namespace {

using zcpool::sink::confirmation;
using zcpool::sink::in_flight;
using zcpool_test::witness;

TEST_CASE("in_flight: what a send kept goes with its confirmation, in whatever order", "[sink]") {
    int kept[3]{};
    in_flight<witness> sends;
    REQUIRE(sends.reserve(6));
    for (int& each : kept) {
        sends.keep(witness{each});
        sends.keep(witness{each});
        sends.sent();
    }
    CHECK(sends.size() == 3);
    CHECK(sends.confirm(1, 1) == confirmation{1, 0, 0});
    CHECK((kept[0] == 2 && kept[1] == 0 && kept[2] == 2));
    CHECK(sends.confirm(0, 0) == confirmation{1, 0, 0});
    CHECK((kept[0] == 0 && kept[2] == 2));
    CHECK(sends.confirm(2, 2) == confirmation{1, 0, 0});
    CHECK(kept[2] == 0);
    CHECK(sends.empty());
}

TEST_CASE("in_flight: what several sends refer to is kept until the last of them", "[sink]") {
    int kept = 0;
    in_flight<witness> sends;
    REQUIRE(sends.reserve(3));
    for (int i = 0; i < 3; ++i) {
        sends.keep(witness{kept});
        sends.sent();
    }
    CHECK(sends.confirm(1, 2) == confirmation{2, 0, 0});
    CHECK(kept == 1);
    CHECK(sends.confirm(0, 0) == confirmation{1, 0, 0});
    CHECK(kept == 0);
}

TEST_CASE("in_flight: a range may cross the end of the numbers", "[sink]") {
    int kept = 0;
    in_flight<witness> sends{UINT32_MAX - 1};
    REQUIRE(sends.reserve(4));
    for (int i = 0; i < 4; ++i) {
        sends.keep(witness{kept});
        sends.sent();
    }
    CHECK(sends.confirm(UINT32_MAX, 0) == confirmation{2, 0, 0});
    CHECK(kept == 2);
    CHECK(sends.confirm(UINT32_MAX - 1, 1) == confirmation{2, 2, 0});
    CHECK(kept == 0);
}

TEST_CASE("in_flight: what was confirmed before, or never sent, is told and ignored", "[sink]") {
    int kept = 0;
    in_flight<witness> sends{10};
    CHECK(sends.confirm(9, 12) == confirmation{0, 1, 3});
    REQUIRE(sends.reserve(2));
    for (int i = 0; i < 2; ++i) {
        sends.keep(witness{kept});
        sends.sent();
    }
    CHECK(sends.confirm(12, 13) == confirmation{0, 0, 2});
    CHECK(sends.confirm(8, 9) == confirmation{0, 2, 0});
    CHECK(kept == 2);
    CHECK(sends.confirm(11, 11) == confirmation{1, 0, 0});
    CHECK(sends.confirm(11, 11) == confirmation{0, 1, 0});
    CHECK(sends.confirm(8, 20) == confirmation{1, 3, 9});
    CHECK(kept == 0);
    // A range that ends before it begins goes nearly round the circle.
    CHECK(sends.confirm(14, 11).confirmed == 0);
}

TEST_CASE("in_flight: grows with what is in flight, and keeps the order over it", "[sink]") {
    std::vector<int> kept(1'000);
    in_flight<witness> sends{UINT32_MAX - 300};
    std::uint32_t next = UINT32_MAX - 300;
    for (std::size_t i = 0; i < kept.size(); ++i) {
        REQUIRE(sends.reserve(1));
        sends.keep(witness{kept[i]});
        sends.sent();
        if (i % 3 == 2) {  // the oldest goes: positions in the ring move
            CHECK(sends.confirm(next, next).confirmed == 1);
            CHECK(kept[i / 3] == 0);
            ++next;
        }
    }
    CHECK(sends.size() == kept.size() - kept.size() / 3);
    CHECK(sends.confirm(next, next + 999).confirmed == kept.size() - kept.size() / 3);
    CHECK(sends.empty());
    CHECK(std::all_of(kept.begin(), kept.end(), [](int each) { return each == 0; }));
}

TEST_CASE("in_flight: what is confirmed makes room: many sends need no more memory than a few",
          "[sink]") {
    int kept = 0;
    in_flight<witness> sends;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        REQUIRE(sends.reserve(3));
        sends.keep(witness{kept});
        sends.sent();
        if (i % 8 == 7) {
            CHECK(sends.confirm(i - 7, i).confirmed == 8);
        }
    }
    CHECK(sends.capacity() == 16);
}

/// Sends as the kernel sees them, and the socket's error queue: it confirms in an order of its own,
/// coalesces with the notice that came last, and in this model lies now and then.
class fake_kernel {
public:
    explicit fake_kernel(std::uint32_t first) : next_(first) {}

    std::uint32_t send() {
        unconfirmed_.push_back(next_);
        return next_++;
    }

    struct notice {
        std::uint32_t first;
        std::uint32_t last;
    };

    /// Has done with some of the sends.
    template <class Random>
    void complete(Random& random) {
        for (auto many = random() % 4; many != 0 && !unconfirmed_.empty(); --many) {
            // Mostly in order, as TCP does.
            const auto which = random() % 4 == 0 ? random() % unconfirmed_.size() : 0;
            const std::uint32_t number = unconfirmed_[which];
            unconfirmed_.erase(unconfirmed_.begin() + static_cast<std::ptrdiff_t>(which));
            if (!queue_.empty() && queue_.back().last + 1 == number && random() % 8 != 0) {
                queue_.back().last = number;
            } else {
                queue_.push_back({number, number});
            }
        }
    }

    [[nodiscard]] bool has_notice() const { return !queue_.empty(); }
    notice read() {
        const notice first = queue_.front();
        queue_.pop_front();
        return first;
    }
    [[nodiscard]] std::uint32_t next() const { return next_; }
    [[nodiscard]] bool is_done() const { return unconfirmed_.empty() && queue_.empty(); }

private:
    std::uint32_t next_;
    std::vector<std::uint32_t> unconfirmed_;
    std::deque<notice> queue_;
};

/// What each send kept, as an oracle knows it.
struct model {
    explicit model(std::uint32_t first) : base(first), sends(first) {}

    std::uint32_t base;
    in_flight<witness> sends;
    std::deque<int> kept;         // by thing; a deque's elements stay where they are
    std::vector<bool> confirmed;  // by send
    std::vector<std::pair<std::size_t, std::size_t>> things;  // of a send: first, count
    std::vector<int> references;  // of a thing: sends in flight that refer to it

    void send(std::size_t first_thing, std::size_t count) {
        REQUIRE(sends.reserve(count));
        for (std::size_t i = first_thing; i < first_thing + count; ++i) {
            sends.keep(witness{kept[i]});
            ++references[i];
        }
        sends.sent();
        things.emplace_back(first_thing, count);
        confirmed.push_back(false);
    }

    void confirm(std::uint32_t first, std::uint32_t last) {
        confirmation expected;
        for (std::uint32_t number = first;; ++number) {
            // Half the circle ahead of the first send is the future, the rest is the past.
            const auto send = static_cast<std::int32_t>(number - base);
            if (send < 0) {
                ++expected.duplicates;
            } else if (static_cast<std::size_t>(send) >= confirmed.size()) {
                ++expected.unknown;
            } else if (confirmed[static_cast<std::size_t>(send)]) {
                ++expected.duplicates;
            } else {
                ++expected.confirmed;
                confirmed[static_cast<std::size_t>(send)] = true;
                const auto [begin, count] = things[static_cast<std::size_t>(send)];
                for (std::size_t i = begin; i < begin + count; ++i) {
                    --references[i];
                }
            }
            if (number == last) {
                break;
            }
        }
        REQUIRE(sends.confirm(first, last) == expected);
    }

    void check() const {
        REQUIRE(std::equal(kept.begin(), kept.end(), references.begin(), references.end()));
        REQUIRE(sends.size() ==
                static_cast<std::size_t>(std::count(confirmed.begin(), confirmed.end(), false)));
    }
};

TEST_CASE("in_flight: whatever a kernel says in whatever order, nothing goes too early or too late",
          "[sink]") {
    const long sequences = zcpool_test::scaled(10'000);
    for (long sequence = 0; sequence < sequences; ++sequence) {
        std::minstd_rand random{static_cast<unsigned>(sequence + 1)};
        CAPTURE(sequence);
        const auto first =
            static_cast<std::uint32_t>(random() % 2 == 0 ? 0 : UINT32_MAX - random() % 40);
        fake_kernel kernel{first};
        model tested{first};
        std::size_t oldest_thing = 0;
        const auto turn = [&](bool sending) {
            if (sending) {
                // A send begins with the thing at which the last one was cut short.
                const std::size_t count = 1 + random() % 3;
                while (tested.kept.size() < oldest_thing + count) {
                    tested.kept.push_back(0);
                    tested.references.push_back(0);
                }
                static_cast<void>(kernel.send());
                tested.send(oldest_thing, count);
                oldest_thing += random() % 2 == 0 ? count : count - 1;
            }
            kernel.complete(random);
            if (kernel.has_notice() && random() % 2 == 0) {
                const auto told = kernel.read();
                tested.confirm(told.first, told.last);
                if (random() % 8 == 0) {
                    tested.confirm(told.first, told.last);  // once more
                }
            }
            if (random() % 16 == 0) {  // what was never sent
                tested.confirm(kernel.next() + 1,
                               kernel.next() + 1 + static_cast<std::uint32_t>(random() % 5));
            }
            tested.check();
        };
        for (auto turns = 5 + random() % 60; turns != 0; --turns) {
            turn(random() % 3 != 0);
        }
        while (!kernel.is_done()) {
            turn(false);
        }
        REQUIRE(tested.sends.empty());
    }
}

}  // namespace
