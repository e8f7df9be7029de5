// SPDX-License-Identifier: MIT
// The example of cmake/docs/degrades.md: everything that a program can ask about what it was not
// given.
#include <sys/socket.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <utility>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;
using namespace zcpool::literals;

// [snippet: cmake/docs/degrades.md]
using video_pool = zcpool::pool<zcpool::size_classes<64_KiB, 1_MiB>>;

/// Before anything is made: what this system has, and the command that mends it.
bool look_before_the_start() {
    zcpool::preflight_options wanted{.lock_bytes = 64_MiB};
    wanted[zcpool::feature::sealed_memory] = zcpool::preflight_mode::require;
    wanted[zcpool::feature::memory_lock] = zcpool::preflight_mode::warn;  // a line on stderr
    const auto found = zcpool::preflight(wanted);
    if (!found) {
        std::fprintf(stderr, "cannot run here: %s\n", found.error().text().c_str());
    }
    return found.has_value();
}

/// What a pool was granted. It is made in any case but where this says `required`.
void log_pool(const zcpool::creation_report& got) {
    if (got.text[0] != '\0') {
        std::fprintf(stderr, "pool: %s\n", got.text);  // the value, the limit and the remedy
    }
    if (got.arenas.text[0] != '\0') {
        std::fprintf(stderr, "arenas: %s\n", got.arenas.text);  // why it copies instead
    }
    std::printf("locked=%d lends=%d thread_caches=%d\n", got.locking.locked,
                got.lending != zcpool::lending::never, got.cache == zcpool::cache_policy::thread);
}

/// While it runs: counters, to be exported as they are.
void log_counters(zcpool::pool_view pool, const zcpool::sink::automatic& out) {
    for (const zcpool::class_stats& each : pool.stats()) {
        std::printf("%zu bytes: exhausted=%llu spilled=%llu quarantined=%llu copied_bytes=%llu\n",
                    each.slot_bytes, static_cast<unsigned long long>(each.exhausted),
                    static_cast<unsigned long long>(each.spilled),
                    static_cast<unsigned long long>(each.quarantined),
                    static_cast<unsigned long long>(each.copied_bytes));
    }
    const zcpool::sink::automatic_report chose = out.report();
    std::printf("fallback_bytes=%llu path_refers=%d refused=%llu %s\n",
                static_cast<unsigned long long>(out.stats().fallback_bytes),
                chose.path == zcpool::sink::peer_path::refers,
                static_cast<unsigned long long>(chose.referred.refused),
                chose.refer_refusal ? chose.refer_refusal.message().c_str() : "");
}
// [/snippet]

}  // namespace

int main() {
    std::signal(SIGPIPE, SIG_IGN);
    require(look_before_the_start(), "a system with memfds that can be sealed");

    zcpool::creation_report report;
    auto pool = video_pool::create({.slots = {32, 8}, .lending = zcpool::lending::arena}, &report);
    require(pool.has_value(), report.text);
    require((report.lending == zcpool::lending::never) == (report.arenas.text[0] != '\0'),
            "a pool without arenas says why");
    log_pool(pool->report());

    const auto sockets = docs::connected(SOCK_NONBLOCK);
    zcpool::sink::automatic out{sockets.ours.get()};
    zcpool::buffer frame = pool->try_acquire(64_KiB);
    frame.commit(48'000);
    out.push(std::move(frame).freeze());
    require(out.flush() == zcpool::sink::state::done, "sent");
    require(out.stats().copied_bytes + out.stats().lent_bytes == 48'000, "and counted");
    log_counters(*pool, out);

    // What is out of range is refused, in words.
    require(!video_pool::create({.slots = {0, 8}}, &report), "no slots");
    require(report.text[0] != '\0', "it says what is out of range");
    return 0;
}
