// SPDX-License-Identifier: MIT
#pragma once

// What the server is told on its command line, checked before anything is opened.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <zcpool/sys/page_lock.hpp>

#include <segment_server/http/head_scanner.hpp>

namespace segment_server {

enum class serving_mode { pool, naive };

/// What lendable slots lie in.
enum class arena_wish {
    automatic,  ///< arenas of huge pages where they are to be had and the pool is large enough
    never,      ///< pages of 4 KiB, replaced slot by slot
    anonymous,
    memfd,
    hugetlb,
};

/// The options of one run.
struct options {
    std::string root;
    std::string listen = "127.0.0.1:8080";
    std::string sink = "sendfile";
    std::string loop = "epoll";     ///< or uring
    unsigned registered_files = 0;  ///< places for sockets in the ring of each loop
    serving_mode mode = serving_mode::pool;
    std::size_t pool_bytes = std::size_t{256} << 20;
    zcpool::lock_policy locking = zcpool::lock_policy::best_effort;
    arena_wish arenas = arena_wish::never;
    unsigned threads = 1;
    std::size_t max_connections = 4096;  ///< of all threads together
    std::string congestion;              ///< empty: what the system chose
    head_limits head;
    std::chrono::milliseconds recheck{0};  ///< how long a look at a file is believed
    std::chrono::milliseconds header_timeout{10'000};
    std::chrono::milliseconds idle_timeout{60'000};
    std::chrono::milliseconds send_timeout{30'000};
    std::chrono::milliseconds drain_timeout{10'000};
};

/// What became of a command line.
struct parsed_options {
    bool run = false;   ///< false: exit with `exit_code`, everything has been said
    int exit_code = 0;  ///< 0 after --help, 2 for an option that cannot be
    options values;
};

/// Reads the command line; prints help, or what is wrong with which value, what the limit is and
/// what to do.
///
/// `sinks`: the names that --sink may have.
[[nodiscard]] parsed_options parse_options(int argc, const char* const* argv,
                                           const std::vector<std::string>& sinks);

}  // namespace segment_server
