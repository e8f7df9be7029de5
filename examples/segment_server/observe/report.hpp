// SPDX-License-Identifier: MIT
#pragma once

// What the pages about the server look at.

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <zcpool/pool/pool.hpp>

#include <segment_server/net/connection_quota.hpp>
#include <segment_server/observe/counters.hpp>
#include <segment_server/origin/root_directory.hpp>
#include <segment_server/origin/segment_cache.hpp>

namespace segment_server {

/// Something that was asked for and could not be had, and what serves instead.
struct substitution {
    std::string option;  ///< without the dashes
    std::string asked;
    std::string used;
    std::string reason;
};

/// The parts of a running server, none of which it owns. Valid while the server runs.
struct server_report {
    std::string mode;
    std::string sink;
    std::string loop;
    const root_directory* root = nullptr;
    const connection_quota* quota = nullptr;
    const std::deque<worker_counters>* workers = nullptr;
    std::optional<zcpool::pool_view> pool;    ///< absent in naive mode
    const segment_cache* cache = nullptr;     ///< likewise
    std::optional<zcpool::pool_view> inputs;  ///< absent unless loops receive into slots
    std::vector<substitution> substitutions{};
};

}  // namespace segment_server
