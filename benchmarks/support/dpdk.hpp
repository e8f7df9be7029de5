// SPDX-License-Identifier: MIT
#pragma once

// DPDK's mempool stands in a file of its own, core.dpdk.cpp: its headers want more of the processor
// than what we measure ourselves may be built for.

namespace bench {

/// Registers all rows of DPDK's mempool, or says why it does not work here.
void register_dpdk();

}  // namespace bench
