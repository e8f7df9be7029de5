// SPDX-License-Identifier: MIT
// Readers of another user: what they cannot do, what it costs others when they are hostile, and
// what is left of them when they are killed.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include <support/feeds.hpp>
#include <support/resources.hpp>

#include "workers.hpp"

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::back_pressure;
using zcpool::ipc::feed;
using zcpool::ipc::feed_reader;
using zcpool::ipc::wake_by;
using zcpool::sys::unique_fd;

constexpr uid_t nobody = 65534;

bool can_become_nobody() { return ::geteuid() == 0; }

/// Gives every right up, for good.
void become_nobody() {
    if (::setresgid(nobody, nobody, nobody) != 0 || ::setresuid(nobody, nobody, nobody) != 0) {
        ::_exit(100);
    }
}

/// What a reader is given, as the message carries it.
struct raw_feed {
    unique_fd data;
    unique_fd memory;
    unique_fd event;  // where it is woken by one
};
raw_feed receive_raw(int socket) {
    std::array<std::byte, 8> text{};
    std::array<unique_fd, 3> fds;
    const auto got = zcpool::sys::receive_fds(socket, text, fds);
    if (!got || got->fds < 2) {
        ::_exit(101);
    }
    return {std::move(fds[0]), std::move(fds[1]), std::move(fds[2])};
}

bool fails_with(long answer, int error) { return answer == -1 && errno == error; }

/// Returns: the number of the first thing that a stranger could do; 0: none.
int try_everything(const raw_feed& got, std::size_t bytes) {
    const int data = got.data.get();
    const std::string again = "/proc/self/fd/" + std::to_string(data);
    const std::string ring = "/proc/self/fd/" + std::to_string(got.memory.get());
    void* const seen = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, data, 0);
    const char byte = 'x';
    int number = 0;
    const auto refused = [&](bool was_refused) { return ++number, was_refused; };
    const bool all =
        refused(seen != MAP_FAILED) &&
        refused(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0) == MAP_FAILED &&
                errno == EACCES) &&
        refused(fails_with(::mprotect(seen, bytes, PROT_READ | PROT_WRITE), EACCES)) &&
        refused(fails_with(::write(data, &byte, 1), EBADF)) &&
        refused(fails_with(::pwrite(data, &byte, 1, 0), EBADF)) &&
        refused(fails_with(::fallocate(data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                       static_cast<off_t>(bytes)),
                           EBADF)) &&
        refused(fails_with(::ftruncate(data, 0), EINVAL)) &&
        refused(fails_with(::open(again.c_str(), O_RDWR | O_CLOEXEC), EACCES)) &&
        refused(fails_with(::open(again.c_str(), O_RDONLY | O_CLOEXEC), EACCES)) &&
        refused(fails_with(::fchmod(data, 0666), EPERM)) &&
        refused(fails_with(::fchown(data, nobody, nobody), EPERM)) &&
        refused(::fcntl(data, F_ADD_SEALS, F_SEAL_WRITE) == -1) &&
        // Of the ring it has for itself it may write the bytes, and nothing else.
        refused(fails_with(::ftruncate(got.memory.get(), 0), EPERM)) &&
        refused(fails_with(::fcntl(got.memory.get(), F_ADD_SEALS, F_SEAL_WRITE), EPERM)) &&
        refused(fails_with(::open(ring.c_str(), O_RDWR | O_CLOEXEC), EACCES)) &&
        refused(fails_with(::fchmod(got.memory.get(), 0666), EPERM));
    return all ? 0 : number;
}

TEST_CASE("strangers: can read the slots, and change nothing", "[strangers]") {
    if (!can_become_nobody()) {
        SKIP("root is needed to become somebody else");
    }
    const auto pool = make_pool({.slots = {8, 2}});
    const slice sent = make_slice(pool, 4096, 7);
    const auto pair = blocking_unix_pair();
    auto out = open_feed(pair.ours.get(), pool, {});
    const std::size_t bytes = zcpool::pool_sharing::core_of(pool).memory().size();
    CHECK(status_of([&] {
              become_nobody();
              return try_everything(receive_raw(pair.peer.get()), bytes);
          }) == 0);
    CHECK(std::vector(sent.bytes().begin(), sent.bytes().end()) == pattern(4096, 7));
    // Could a partner do it, the test would be void.
    const auto files = pool.share().value();
    CHECK(status_of([&] {
              raw_feed own{unique_fd{::dup(files.data)}, unique_fd{::dup(files.control)}, {}};
              return try_everything(own, bytes);
          }) == 2);
}

