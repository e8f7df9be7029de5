// SPDX-License-Identifier: MIT
#pragma once

// Does the way to a peer copy what is sent by reference? Nobody tells beforehand; the notice of a
// send does. So one send is tried, and what its notice says holds until it is tried again, ever
// more seldom. Knows no system.
// Source: SO_EE_CODE_ZEROCOPY_COPIED, Documentation/networking/msg_zerocopy.rst of Linux.

#include <cstdint>

#include <zcpool/base/bounds.hpp>

namespace zcpool::sink {

/// What becomes of sends by reference on their way to a peer.
enum class peer_path : std::uint8_t {
    unknown,  ///< none was confirmed yet
    copies,   ///< the last one was copied after all (loopback, veth): a write is cheaper
    refers,   ///< the last one went out by reference
};

/// Decides which large sends go by reference.
class path_probe {
public:
    /// Large sends between two trials of a way that copies: at first, and at most.
    static constexpr std::uint32_t first_pause = 64;
    static constexpr std::uint32_t longest_pause = 65'536;

    /// Whether the next large send should go by reference. While it is not known what becomes of
    /// them, one at a time does.
    [[nodiscard]] bool wants_reference() const noexcept {
        return left_ == 0 && (path_ == peer_path::refers || !is_under_way_);
    }

    /// One went by reference.
    void referred() noexcept { is_under_way_ = true; }
    /// One did not.
    void passed_over() noexcept { left_ -= left_ != 0 ? 1U : 0U; }

    /// The kernel has done with those that went, the last of which it had `copied` or not.
    void confirmed(bool copied) noexcept {
        is_under_way_ = false;
        path_ = copied ? peer_path::copies : peer_path::refers;
        if (copied) {
            pause();
        } else {
            next_pause_ = first_pause;
        }
    }
    /// Too much was under way for one more.
    void refused() noexcept { pause(); }

    [[nodiscard]] peer_path path() const noexcept { return path_; }
    /// Large sends until the next trial; 0: the next one.
    [[nodiscard]] std::uint32_t pause_left() const noexcept { return left_; }

private:
    void pause() noexcept {
        left_ = next_pause_;
        next_pause_ = smaller_of(2 * next_pause_, longest_pause);
    }

    peer_path path_ = peer_path::unknown;
    bool is_under_way_ = false;
    std::uint32_t left_ = 0;
    std::uint32_t next_pause_ = first_pause;
};

}  // namespace zcpool::sink
