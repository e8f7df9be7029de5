// SPDX-License-Identifier: MIT
#include <relay/options.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <common/option_checks.hpp>

namespace relay {
namespace {

// Two directions, each of which needs a page at least.
constexpr std::size_t smallest_share = std::size_t{8} << 10;
// A connection is two sockets, and, while both its directions are blocked, two pipes.
constexpr std::size_t descriptors_a_connection = 6;
// Descriptors for everything that is no connection: listener, epoll, signals, the pool, pipes that
// are kept, standard streams.
constexpr std::size_t spare_descriptors = 64;

void describe(CLI::App& app, options& values) {
    app.add_option("--listen", values.listen, "PORT, or HOST:PORT; port 0 lets the system choose")
        ->required();
    app.add_option("--to", values.to, "HOST:PORT to which each connection is relayed")->required();
    app.add_flag("--inspect", values.inspects,
                 "look at the bytes: counts MPEG-TS packets and losses of their sync");
    app.add_option("--loop", values.loop, "how events come")
        ->check(CLI::IsMember(std::vector<std::string>{"epoll"}))
        ->capture_default_str();
    app.add_option("--max-connections", values.max_connections, "more are reset")
        ->check(examples::whole_number("--max-connections", 1, 1'000'000,
                                       "each takes up to six descriptors"))
        ->capture_default_str();
    app.add_option("--connection-bytes", values.connection_bytes,
                   "that a connection holds at most, both directions together")
        ->transform(examples::size_in_memory("--connection-bytes", smallest_share, "8KiB"))
        ->default_str("512KiB");
    app.add_option("--pool-bytes", values.pool_bytes, "size of the pool, with --inspect")
        ->transform(examples::size_in_memory("--pool-bytes", std::size_t{1} << 20, "1MiB"))
        ->default_str("64MiB");
    examples::add_timeout(app, "--idle-timeout-ms", values.idle_timeout,
                          "without a byte in either direction");
    examples::add_timeout(app, "--connect-timeout-ms", values.connect_timeout,
                          "for the connection to --to");
    examples::add_timeout(app, "--stats", values.statistics_every,
                          "between lines of statistics; 0: on SIGUSR1 and at the end only", 0);
}

int complain(std::string_view what) {
    fmt::print(stderr, "relay: {}\n", what);
    return 2;
}

std::string check_together(options& values, bool connections_given) {
    const std::size_t fitting =
        examples::descriptors_beside(spare_descriptors) / descriptors_a_connection;
    if (values.max_connections > fitting) {
        if (connections_given || fitting == 0) {
            return fmt::format(
                "--max-connections {}: only {} fit into the limit of open files; lower it, or "
                "raise the hard limit (ulimit -Hn, LimitNOFILE=)",
                values.max_connections, fitting);
        }
        values.max_connections = fitting;
    }
    if (values.inspects && values.connection_bytes > values.pool_bytes) {
        return fmt::format(
            "--connection-bytes {}: more than the {} of --pool-bytes; lower it, or raise that",
            values.connection_bytes, values.pool_bytes);
    }
    return {};
}

}  // namespace

parsed_options parse_options(int argc, const char* const* argv) {
    parsed_options parsed;
    CLI::App app{"Relays TCP connections, socket to socket, without the bytes entering it."};
    describe(app, parsed.values);
    if (const auto over = examples::parse(app, "relay", argc, argv)) {
        parsed.exit_code = *over;
        return parsed;
    }
    if (auto wrong = check_together(parsed.values, app.count("--max-connections") > 0);
        !wrong.empty()) {
        parsed.exit_code = complain(wrong);
        return parsed;
    }
    parsed.run = true;
    return parsed;
}

}  // namespace relay
