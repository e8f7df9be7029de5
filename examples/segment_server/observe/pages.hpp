// SPDX-License-Identifier: MIT
#pragma once

// The two pages that the server makes itself.

#include <segment_server/observe/report.hpp>
#include <segment_server/origin/response_text.hpp>

namespace segment_server {

/// `/metrics`: every counter, as Prometheus reads them.
[[nodiscard]] plain_answer make_metrics_page(const server_report& report);

/// `/`: the streams in the directory, and the state of the pool, for people.
[[nodiscard]] plain_answer make_index_page(const server_report& report);

}  // namespace segment_server
