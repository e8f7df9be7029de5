// SPDX-License-Identifier: MIT
#pragma once

// The sinks as tests go over them: as they come, and lending whatever they may.

#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/splice.hpp>
#include <zcpool/sink/vmsplice.hpp>
#include <zcpool/sink/write.hpp>

namespace zcpool_test {

/// A sink without a receipt when it copies nothing by choice.
template <class Sink>
struct lending : Sink {
    explicit lending(int fd) : Sink(fd, {.copy_below = 0}) {}
};

using lending_sendfile = lending<zcpool::sink::sendfile>;
using lending_splice = lending<zcpool::sink::splice>;
using lending_vmsplice = lending<zcpool::sink::vmsplice>;

}  // namespace zcpool_test

#define PLAIN_SINKS                                                                                \
    zcpool::sink::write, zcpool::sink::sendfile, zcpool::sink::splice, zcpool::sink::vmsplice
#define LENDING_SINKS                                                                              \
    zcpool_test::lending_sendfile, zcpool_test::lending_splice, zcpool_test::lending_vmsplice
#define ALL_SINKS PLAIN_SINKS, LENDING_SINKS