/// As feed_reader::receive_for(20s), but in an event loop where there is an event.
zcpool::result<slice> receive_somehow(feed_reader& in) {
    if (in.event() < 0) {
        return in.receive_for(20s);
    }
    for (;;) {
        if (slice got = in.try_receive(); !got.empty()) {
            return got;
        }
        if (const auto why = in.ended()) {
            return zcpool::fail(why);
        }
        if (!in.begin_wait()) {
            continue;
        }
        pollfd entry{in.event(), POLLIN, 0};
        const bool woken = ::poll(&entry, 1, 20'000) == 1;
        in.end_wait();
        if (!woken) {
            return zcpool::fail(errc::timed_out);
        }
        if (in.is_owner_gone() && !in.has_news() && !in.ended()) {
            return zcpool::fail(errc::peer_gone);
        }
    }
}

/// Every other time by an event.
wake_by by_turns(long round) { return round % 2 == 0 ? wake_by::event : wake_by::futex; }

/// An honest reader, which checks what it gets, and holds some of it for a while.
int read_honestly(int socket, std::uint64_t seed) {
    auto in = feed_reader::receive_from(socket);
    if (!in) {
        return 1;
    }
    std::mt19937_64 random{seed};
    std::vector<slice> held;
    std::uint64_t last = 0;
    for (;;) {
        auto got = receive_somehow(*in);
        if (!got) {
            return got.error() == errc::closed && last != 0 ? 0 : 2;
        }
        std::uint64_t number = 0;
        std::memcpy(&number, got->data(), sizeof number);
        held.push_back(std::move(*got));
        if (number <= last) {
            return 3;
        }
        last = number;
        const std::size_t which = random() % held.size();
        std::memcpy(&number, held[which].data(), sizeof number);
        const auto wanted = pattern(held[which].size() - sizeof number, number);
        if (std::memcmp(held[which].data() + sizeof number, wanted.data(), wanted.size()) != 0) {
            return 4;
        }
        if (held.size() > random() % 6) {
            std::swap(held[which], held.back());
            held.pop_back();
        }
    }
}

/// A hostile one: writes all over its ring until it is killed, and never looks at its event.
[[noreturn]] void scribble(int socket, std::uint64_t seed) {
    const auto got = receive_raw(socket);
    static_cast<void>(::fcntl(got.event.get(), F_SETFL, 0));  // whoever fills it is to wait
    struct stat status{};
    ::fstat(got.memory.get(), &status);
    auto* const words = static_cast<std::atomic<std::uint64_t>*>(
        ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE,
               MAP_SHARED, got.memory.get(), 0));
    const auto count = static_cast<std::size_t>(status.st_size) / sizeof(std::uint64_t);
    std::mt19937_64 random{seed};
    for (;;) {
        // Numbers that could be, and such that could not.
        const std::uint64_t value = random();
        words[random() % std::min<std::size_t>(count, 64)].store(value % 4 == 0 ? value
                                                                 : value % 4 == 1
                                                                     ? (value >> 8) % 32
                                                                     : 0x10001 + value % 8);
    }
}

slice numbered(zcpool::pool_view pool, std::uint64_t number) {
    auto into = pool.acquire_for(256, 20s);
    REQUIRE(into.has_value());
    std::memcpy(into->data(), &number, sizeof number);
    fill(into->space().subspan(sizeof number, 200), number);
    into->commit(sizeof number + 200);
    return std::move(*into).freeze();
}

TEST_CASE("strangers: a hostile reader harms nobody but itself", "[strangers]") {
    const auto pool = make_pool({.slots = {64, 2}});
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    const auto good_pair = blocking_unix_pair();
    auto good = open_feed(good_pair.ours.get(), pool, {.frames = 16, .wakes_by = wake_by::event});
    child honest{[&] {
        if (can_become_nobody()) {
            become_nobody();
        }
        return read_honestly(good_pair.peer.get(), seed);
    }};
    std::uint64_t number = 0;
    for (long n = scaled(40); n > 0; --n) {
        auto pair = blocking_unix_pair();
        auto bad =
            open_feed(pair.ours.get(), pool, {.frames = 8, .capacity = 8, .wakes_by = by_turns(n)});
        child hostile{[&] {
            if (can_become_nobody()) {
                become_nobody();
            }
            scribble(pair.peer.get(), random());
            return 0;
        }};
        pair = {};
        static_cast<void>(random());
        for (int i = 0; i < 2'000; ++i) {
            const slice frame = numbered(pool, ++number);
            REQUIRE(good.send(frame).has_value());
            if (const auto sent = bad.send(frame); !sent) {
                REQUIRE((sent.error() == errc::corrupt || sent.error() == errc::closed));
            }
            REQUIRE(bad.outstanding() <= 8);
        }
        ::kill(hostile.pid(), SIGKILL);
        static_cast<void>(hostile.status());
        CHECK(bad.reclaim().error() == errc::peer_gone);
        CHECK(bad.outstanding() == 0);
    }
    {
        const feed ends = std::move(good);
    }
    CHECK(honest.status() == 0);
    while (zcpool::ipc::lingering_feeds::common().poll() != 0) {
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("strangers: readers are killed, and nothing is left of them", "[strangers]") {
    const auto pool = make_pool({.slots = {64, 2}});
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    const held before;
    std::uint64_t number = 0;
    for (long n = scaled(250); n > 0; --n) {
        auto pair = blocking_unix_pair();
        auto out = open_feed(pair.ours.get(), pool, {.frames = 16, .wakes_by = by_turns(n)});
        child reader{[&] {
            if (can_become_nobody()) {
                become_nobody();
            }
            return read_honestly(pair.peer.get(), random());
        }};
        pair = {};
        static_cast<void>(random());
        std::atomic<bool> killed{false};
        std::thread killer{[&, wait = random() % 3'000] {
            ::usleep(static_cast<useconds_t>(wait));
            ::kill(reader.pid(), SIGKILL);
            static_cast<void>(reader.status());
            killed.store(true);
        }};
        while (!killed.load()) {
            static_cast<void>(out.send(numbered(pool, ++number)));
        }
        killer.join();
        CHECK(out.reclaim().error() == errc::peer_gone);
        CHECK(slots_in_use(pool) == 0);
    }
    CHECK(before == held{});
}

}  // namespace
