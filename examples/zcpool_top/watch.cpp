// SPDX-License-Identifier: MIT
#include <zcpool_top/watch.hpp>

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <zcpool/base/errc.hpp>
#include <zcpool/ipc/observer.hpp>
#include <zcpool/ipc/pool_search.hpp>
#include <zcpool/sys/call.hpp>

#include <zcpool_top/table.hpp>

namespace top {
namespace {

using zcpool::ipc::found_pool;
using zcpool::ipc::pool_observer;
using zcpool::ipc::pool_search;

// Each takes a descriptor, of which there are 1024 by default.
constexpr std::size_t most_pools = 512;

std::string remedy_for(const std::error_code& error) {
    using zcpool::errc;
    if (error == errc::wrong_version) {
        return "take the zcpool_top of the version that the process was built with";
    }
    if (error == errc::wrong_access) {
        return "run zcpool_top as the user of the process, or as root";
    }
    return "only its name is that of a pool";
}

void open_all(std::span<found_pool> found, watch& into) {
    for (found_pool& each : found) {
        const auto pids = std::span{each.processes}.first(each.process_count);
        auto opened = pool_observer::open(std::move(each.control));
        if (opened) {
            into.pools.emplace_back(std::move(*opened), each.inode,
                                    std::vector<pid_t>(pids.begin(), pids.end()));
        } else {
            into.warnings.push_back(fmt::format("file {} of process {}: {}; {}", each.inode,
                                                pids.front(), opened.error().message(),
                                                remedy_for(opened.error())));
        }
    }
}

std::string user_name(uid_t user) {
    const passwd* const entry = ::getpwuid(user);
    return entry != nullptr ? fmt::format("{} (uid {})", entry->pw_name, user)
                            : fmt::format("uid {}", user);
}

std::string refusal(pid_t pid, const process_facts& facts) {
    const uid_t me = ::geteuid();
    const auto user = user_of(pid);
    if (!user || *user == me || me == 0) {
        return fmt::format(
            "PID {} ({}): it may not be looked at (it has rights that this process lacks, or "
            "forbids "
            "it by PR_SET_DUMPABLE): CAP_SYS_PTRACE is missing; {}",
            pid, printable(facts.name),
            me == 0 ? "give zcpool_top that capability" : "run zcpool_top as root");
    }
    return fmt::format(
        "PID {} ({}): it is a process of {}, and this is one of {}: CAP_SYS_PTRACE is missing to "
        "list its descriptors, and CAP_DAC_READ_SEARCH to open them; run zcpool_top as {}, or as "
        "root",
        pid, printable(facts.name), user_name(*user), user_name(me), user_name(*user));
}

std::expected<watch, std::string> failure(const std::error_code& error) {
    return std::unexpected{fmt::format("/proc: {}; {}", error.message(),
                                       zcpool::sys::is_errno(error, EMFILE)
                                           ? "raise the limit of open files (ulimit -n)"
                                           : "it must be mounted and readable")};
}

// Whether a process has, or had, a place in a pool.
bool has_place(const watched_pool& pool, pid_t pid) {
    return std::ranges::any_of(pool.observer().processes(), [pid](const auto& each) {
        return each.state != zcpool::process_state::free &&
               each.who.pid == static_cast<std::uint32_t>(pid);
    });
}

}  // namespace

std::vector<pool_snapshot> watch::look() {
    std::vector<pool_snapshot> found;
    std::erase_if(pools, [&](watched_pool& each) {
        pool_snapshot now = each.look(book);
        if (!now.is_over) {
            found.push_back(std::move(now));
        }
        return now.is_over;
    });
    return found;
}

std::expected<watch, std::string> watch_all() {
    watch all;
    std::vector<found_pool> found(most_pools);
    pool_search search{found};
    if (auto done = search.look_at_all(); !done) {
        return failure(done.error());
    }
    all.denied = search.report().denied;
    if (search.report().is_full) {
        all.warnings.push_back(
            fmt::format("there are more pools than the limit of {}; name a PID", most_pools));
    }
    open_all(std::span{found}.first(search.report().found), all);
    return all;
}

std::expected<watch, std::string> watch_process(pid_t pid) {
    watch its;
    std::vector<found_pool> found(most_pools);
    pool_search search{found};
    const auto facts = look_up(pid);
    const bool lives = facts && facts->state != 'Z';
    if (lives) {
        if (auto done = search.look_at(pid); !done && zcpool::sys::is_errno(done.error(), EACCES)) {
            return std::unexpected{refusal(pid, *facts)};
        } else if (!done && !zcpool::sys::is_errno(done.error(), ENOENT)) {
            return failure(done.error());
        }
        open_all(std::span{found}.first(search.report().found), its);
        if (!its.pools.empty()) {
            return its;
        }
        if (!its.warnings.empty()) {
            return std::unexpected{its.warnings.front()};
        }
        return std::unexpected{fmt::format(
            "PID {} ({}): it has no pool: none of its descriptors is a file zcpool-control; "
            "zcpool_top without a PID lists the processes that have one",
            pid, printable(facts->name))};
    }
    // Those with whom it shared one have it still.
    auto all = watch_all();
    if (!all) {
        return all;
    }
    std::erase_if(all->pools, [pid](const watched_pool& each) { return !has_place(each, pid); });
    all->warnings.clear();
    if (all->pools.empty()) {
        return std::unexpected{
            fmt::format("PID {}: {}, and no living process shares a pool with it; zcpool_top "
                        "without a PID lists the processes that have one",
                        pid, facts ? "the process has ended" : "there is no such process")};
    }
    return all;
}

}  // namespace top
