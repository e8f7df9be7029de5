// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>

#include <support/catch.hpp>
#include <zcpool/pool/owner_gate.hpp>

namespace {

using namespace zcpool;

constexpr owner_gate::key open = 0x1000;

TEST_CASE("owner_gate: zeroed memory is a closed gate with nobody inside", "[pool]") {
    owner_gate gate;
    CHECK(gate.was() == owner_gate::closed);
    CHECK(gate.was_left());
    CHECK_FALSE(gate.enter(open));
    CHECK(gate.was_left());
}

TEST_CASE("owner_gate: the owner goes in and out while it is open for it", "[pool]") {
    owner_gate gate;
    gate.hold();
    REQUIRE(gate.reopen(open));
    CHECK_FALSE(gate.was_left());
    gate.leave();
    CHECK(gate.was_left());
    REQUIRE(gate.enter(open));
    CHECK_FALSE(gate.was_left());
    gate.leave();
    CHECK_FALSE(gate.enter(open + 8));  // of another pool
    gate.close(open);
    CHECK_FALSE(gate.enter(open));
}

TEST_CASE("owner_gate: a claim keeps the owner and other claimers out until it ends", "[pool]") {
    owner_gate gate;
    gate.release(open);
    CHECK(gate.claim() == open);
    CHECK(gate.claim() == owner_gate::claimed);
    CHECK_FALSE(gate.enter(open));
    gate.hold();
    CHECK_FALSE(gate.reopen(open));
    gate.close(open);  // is not the owner's to close now
    gate.leave();
    CHECK(gate.was() == owner_gate::claimed);
    gate.release(open);
    CHECK(gate.enter(open));
}

TEST_CASE("owner_gate: who claims it while the owner is inside sees that", "[pool]") {
    owner_gate gate;
    gate.release(open);
    REQUIRE(gate.enter(open));
    CHECK(gate.claim() == open);
    CHECK_FALSE(gate.was_left());
    gate.leave();
    CHECK(gate.was_left());
}

TEST_CASE("owner_gate: owner and claimers are never at it together", "[pool][.stress]") {
    REQUIRE(sys::process_barrier::prepare().has_value());
    owner_gate gate;
    gate.release(open);
    std::atomic<int> at_it{0};
    std::atomic<int> together{0};
    std::atomic<bool> stop{false};
    long entered = 0;
    std::thread owner{[&] {
        while (!stop.load(std::memory_order_relaxed)) {
            if (gate.enter(open)) {
                // Without atomic read-modify-writes, which would order what the gate has to.
                if (at_it.load(std::memory_order_relaxed) != 0) {
                    together.store(1, std::memory_order_relaxed);
                }
                at_it.store(1, std::memory_order_relaxed);
                ++entered;
                at_it.store(0, std::memory_order_relaxed);
                gate.leave();
            }
        }
    }};
    int claims = 0;
    for (int i = 0; i < 20'000; ++i) {
        const auto before = gate.claim();
        REQUIRE(before == open);
        sys::process_barrier::heavy();
        for (int look = 0; look < 1'000'000 && !gate.was_left(); ++look) {
        }
        if (gate.was_left()) {
            ++claims;
            if (at_it.load(std::memory_order_relaxed) != 0) {
                together.store(1, std::memory_order_relaxed);
            }
            at_it.store(1, std::memory_order_relaxed);
            at_it.store(0, std::memory_order_relaxed);
        }
        gate.release(before);
        for (int look = 0; look < 1'000 && gate.was_left(); ++look) {
            std::this_thread::yield();  // the owner may have a turn
        }
    }
    stop = true;
    owner.join();
    CHECK(together == 0);
    CHECK(claims > 0);
    CHECK(entered > 0);
}

}  // namespace
