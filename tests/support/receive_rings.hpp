// SPDX-License-Identifier: MIT
#pragma once

// Rings to receive through, where the system allows them: of their own, and of a loop.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool_test {

/// Returns: null where io_uring is missing or forbidden, or has no provided buffers: then skip.
inline std::unique_ptr<zcpool::source::receive_ring> test_receive_ring(
    zcpool::pool_view pool, const zcpool::source::receive_ring_options& options) {
    auto made = zcpool::source::receive_ring::create(pool, options);
    if (!made) {
        REQUIRE(made.error().category() == std::system_category());
        return nullptr;
    }
    return std::move(*made);
}

/// An event loop in its smallest form: a ring, and what it drives.
struct receiving_loop {
    std::unique_ptr<zcpool::sys::uring> ring;
    std::unique_ptr<zcpool::source::receive_ring> slots;
    std::vector<void*> told{};  ///< whom the last turn announced
    std::size_t others = 0;     ///< completions that were for somebody else

    /// Hands over what is prepared, and waits for a completion, for so long at most.
    void turn(int milliseconds) {
        ring->submit_and_wait(milliseconds);
        take_in_all();
        told.clear();
        slots->announce([&](void* owner) { told.push_back(owner); });
        slots->reap();
    }
    /// Takes in what is there, and hands nothing over.
    void take_in_all() {
        ring->reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
            if (slots->is_name(name)) {
                slots->take_in(name, result, flags);
            } else {
                ++others;
            }
        });
    }
    /// Turns until something holds, ten seconds at most.
    template <class Condition>
    bool turn_until(Condition&& holds) {
        for (int i = 0; i < 1'000 && !holds(); ++i) {
            turn(10);
        }
        return holds();
    }
};

/// Returns: nothing where test_receive_ring() has nothing.
inline std::optional<receiving_loop> test_receiving_loop(
    zcpool::pool_view pool, const zcpool::source::receive_ring_options& options) {
    auto ring = zcpool::sys::uring::create_for_loop(64);
    if (!ring) {
        REQUIRE(ring.error().category() == std::system_category());
        return std::nullopt;
    }
    auto slots = zcpool::source::receive_ring::create_driven(**ring, pool, options);
    if (!slots) {
        REQUIRE(slots.error().category() == std::system_category());
        return std::nullopt;
    }
    REQUIRE((*ring)->enable().has_value());
    return receiving_loop{std::move(*ring), std::move(*slots)};
}

}  // namespace zcpool_test
