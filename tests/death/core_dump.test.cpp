// SPDX-License-Identifier: MIT
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <system_error>
#include <vector>

#include <support/misuse.hpp>
#include <support/scale.hpp>

// A process that dies with something confidential in a slot.

namespace {

using namespace zcpool_test;

/// A directory that goes with the object.
struct scratch {
    scratch() {
        char name[] = "/tmp/zcpool-core-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path = name;
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
};

/// Whose mapping of the slots it is that the core is made with.
enum class part : std::uint8_t { creator, partner, reader };

/// Dies with what it was given in a slot; the pool's own mapping must not be there.
[[noreturn]] void die_as(part who, const zcpool::pool_options& options, std::uint64_t seed) {
    auto pool = std::make_unique<small_pool>(own_pool<small_pool>(options));
    zcpool::buffer held = pool->try_acquire(1);
    fill(held.space(), seed);
    held.commit(held.capacity());
    if (who == part::creator) {
        std::abort();
    }
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        ::_exit(0);
    }
    const auto files = pool->share().value();
    auto feed = zcpool::ipc::feed::open(ends[0], *pool).value();
    const zcpool::slice frozen = std::move(held).freeze();
    static_cast<void>(feed.send(frozen));
    // The creator's mapping is not carried over a fork.
    const pid_t other = ::fork();
    if (other != 0) {
        ::waitpid(other, nullptr, 0);
        ::_exit(0);
    }
    if (who == part::partner) {
        const auto attached =
            zcpool::ipc::attached_pool::attach(zcpool::sys::unique_fd{::dup(files.data)},
                                               zcpool::sys::unique_fd{::dup(files.control)});
        std::abort();
    }
    auto reader = zcpool::ipc::feed_reader::receive_from(ends[1]);
    const zcpool::slice got = reader->try_receive();
    std::abort();
}

/// The core that a child leaves which aborts with pattern(seed) in a slot; empty: it left none.
std::vector<char> core_with(zcpool::core_dump wanted, std::uint64_t seed,
                            part who = part::creator) {
    const scratch in;
    const pid_t child = ::fork();
    if (child == 0) {
        const rlimit any{RLIM_INFINITY, RLIM_INFINITY};
        std::signal(SIGABRT, SIG_DFL);
        if (::chdir(in.path.c_str()) != 0 || ::setrlimit(RLIMIT_CORE, &any) != 0) {
            ::_exit(0);
        }
        die_as(who, {.slots = {1, 1}, .core_dump = wanted}, seed);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    for (const auto& each : std::filesystem::directory_iterator{in.path}) {
        std::ifstream core{each.path(), std::ios::binary};
        return {std::istreambuf_iterator<char>{core}, {}};
    }
    return {};
}

bool has_pattern(const std::vector<char>& core, std::uint64_t seed) {
    const auto bytes = pattern(256, seed);
    const auto* const text = reinterpret_cast<const char*>(bytes.data());
    const std::boyer_moore_horspool_searcher search{text, text + bytes.size()};
    return std::search(core.begin(), core.end(), search) != core.end();
}

TEST_CASE("core_dump: what is in slots is in a core only where it may be", "[death]") {
    if (usual_scale < 1) {
        SKIP("sanitizers write no core");
    }
    const std::vector<char> included = core_with(zcpool::core_dump::included, 1);
    if (included.empty()) {
        SKIP("no core is written here: RLIMIT_CORE, or /proc/sys/kernel/core_pattern");
    }
    CHECK(has_pattern(included, 1));  // else the rest proves nothing
    const std::vector<char> excluded = core_with(zcpool::core_dump::excluded, 2);
    CHECK_FALSE(excluded.empty());
    CHECK_FALSE(has_pattern(excluded, 2));
}

TEST_CASE("core_dump: the same in a process that the slots were shared with", "[death]") {
    if (usual_scale < 1) {
        SKIP("sanitizers write no core");
    }
    const std::vector<char> included = core_with(zcpool::core_dump::included, 3, part::partner);
    if (included.empty()) {
        SKIP("no core is written here: RLIMIT_CORE, or /proc/sys/kernel/core_pattern");
    }
    CHECK(has_pattern(included, 3));
    const std::vector<char> excluded = core_with(zcpool::core_dump::excluded, 4, part::partner);
    CHECK_FALSE(excluded.empty());
    CHECK_FALSE(has_pattern(excluded, 4));
    const std::vector<char> read = core_with(zcpool::core_dump::included, 5, part::reader);
    CHECK_FALSE(read.empty());
    CHECK_FALSE(has_pattern(read, 5));
}

}  // namespace
