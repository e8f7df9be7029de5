// SPDX-License-Identifier: MIT
// segment_server: an HTTP/1.1 origin for HLS and DASH that serves segments out of a pool.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <zcpool/pool/pool.hpp>

#include <segment_server/net/epoll_poller.hpp>
#include <segment_server/observe/report.hpp>
#include <segment_server/options.hpp>
#include <segment_server/origin/naive_origin.hpp>
#include <segment_server/origin/pool_origin.hpp>
#include <segment_server/origin/root_directory.hpp>
#include <segment_server/origin/segment_store.hpp>
#include <segment_server/server.hpp>
#include <segment_server/sinks.hpp>
#if SEGMENT_SERVER_URING
#include <zcpool/sys/uring.hpp>

#include <segment_server/net/file_table.hpp>
#include <segment_server/net/loop_rings.hpp>
#include <segment_server/net/uring_poller.hpp>
#endif

namespace segment_server {
namespace {

int complain(std::string_view what) {
    fmt::print(stderr, "segment_server: {}\n", what);
    return 2;
}

// What both modes have in common.
struct frame {
    options values;
    root_directory root;
    std::vector<zcpool::sys::unique_fd> listeners;
    connection_quota quota;
    std::deque<worker_counters> counters;
    server_report report;
};

// What the system did not give, and where to ask for it.
std::string explain(std::error_code why) {
    const std::string_view remedy =
        why == std::errc::operation_not_permitted
            ? "allow it: sysctl kernel.io_uring_disabled=0, and io_uring_* in the seccomp filter"
        : why == std::errc::not_enough_memory
            ? "raise the limit of locked memory: ulimit -l, LimitMEMLOCK="
        : why == std::errc::too_many_files_open
            ? "raise the limit of open files: ulimit -n, LimitNOFILE="
            : "this kernel, or the seccomp filter, has none";
    return fmt::format("io_uring: {}; {}", why.message(), remedy);
}

// Says that another thing than was asked for serves, once here and in /metrics.
void substitute(frame& parts, std::string option, std::string asked, std::string used,
                std::error_code why) {
    fmt::print(stderr, "segment_server: --{} {}: {}. Goes on with {}\n", option, asked,
               explain(why), used);
    parts.report.substitutions.push_back(
        {std::move(option), std::move(asked), std::move(used), why.message()});
}

#if !SEGMENT_SERVER_URING
using loop_rings = std::vector<int>;
#endif

// Serves with the loop that was chosen, and the ring of which the sinks may have.
template <class MakeOrigin>
int serve_in_loops(frame& parts, loop_rings& rings, MakeOrigin&& make_origin) {
    const auto sinks_ring = [](auto& origin) -> int {
        if constexpr (requires { origin.sinks().ring(); }) {
            return origin.sinks().ring().fd();
        }
        return -1;
    };
#if SEGMENT_SERVER_URING
    if (!rings.empty()) {
        const auto inputs = make_input_pool(parts.values.threads, parts.values.locking);
        const auto ring_of = [&](std::size_t i, auto& origin) -> zcpool::sys::uring& {
            if constexpr (requires { origin.sinks().ring(); }) {
                return origin.sinks().ring().ring();
            } else {
                return *rings[i];
            }
        };
        bool is_said = false;
        bool files_are_said = false;
        const auto with = [&](std::size_t i, auto& origin) {
            loop_ring made{ring_of(i, origin), nullptr, nullptr};
            if (const unsigned places = parts.values.registered_files; places != 0) {
                if (auto files = file_table::create(made.ring, places)) {
                    made.files = std::move(*files);
                } else if (!std::exchange(files_are_said, true)) {
                    substitute(parts, "registered-files", fmt::format("{}", places), "descriptors",
                               files.error());
                }
            }
            if (auto slots = make_receive_ring(made.ring, inputs)) {
                made.slots = std::move(*slots);
                parts.report.inputs = *inputs;
            } else if (!std::exchange(is_said, true)) {
                substitute(parts, "loop", "uring, one receive a connection",
                           "uring, a receive each time", slots.error());
            }
            return made;
        };
        return serve<uring_poller>(parts.values, std::move(parts.listeners), parts.quota,
                                   make_origin, with);
    }
#endif
    static_cast<void>(rings);
    return serve<epoll_poller>(parts.values, std::move(parts.listeners), parts.quota, make_origin,
                               [&](std::size_t, auto& origin) { return sinks_ring(origin); });
}

int serve_naively(frame& parts, loop_rings& rings) {
    return serve_in_loops(parts, rings, [&](std::size_t i) {
        return naive_origin{parts.root, parts.counters[i], parts.report};
    });
}

// The makers of the sinks of each loop: all of them, or none and the reason.
template <class Sink>
zcpool::result<std::vector<sink_maker<Sink>>> make_sink_makers(unsigned loops, loop_rings& rings) {
    std::vector<sink_maker<Sink>> makers;
    for (unsigned i = 0; i < loops; ++i) {
        auto made = [&] {
            if constexpr (requires { sink_maker<Sink>::create(std::move(rings[i])); }) {
                if (!rings.empty()) {
                    return sink_maker<Sink>::create(std::move(rings[i]));
                }
            }
            return sink_maker<Sink>::create();
        }();
        if (!made) {
            return std::unexpected{made.error()};
        }
        makers.push_back(std::move(*made));
    }
    return makers;
}

// What lendable slots of a pool are to lie in; nothing where they are replaced one by one.
std::optional<zcpool::arena_backing> backing_for(const options& values, bool needs_file) {
    // In a smaller one the budget of some class would not come to an arena.
    constexpr std::size_t least = std::size_t{64} << 20;
    switch (values.arenas) {
        case arena_wish::automatic:
            if (values.pool_bytes < least) {
                return std::nullopt;
            }
            return needs_file ? zcpool::arena_backing::memfd : zcpool::arena_backing::anonymous;
        case arena_wish::never: break;
        case arena_wish::anonymous: return zcpool::arena_backing::anonymous;
        case arena_wish::memfd: return zcpool::arena_backing::memfd;
        case arena_wish::hugetlb: return zcpool::arena_backing::hugetlb;
    }
    return std::nullopt;
}

// The pool, in arenas where these were asked for and are to be had.
zcpool::result<segment_pool> make_pool(frame& parts, bool needs_lending, bool needs_file,
                                       zcpool::creation_report& granted) {
    auto wanted = divide(parts.values.pool_bytes);
    wanted.locking = parts.values.locking;
    wanted.lent_settle_time = parts.values.send_timeout;
    if (!needs_lending) {
        return segment_pool::create(wanted, &granted);
    }
    if (const auto backing = backing_for(parts.values, needs_file)) {
        wanted.lending = zcpool::lending::arena;
        wanted.arenas = *backing;
        auto pool = segment_pool::create(wanted, &granted);
        if (!pool || pool->report().lending == zcpool::lending::arena) {
            return pool;
        }
        if (parts.values.arenas != arena_wish::automatic) {
            fmt::print(stderr, "segment_server: --arenas: {}. Replaces pages slot by slot\n",
                       granted.arenas.text);
            parts.report.substitutions.push_back(
                {"arenas", "huge pages", "never", granted.arenas.text});
        }
    }
    wanted.lending = zcpool::lending::cached;
    return segment_pool::create(wanted, &granted);
}

#if SEGMENT_SERVER_URING
// Tells the rings of sinks of the pool once, instead of with each send.
void register_pool(frame& parts, std::vector<sink_maker<zcpool::sink::uring>>& makers,
                   zcpool::pool_view pool) {
    zcpool::sink::send_ring& first = makers.front().ring();
    zcpool::sink::registration_report granted;
    auto done = first.register_pool(pool, &granted);
    for (auto each = makers.begin() + 1; done && each != makers.end(); ++each) {
        done = each->ring().register_all_of(first, &granted);
    }
    if (!done) {
        fmt::print(stderr, "segment_server: {}\n", granted.text);
        parts.report.substitutions.push_back(
            {"sink", "uring, registered", "uring", done.error().message()});
    }
}
#endif

template <class Named>
int serve_from_pool(frame& parts, loop_rings& rings) {
    using sink_type = typename Named::type;
    auto makers = make_sink_makers<sink_type>(parts.values.threads, rings);
    if (!makers && !rings.empty()) {
        return complain(makers.error().message());  // which have gone into some of them
    }
    if (!makers) {
        substitute(parts, "sink", parts.values.sink, "write", makers.error());
        parts.report.sink = "write";
        return serve_from_pool<write_sink>(parts, rings);
    }
    zcpool::creation_report granted;
    auto pool = make_pool(parts, Named::needs_lending, Named::needs_file, granted);
    if (!pool) {
        return complain(fmt::format("--pool-bytes {}: {}. {}", parts.values.pool_bytes,
                                    pool.error().message(), granted.text));
    }
    if (granted.text[0] != '\0') {
        fmt::print(stderr, "segment_server: {}\n", granted.text);
    }
#if SEGMENT_SERVER_URING
    if constexpr (std::is_same_v<sink_type, zcpool::sink::uring>) {
        register_pool(parts, *makers, *pool);
    }
#endif
    // A head for each 256 KiB of files; further ones are copied.
    const auto heads = static_cast<std::uint32_t>(
        std::clamp<std::size_t>(parts.values.pool_bytes >> 18, 512, 1U << 20));
    const auto texts = make_text_pool(pool->report().lending, heads, parts.values.send_timeout);
    segment_store store{parts.root, *pool,
                        texts ? std::optional<zcpool::pool_view>{*texts} : std::nullopt,
                        parts.values.recheck};
    parts.report.pool = *pool;
    parts.report.cache = &store.cache();
    return serve_in_loops(parts, rings, [&](std::size_t i) {
        return pool_origin<sink_type>{store, parts.counters[i], parts.report,
                                      std::move((*makers)[i])};
    });
}

int run(int argc, char** argv) {
    auto parsed = parse_options(argc, argv, sink_names());
    if (!parsed.run) {
        return parsed.exit_code;
    }
    options& values = parsed.values;
    auto root = root_directory::open(values.root.c_str());
    if (!root) {
        return complain(
            fmt::format("--root {}: {}; give a directory that can be read, on Linux 5.6 or later",
                        values.root, root.error().message()));
    }
    auto listeners = open_listeners(values);
    if (!listeners) {
        return complain(listeners.error());
    }
    const bool is_naive = values.mode == serving_mode::naive;
    frame parts{.values = values,
                .root = std::move(*root),
                .listeners = std::move(*listeners),
                .quota = connection_quota{values.max_connections},
                .counters = std::deque<worker_counters>(values.threads),
                .report = {}};
    parts.report = {is_naive ? "naive" : "pool",
                    is_naive ? "send" : values.sink,
                    values.loop,
                    &parts.root,
                    &parts.quota,
                    &parts.counters,
                    std::nullopt,
                    nullptr,
                    std::nullopt};
    loop_rings rings;
#if SEGMENT_SERVER_URING
    if (values.loop == "uring") {
        if (auto made = make_rings(values.threads)) {
            rings = std::move(*made);
        } else {
            substitute(parts, "loop", "uring", "epoll", made.error());
            parts.report.loop = "epoll";
        }
    }
#endif
    if (is_naive) {
        return serve_naively(parts, rings);
    }
    return with_sink(
        values.sink, [&](auto named) { return serve_from_pool<decltype(named)>(parts, rings); }, 2);
}

}  // namespace
}  // namespace segment_server

int main(int argc, char** argv) { return segment_server::run(argc, argv); }
