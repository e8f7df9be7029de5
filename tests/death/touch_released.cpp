// SPDX-License-Identifier: MIT

// For valgrind, which is told what may not be touched by a checked pool: `right` uses slots as it
// must, `read`, `write` and `call` touch a released one, and `behind` what lies behind one.

#include <unistd.h>

#include <cstddef>
#include <string_view>
#include <utility>

#include <zcpool/zcpool.hpp>

int main(int argc, char* argv[]) {
    using namespace zcpool::literals;
    using checked = zcpool::pool<zcpool::size_classes<4_KiB>,
                                 zcpool::pool_policy{.checking = zcpool::checking::full}>;
    if (argc != 2) {
        return 2;
    }
    const std::string_view what = argv[1];
    const auto pool =
        checked::create({.slots = {4}, .on_misuse = [](const zcpool::misuse_report&) noexcept {}});
    if (!pool) {
        return 2;
    }
    zcpool::buffer held = pool->try_acquire(1);
    std::byte* const bytes = held.data();
    volatile std::byte* const stray = bytes;
    if (what == "behind") {
        stray[4096] = std::byte{1};
    }
    bytes[0] = std::byte{1};
    held.commit(4096);
    zcpool::slice frozen = std::move(held).freeze();
    int ends[2];
    if (::pipe(ends) != 0 || ::write(ends[1], frozen.data(), frozen.size()) != 4096) {
        return 2;
    }
    frozen = zcpool::slice{};
    if (what == "read") {
        // Used, as valgrind leaves out a load of what nobody uses.
        return stray[1] == std::byte{0xA5} ? 4 : 5;
    } else if (what == "write") {
        stray[1] = std::byte{1};
    } else if (what == "call") {
        static_cast<void>(::write(ends[1], bytes, 1));
    }
    held = pool->try_acquire(1);
    // Decides on what it reads: zeroes, which valgrind must take for written.
    return held.space()[1] == std::byte{0} ? 0 : 3;
}
