// SPDX-License-Identifier: MIT
// relay: a TCP relay for live slices.

#include <signal.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <zcpool/base/align.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/size_classes.hpp>
#include <zcpool/sys/pipe_pool.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <common/address.hpp>
#include <relay/direction.hpp>
#include <relay/event_loop.hpp>
#include <relay/options.hpp>

namespace relay {
namespace {

using namespace zcpool::literals;
using relay_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;

int complain(std::string_view what) {
    fmt::print(stderr, "relay: {}\n", what);
    return 2;
}

// An eighth for what comes in drops, the rest for streams.
zcpool::pool_options divide(std::size_t bytes) {
    return {
        .slots = {static_cast<std::uint32_t>(std::max<std::size_t>(bytes / 8 / 4_KiB, 1)),
                  static_cast<std::uint32_t>(std::max<std::size_t>(bytes / 8 * 7 / 64_KiB, 1))}};
}

zcpool::sys::unique_fd take_signals() {
    ::signal(SIGPIPE, SIG_IGN);  // of splice(2) to a peer that has gone
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int each : {SIGTERM, SIGINT, SIGUSR1}) {
        sigaddset(&wanted, each);
    }
    ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
    return zcpool::sys::unique_fd{::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK)};
}

template <class Direction>
int relay_in_loop(zcpool::sys::unique_fd listener, const examples::address& to,
                  const options& values, surroundings& around) {
    auto signals = take_signals();
    fmt::print("ready {}\n", to_string(examples::bound_address(listener.get())));
    std::fflush(stdout);
    event_loop<Direction> loop{std::move(listener), std::move(signals), to, values, around};
    return loop.run() ? 0 : complain("the system gives no epoll or signalfd; see ulimit -n");
}

int run(int argc, char** argv) {
    const auto parsed = parse_options(argc, argv);
    if (!parsed.run) {
        return parsed.exit_code;
    }
    const options& values = parsed.values;
    // A port alone: of all addresses.
    const bool is_port = values.listen.find(':') == std::string::npos;
    const auto where = examples::parse_address("--listen", (is_port ? ":" : "") + values.listen,
                                               examples::address_use::to_listen);
    if (!where) {
        return complain(where.error());
    }
    const auto to = examples::parse_address("--to", values.to, examples::address_use::to_connect);
    if (!to) {
        return complain(to.error());
    }
    auto listener = examples::listen_at(*where);
    if (!listener) {
        return complain(fmt::format("--listen {}: {}; choose another port, or 0 for any",
                                    values.listen, listener.error().message()));
    }
    std::optional<relay_pool> pool;
    if (values.inspects) {
        zcpool::creation_report granted;
        auto made = relay_pool::create(divide(values.pool_bytes), &granted);
        if (!made) {
            return complain(fmt::format("--pool-bytes {}: {}. {}", values.pool_bytes,
                                        made.error().message(), granted.text));
        }
        if (granted.text[0] != '\0') {
            fmt::print(stderr, "relay: {}\n", granted.text);
        }
        pool = std::move(*made);
    }
    const std::size_t share = values.connection_bytes / 2;
    zcpool::sys::pipe_pool pipes{share};
    statistics counted;
    surroundings around{std::nullopt, pipes, share, counted};
    if (pool) {
        around.pool = *pool;
        return relay_in_loop<inspecting>(std::move(*listener), *to, values, around);
    }
    return relay_in_loop<passing>(std::move(*listener), *to, values, around);
}

}  // namespace
}  // namespace relay

int main(int argc, char** argv) { return relay::run(argc, argv); }
