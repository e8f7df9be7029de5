// SPDX-License-Identifier: MIT
#pragma once

// When the kill test strikes next, and whom.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>

#include <shm_pipeline/options.hpp>

namespace shm_pipeline {

/// Random moments. Half of them come some time after a kill, so that stages die as they start and
/// as they meet; the others some time after a frame has arrived since, so that they die at work.
class killer {
public:
    using clock = std::chrono::steady_clock;

    explicit killer(const broker_options& values)
        : random_(values.seed), left_(values.kills), within_(values.kill_within) {}

    [[nodiscard]] bool has_done() const noexcept { return left_ == 0; }

    /// Whether somebody is to be killed now. `delivered`: frames that have arrived until now.
    [[nodiscard]] bool is_due(std::uint64_t delivered, clock::time_point now) {
        if (waits_for_frame_ && (delivered != delivered_ || now >= gives_up_at_)) {
            waits_for_frame_ = false;
            at_ = now + some_time();
        }
        return left_ != 0 && !waits_for_frame_ && now >= at_;
    }

    /// Counts a kill, and chooses. Expects: `candidates` is not 0.
    [[nodiscard]] std::size_t choose(std::size_t candidates, std::uint64_t delivered,
                                     clock::time_point now) {
        --left_;
        delivered_ = delivered;
        waits_for_frame_ = random_() % 2 == 0;
        gives_up_at_ = now + longest_wait;
        at_ = now + some_time();
        return static_cast<std::size_t>(random_() % candidates);
    }

private:
    // Of a pipeline that stands still there is nothing to wait for.
    static constexpr std::chrono::seconds longest_wait{10};

    [[nodiscard]] clock::duration some_time() {
        const auto most = static_cast<std::uint64_t>(std::chrono::microseconds{within_}.count());
        return std::chrono::microseconds{random_() % (most + 1)};
    }

    std::mt19937_64 random_;
    std::uint32_t left_;
    std::chrono::milliseconds within_;
    bool waits_for_frame_ = true;
    std::uint64_t delivered_ = 0;
    clock::time_point at_;
    clock::time_point gives_up_at_ = clock::now() + longest_wait;
};

}  // namespace shm_pipeline
