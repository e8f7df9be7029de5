// SPDX-License-Identifier: MIT
#include <segment_server/options.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <zcpool/sys/unique_fd.hpp>

#include <common/option_checks.hpp>

namespace segment_server {
namespace {

// Each class of slots needs at least one, and a cache of a few segments is no cache.
constexpr std::size_t smallest_pool = std::size_t{4} << 20;
// Descriptors for everything that is no connection: listeners, epoll, eventfd, the pool, a file
// being read, standard streams.
constexpr std::size_t spare_descriptors_per_thread = 8;
constexpr std::size_t spare_descriptors = 32;

std::string check_liburing(std::string& name) {
    if (SEGMENT_SERVER_URING || (name != "uring" && name != "linked_splice")) {
        return {};
    }
    return fmt::format(
        "{}: this build has no io_uring; install liburing (Debian: liburing-dev) and build again, "
        "beginning with cmake --fresh",
        name);
}

std::string check_congestion(std::string& name) {
    zcpool::sys::unique_fd probe{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!probe || ::setsockopt(probe.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                               static_cast<socklen_t>(name.size())) == 0) {
        return {};
    }
    const std::error_code why{errno, std::system_category()};
    std::ifstream file{"/proc/sys/net/ipv4/tcp_allowed_congestion_control"};
    std::string allowed;
    std::getline(file, allowed);
    return fmt::format(
        "--congestion {}: {}; this system allows: {}. Choose one of these, or modprobe tcp_{}",
        name, why.message(), allowed.empty() ? "(unknown)" : allowed, name);
}

std::string check_together(options& values, bool connections_given) {
    if (values.registered_files != 0 && values.loop != "uring") {
        return fmt::format("--registered-files {}: an io_uring has them; add --loop uring",
                           values.registered_files);
    }
    const std::size_t fitting = examples::descriptors_beside(
        spare_descriptors + values.threads * spare_descriptors_per_thread);
    if (values.max_connections <= fitting) {
        return {};
    }
    if (!connections_given && fitting > 0) {
        values.max_connections = fitting;
        return {};
    }
    return fmt::format(
        "--max-connections {}: only {} fit into the limit of open files; lower it, or raise the "
        "hard "
        "limit (ulimit -Hn, LimitNOFILE=)",
        values.max_connections, fitting);
}

void describe(CLI::App& app, options& values, const std::vector<std::string>& sinks) {
    static const std::map<std::string, serving_mode> modes{{"pool", serving_mode::pool},
                                                           {"naive", serving_mode::naive}};
    static const std::map<std::string, zcpool::lock_policy> policies{
        {"none", zcpool::lock_policy::none},
        {"best_effort", zcpool::lock_policy::best_effort},
        {"required", zcpool::lock_policy::required}};
    static const std::map<std::string, arena_wish> arenas{{"auto", arena_wish::automatic},
                                                          {"never", arena_wish::never},
                                                          {"anonymous", arena_wish::anonymous},
                                                          {"memfd", arena_wish::memfd},
                                                          {"hugetlb", arena_wish::hugetlb}};
    const std::string threads_remedy = fmt::format("one a core is right, and this machine has {}",
                                                   std::thread::hardware_concurrency());

    app.add_option("--root", values.root, "the directory to serve")
        ->required()
        ->check(CLI::ExistingDirectory);
    app.add_option("--listen", values.listen, "HOST:PORT; port 0 lets the system choose")
        ->capture_default_str();
    app.add_option("--sink", values.sink, "how bytes leave")
        ->check(CLI::Validator{check_liburing, ""})
        ->check(CLI::IsMember(sinks))
        ->capture_default_str();
    app.add_option("--loop", values.loop, "how events come")
        ->check(CLI::Validator{check_liburing, ""})
        ->check(CLI::IsMember(SEGMENT_SERVER_URING ? std::vector<std::string>{"epoll", "uring"}
                                                   : std::vector<std::string>{"epoll"}))
        ->capture_default_str();
    app.add_option("--registered-files", values.registered_files,
                   "places for sockets that the ring of a loop need not look up; further "
                   "connections go without; 0: none")
        ->check(examples::whole_number("--registered-files", 0, 1 << 20,
                                       "as many as connections of a loop"))
        ->capture_default_str();
    app.add_option("--mode", values.mode, "pool, or naive: a buffer a response, filled and copied")
        ->transform(CLI::CheckedTransformer(modes).description("{pool,naive}"))
        ->default_str("pool");
    app.add_option("--pool-bytes", values.pool_bytes, "size of the pool, and so of the cache")
        ->transform(examples::size_in_memory("--pool-bytes", smallest_pool, "4MiB"))
        ->default_str("256MiB");
    app.add_option("--lock", values.locking, "whether the pool must stay in RAM")
        ->transform(CLI::CheckedTransformer(policies).description("{none,best_effort,required}"))
        ->default_str("best_effort");
    app.add_option("--arenas", values.arenas,
                   "huge pages for a sink that lends, renewed whole: for files that fit into the "
                   "pool; auto takes them where they are to be had and the pool has 64 MiB")
        ->transform(
            CLI::CheckedTransformer(arenas).description("{auto,never,anonymous,memfd,hugetlb}"))
        ->default_str("never");
    app.add_option("--threads", values.threads, "event loops")
        ->check(examples::whole_number("--threads", 1, 256, threads_remedy))
        ->capture_default_str();
    app.add_option("--max-connections", values.max_connections,
                   "of all threads together; more are answered with 503")
        ->check(examples::whole_number("--max-connections", 1, 1'000'000,
                                       "each takes a descriptor and about 20 KiB"))
        ->capture_default_str();
    app.add_option("--congestion", values.congestion,
                   "TCP congestion control of accepted connections")
        ->check(CLI::Validator{check_congestion, "NAME"});
    app.add_option("--max-head", values.head.head, "octets of a request head")
        ->check(
            examples::whole_number("--max-head", 1024, 1 << 20, "16384 is enough for all browsers"))
        ->capture_default_str();
    app.add_option("--max-target", values.head.target, "octets of a request target")
        ->check(examples::whole_number("--max-target", 256, 1 << 20, "8192 is usual"))
        ->capture_default_str();
    examples::add_timeout(app, "--recheck-ms", values.recheck,
                          "for which a look at a file is believed; 0: each request looks", 0);
    examples::add_timeout(app, "--header-timeout-ms", values.header_timeout,
                          "for a request head, from its first octet");
    examples::add_timeout(app, "--idle-timeout-ms", values.idle_timeout, "between requests");
    examples::add_timeout(app, "--send-timeout-ms", values.send_timeout,
                          "without progress of a response");
    examples::add_timeout(app, "--drain-timeout-ms", values.drain_timeout,
                          "for responses in flight at SIGTERM");
}

int complain(std::string_view what) {
    fmt::print(stderr, "segment_server: {}\n", what);
    return 2;
}

}  // namespace

parsed_options parse_options(int argc, const char* const* argv,
                             const std::vector<std::string>& sinks) {
    parsed_options parsed;
    parsed.values.threads = std::clamp(std::thread::hardware_concurrency(), 1U, 256U);
    CLI::App app{"An HTTP/1.1 origin for HLS and DASH that serves segments out of a zcpool pool."};
    describe(app, parsed.values, sinks);
    if (const auto over = examples::parse(app, "segment_server", argc, argv)) {
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

}  // namespace segment_server
