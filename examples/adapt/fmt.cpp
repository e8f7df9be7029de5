// SPDX-License-Identifier: MIT
// Text that fmt writes into the slots of a pool, and what the pool says of itself.
#include <fmt/format.h>

#include <zcpool/adapt/appender.hpp>
#include <zcpool/adapt/fmt.hpp>
#include <zcpool/adapt/format_to.hpp>
#include <zcpool/zcpool.hpp>

int main() {
    using namespace zcpool::literals;
    auto pool = zcpool::pool<zcpool::size_classes<4_KiB>>::create({.slots = {4}}).value();

    zcpool::writer out{pool};
    fmt::format_to(zcpool::adapt::appender{out}, "#EXTM3U\n#EXT-X-TARGETDURATION:{}\n", 6);
    const auto line = zcpool::adapt::format_to(out, "{}.m4s\n", 17);  // in one piece, or not at all
    if (out.lost() != 0 || !line) {
        fmt::print(stderr, "no room for it: {}\n", out.refusal().message());
        return 1;
    }
    fmt::print("{}\n{}\n{}\n", out.finish(), pool.stats(), pool.report());
    return 0;
}
