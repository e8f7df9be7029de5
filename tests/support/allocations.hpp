// SPDX-License-Identifier: MIT
#pragma once

// Allocations that fail: those by new (std::nothrow), which are all that the library makes.

#include <system_error>

#include <support/catch.hpp>
#include <zcpool/base/errc.hpp>

namespace zcpool_test {

/// While it lives, the `which`th allocation of this thread by new (std::nothrow) fails, the first
/// being 0. One at a time.
class failing_allocation {
public:
    explicit failing_allocation(long which) noexcept;
    failing_allocation(const failing_allocation&) = delete;
    failing_allocation& operator=(const failing_allocation&) = delete;
    ~failing_allocation();

    /// Whether it came to that.
    [[nodiscard]] bool has_failed() const noexcept;
};

/// Fails each allocation of `attempt()` in turn, which must then return `out_of_memory`, and no
/// error when all succeed.
/// Returns: allocations that were failed.
template <class Attempt>
long fail_each_allocation(Attempt attempt) {
    for (long which = 0;; ++which) {
        REQUIRE(which < 1'000);
        const failing_allocation broken{which};
        const std::error_code error = attempt();
        if (!broken.has_failed()) {
            CHECK(error == std::error_code{});
            return which;
        }
        INFO("allocation " << which);
        CHECK(error == zcpool::errc::out_of_memory);
    }
}

/// The error of a result; none where it has a value.
template <class Result>
std::error_code error_of(const Result& result) {
    return result ? std::error_code{} : result.error();
}

}  // namespace zcpool_test
