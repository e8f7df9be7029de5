// SPDX-License-Identifier: MIT
// expect-error: deleted (member )?function.*push
// A buffer that its owner keeps could be written at any time while the peer reads its pages.
#include <utility>

#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/splice.hpp>

void send(zcpool::sink::splice& out, zcpool::buffer& filled) {
#ifdef ZCPOOL_EXPECT_FAIL
    out.push(filled);
#else
    out.push(std::move(filled).freeze());
#endif
}
