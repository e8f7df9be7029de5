// SPDX-License-Identifier: MIT
#pragma once

// The ways out of one path, each beside a copying write of the same bytes: processor time of the
// sender a byte.

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <calibrate/connection.hpp>
#include <calibrate/rounds.hpp>

namespace calibrate {

/// What is sent, and how. All but `fresh` send a slice that was filled once, as from a cache.
enum class way : std::uint8_t {
    write,     ///< against itself: the noise
    sendfile,  ///< by reference, without a receipt
    splice,
    vmsplice,
    zerocopy,  ///< by reference, with a receipt; TCP only
    uring,     ///< likewise, through an io_uring
    fresh,     ///< acquire, fill, sendfile, and new pages; against acquire, fill and write
};
inline constexpr std::size_t way_count = static_cast<std::size_t>(way::fresh) + 1;

[[nodiscard]] constexpr const char* name_of(way which) noexcept {
    switch (which) {
        case way::write: return "write again";
        case way::sendfile: return "sendfile";
        case way::splice: return "splice";
        case way::vmsplice: return "vmsplice";
        case way::zerocopy: return "zerocopy";
        case way::uring: return "uring";
        case way::fresh: break;
    }
    return "fresh sendfile";
}

/// A size, and the rounds of each way.
struct row {
    std::size_t bytes = 0;
    std::array<rounds, way_count> ways;

    [[nodiscard]] const rounds& operator[](way which) const noexcept {
        return ways[static_cast<std::size_t>(which)];
    }
};

/// All that was measured of one path.
struct path_costs {
    path over{};
    std::string name;
    std::string congestion_control;
    std::vector<row> rows;
    bool was_copied = false;    ///< what was sent by reference, by the kernel after all
    std::string uring_refusal;  ///< why there is no io_uring; empty: there is
};

/// A path that is being measured. Throws std::system_error or std::runtime_error.
class measurement {
public:
    /// `sizes`: of messages, ascending, powers of two from 4 KiB to 2 MiB.
    measurement(path over, const std::string& to, const std::vector<std::size_t>& sizes,
                std::size_t bytes_a_run);
    measurement(const measurement&) = delete;
    measurement& operator=(const measurement&) = delete;
    ~measurement();

    /// One round of each way and size. At `end` it leaves off, in the middle of a round if need be;
    /// then this must not be called again.
    void run_pass(std::chrono::steady_clock::time_point end);

    [[nodiscard]] path_costs costs() const;

private:
    struct ways_out;

    path_costs costs_;
    std::unique_ptr<ways_out> out_;
    bool is_odd_ = false;
};

}  // namespace calibrate
