// SPDX-License-Identifier: MIT
// expect-error: deleted (member )?function.*push
// A buffer could still be written while the peer reads its pages: it is frozen first.
#include <utility>

#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/splice.hpp>

void send(zcpool::sink::splice& out, zcpool::buffer filled) {
#ifdef ZCPOOL_EXPECT_FAIL
    out.push(std::move(filled));
#else
    out.push(std::move(filled).freeze());
#endif
}
