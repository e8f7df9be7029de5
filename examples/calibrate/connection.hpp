// SPDX-License-Identifier: MIT
#pragma once

// A connection to measure: this end sends, the other end reads what comes and drops it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace calibrate {

enum class path : std::uint8_t {
    loopback,     ///< TCP to a thread of this program
    unix_socket,  ///< likewise over AF_UNIX
    remote,       ///< TCP to `calibrate --discard` on another machine
};

/// The sending end, non-blocking, and who reads. Throws std::system_error.
class connection {
public:
    /// `to`: HOST:PORT of a remote peer.
    connection(path over, const std::string& to);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection();

    [[nodiscard]] int fd() const noexcept { return near_.get(); }
    /// The congestion control of TCP; empty for AF_UNIX.
    [[nodiscard]] std::string congestion_control() const;

    /// Waits until the peer has taken `bytes` more than at the last call, so that one measurement
    /// leaves nothing to the next.
    ///
    /// Returns: false when it is `end` before that.
    [[nodiscard]] bool wait_drained(std::size_t bytes, std::chrono::steady_clock::time_point end);

private:
    void drain() noexcept;

    zcpool::sys::unique_fd near_;
    zcpool::sys::unique_fd far_;  ///< none where the peer is remote
    std::uint64_t expected_ = 0;
    alignas(zcpool::cache_line) zcpool::atomic<std::uint64_t> drained_{0};
    std::thread reader_;
};

/// Keeps the calling thread on one of the processors that it may use, counted from 0; where that
/// is forbidden it stays where it is.
void pin_to(unsigned index) noexcept;

/// Accepts connections on a port and drops what comes, for ever. Port 0: one that is free; which,
/// it prints.
[[noreturn]] void discard(std::uint16_t port);

}  // namespace calibrate
