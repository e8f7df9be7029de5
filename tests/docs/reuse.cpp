// SPDX-License-Identifier: MIT
// The example of cmake/docs/reuse.md: a pool of a single slot, used again while the peer has not
// read what was sent from it.
#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::all_are;
using docs::fill;
using docs::require;
using namespace zcpool::literals;

// [snippet: cmake/docs/reuse.md]
using small_pool = zcpool::pool<zcpool::size_classes<32_KiB>>;

/// Sends a page of `letter`; nobody has read it when this returns.
template <zcpool::chain_sink Sink>
void send_page(small_pool& pool, int socket, char letter) {
    zcpool::buffer page = pool.try_acquire(32_KiB);
    require(bool{page}, "the one slot is there");
    fill(page.space(), letter);
    page.commit(page.space().size());

    Sink out{socket};
    out.push(std::move(page).freeze());  // a sink that lends takes nothing but slices
    require(out.flush() == zcpool::sink::state::done, "the socket has room");
}  // sink and slice go here: nobody in this process has the slot any more

template <zcpool::chain_sink Sink>
void send_twice_from_one_slot(small_pool& pool, int ours, int theirs) {
    send_page<Sink>(pool, ours, 'a');
    send_page<Sink>(pool, ours, 'b');  // into the same slot, before 'a' was read

    std::vector<std::byte> got(32_KiB);
    require(::recv(theirs, got.data(), got.size(), MSG_WAITALL) == 32_KiB, "the first page");
    require(all_are(got, 'a'), "it is what it was when it was sent");
    require(::recv(theirs, got.data(), got.size(), MSG_WAITALL) == 32_KiB, "the second page");
    require(all_are(got, 'b'), "and so is this");
}
// [/snippet]

}  // namespace

int main() {
    const auto sockets = docs::connected(SOCK_NONBLOCK);
    const int ours = sockets.ours.get(), theirs = sockets.theirs.get();
    // No account of what peers may still hold: a quarter of one slot would be none.
    auto pool =
        docs::value_or_end(small_pool::create({.slots = {1},
                                               .lending = zcpool::lending::cached,
                                               .lent_settle_time = std::chrono::milliseconds{0}}));
    send_twice_from_one_slot<zcpool::sink::write>(pool, ours, theirs);
    require(pool.stats()[0].lent == 0, "write lends nothing");
    send_twice_from_one_slot<zcpool::sink::sendfile>(pool, ours, theirs);
    send_twice_from_one_slot<zcpool::sink::splice>(pool, ours, theirs);
    send_twice_from_one_slot<zcpool::sink::vmsplice>(pool, ours, theirs);
    send_twice_from_one_slot<zcpool::sink::automatic>(pool, ours, theirs);
    require(pool.stats()[0].lent != 0 && pool.stats()[0].renewed != 0, "the others do");
    return 0;
}
