// SPDX-License-Identifier: MIT
#pragma once

// The sinks as tests go over them: as they come, and lending whatever they may.

#include <unistd.h>

#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/splice.hpp>
#include <zcpool/sink/vmsplice.hpp>
#include <zcpool/sink/write.hpp>
#include <zcpool/sink/zerocopy.hpp>

namespace zcpool_test {

/// A sink when it copies nothing by choice.
template <class Sink>
struct lending : Sink {
    explicit lending(int fd) : Sink(fd, {.copy_below = 0}) {}
};

using lending_sendfile = lending<zcpool::sink::sendfile>;
using lending_splice = lending<zcpool::sink::splice>;
using lending_vmsplice = lending<zcpool::sink::vmsplice>;

using lending_zerocopy = lending<zcpool::sink::zerocopy>;

/// The one that chooses, when lending is always worth it.
struct lending_automatic : zcpool::sink::automatic {
    explicit lending_automatic(int fd)
        : zcpool::sink::automatic(fd, {.copy_below = 0, .lend_after = 0}) {}
};

/// Flushes until the sink is done, blocked or has failed; ten seconds at most while the kernel
/// still holds memory.
template <class Sink>
zcpool::sink::state settle(Sink& out) {
    auto state = out.flush();
    for (int i = 0; i < 10'000 && state == zcpool::sink::state::pending; ++i) {
        ::usleep(1'000);
        state = out.flush();
    }
    return state;
}

}  // namespace zcpool_test

#define PLAIN_SINKS                                                                                \
    zcpool::sink::write, zcpool::sink::sendfile, zcpool::sink::splice, zcpool::sink::vmsplice,     \
        zcpool::sink::zerocopy, zcpool::sink::automatic
/// Those without a receipt.
#define LENDING_SINKS                                                                              \
    zcpool_test::lending_sendfile, zcpool_test::lending_splice, zcpool_test::lending_vmsplice,     \
        zcpool_test::lending_automatic
#define ALL_SINKS PLAIN_SINKS, LENDING_SINKS, zcpool_test::lending_zerocopy
