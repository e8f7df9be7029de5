// SPDX-License-Identifier: MIT
#pragma once

// Out by reference through a pipe, from memory instead of a file: vmsplice puts references to the
// pages that are mapped at an address into the pipe, many slices with one call. They are the same
// pages that splice and sendfile would refer to, and stay referenced as long: so each slot is
// marked as lent first, and its pages are replaced before the next owner writes to it.
// Source: vmsplice(2). SPLICE_F_GIFT is never used: the pages remain the pool's.

#include <zcpool/sink/piped.hpp>
#include <zcpool/sink/sink.hpp>

namespace zcpool::sink {

/// What sink::vmsplice may be told.
using vmsplice_options = pipe_options;

/// Sends slices of lending pools by reference, taken from their addresses, and copies the rest:
/// small ones (but in an arena beside a large one, with which they go along), pools that never
/// lend, adopted memory (whose pages nobody would replace), and everything while the pool's lent
/// budget is used up or no pipe is to be had (counted as fallback).
///
/// Expects: what sink::splice expects.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class vmsplice : public piped_outbox {
public:
    /// A descriptor that is not open shows as error() at once.
    explicit vmsplice(int fd, const vmsplice_options& options = {}) noexcept
        : piped_outbox(fd, options) {}

    /// Moves what it can.
    /// Complexity: two system calls for each pipe full of lent slices, 64 at most, and one for each
    /// run of copied ones.
    state flush() noexcept {
        return flush_through([this] { return fill_from_addresses(); },
                             [this] { return copy_run(0); }, [this] { return leads_to_lending(); });
    }
};

static_assert(chain_sink<vmsplice>);

}  // namespace zcpool::sink
