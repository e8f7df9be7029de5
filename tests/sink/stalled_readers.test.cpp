// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/huge_pages.hpp>
#include <support/memory_group.hpp>
#include <support/pools.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/vmsplice.hpp>

// Readers that stop reading own what was lent to them, and with arenas a whole huge page for each
// little message: the budget bounds it, and beyond it the sinks copy. Messages to them are spread
// over the arenas, so that each arena keeps some; the others go to readers that read.

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
namespace sink = zcpool::sink;
using steady = std::chrono::steady_clock;

constexpr std::size_t stalled_count = 200;
constexpr std::size_t live_count = 2;
constexpr std::size_t message_bytes = 64_KiB;
constexpr std::size_t pool_bytes = 64_MiB;
constexpr std::size_t messages_a_stalled = 2;
// Every so many messages one goes to somebody who does not read: two of each arena.
constexpr std::uint64_t stalled_every = 16;
constexpr int socket_bytes = 128 * 1024;  // of which the kernel makes twice as many

using pool_type = zcpool::pool<zcpool::size_classes<message_bytes>>;

/// The byte of which all of a message is made.
int byte_of(std::uint64_t number) { return static_cast<int>(number * 7 % 251); }

bool is_message(const std::vector<std::byte>& bytes, std::uint64_t number) {
    return std::all_of(bytes.begin(), bytes.end(), [&](std::byte each) {
        return each == static_cast<std::byte>(byte_of(number));
    });
}

connection bounded_pair() {
    connection made = tcp_pair();
    ::setsockopt(made.ours.get(), SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
    ::setsockopt(made.peer.get(), SOL_SOCKET, SO_RCVBUF, &socket_bytes, sizeof socket_bytes);
    return made;
}

/// A connection whose peer does not read, and what it was sent.
template <class Sink>
struct stalled_reader {
    connection link = bounded_pair();
    Sink out{link.ours.get()};
    std::vector<std::uint64_t> sent;
    steady::time_point since = steady::now();

    [[nodiscard]] bool takes_more() const {
        return sent.size() < messages_a_stalled && out.queued() == 0;
    }

    /// What a deadline does: the connection is reset, and the peer gone.
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(link.ours.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

    /// Whether the peer, at last, reads what was sent.
    [[nodiscard]] bool reads_what_was_sent() {
        for (const std::uint64_t number : sent) {
            while (out.queued() != 0 && out.flush() == sink::state::blocked &&
                   !has(link.peer.get())) {
            }
            if (!is_message(read_exactly(link.peer.get(), message_bytes), number)) {
                return false;
            }
        }
        return true;
    }

private:
    static bool has(int fd) {
        pollfd wanted{fd, POLLIN, 0};
        return ::poll(&wanted, 1, 0) == 1;
    }
};

/// A connection whose peer reads all the time and looks at it.
template <class Sink>
class live_reader {
public:
    live_reader() : reader_{[this] { read(); }} {}
    live_reader(const live_reader&) = delete;
    live_reader& operator=(const live_reader&) = delete;
    ~live_reader() { end(); }

    /// Returns: false when the connection has failed.
    bool send(zcpool::slice message, std::uint64_t number) {
        numbers_.push_back(static_cast<std::uint8_t>(byte_of(number)));
        // release: pairs with the reader's acquire; the number is there before it is counted.
        promised_.fetch_add(1, std::memory_order_release);
        out.push(std::move(message));
        sink::state now = out.flush();
        while (now == sink::state::blocked && wait_writable(link_.ours.get())) {
            now = out.flush();
        }
        return now == sink::state::done;
    }
    /// Returns: how many messages were not what was sent.
    long end() {
        if (reader_.joinable()) {
            ::shutdown(link_.ours.get(), SHUT_WR);
            reader_.join();
        }
        return wrong_;
    }

private:
    connection link_ = bounded_pair();

public:
    Sink out{link_.ours.get()};

private:
    void read() {
        std::vector<std::byte> bytes(message_bytes);
        for (std::size_t i = 0; read_all(link_.peer.get(), bytes) == bytes.size(); ++i) {
            // acquire: pairs with send().
            const std::size_t promised = promised_.load(std::memory_order_acquire);
            const bool is_right =
                i < promised &&
                std::all_of(
                    bytes.begin(), bytes.end(),
                    [&](std::byte each) { return each == static_cast<std::byte>(numbers_[i]); });
            wrong_ += is_right ? 0 : 1;
        }
    }

    // Room from the beginning: the reader looks at what is there while more is added.
    struct number_list {
        std::unique_ptr<std::uint8_t[]> bytes =
            std::make_unique_for_overwrite<std::uint8_t[]>(std::size_t{1} << 26);
        std::size_t count = 0;
        void push_back(std::uint8_t value) { bytes[count++] = value; }
        std::uint8_t operator[](std::size_t i) const { return bytes[i]; }
    };
    number_list numbers_;
    std::atomic<std::size_t> promised_{0};
    long wrong_ = 0;
    std::thread reader_;
};

/// What a run came to.
struct outcome {
    long samples = 0;
    std::size_t most_detached = 0;
    long most_memory = 0;  ///< above that before the pool; 0: not counted
    std::uint64_t lent_bytes = 0;
    std::uint64_t fallback_bytes = 0;
    std::size_t resets = 0;
    long wrong = 0;
    bool was_sent = true;
};

template <class Sink>
outcome run(const pool_type& pool, const memory_group& memory, long before,
            std::chrono::milliseconds duration, std::optional<std::chrono::milliseconds> deadline) {
    outcome seen;
    std::deque<live_reader<Sink>> live(live_count);
    std::vector<std::unique_ptr<stalled_reader<Sink>>> stalled;
    for (std::size_t i = 0; i < stalled_count; ++i) {
        stalled.push_back(std::make_unique<stalled_reader<Sink>>());
    }
    std::size_t next_stalled = 0;
    const auto end = steady::now() + duration;
    // Longer on a machine that is slow, until what was to be seen was.
    const auto may_end = [&] {
        const bool has_copied = std::any_of(live.begin(), live.end(), [](const auto& each) {
            return each.out.stats().fallback_bytes != 0;
        });
        return has_copied || steady::now() >= end + 20s || usual_scale < 1;
    };
    for (std::uint64_t number = 0; (steady::now() < end || !may_end()) && seen.was_sent;) {
        const auto stats = pool.stats();
        REQUIRE(stats.lent_detached_bytes <= stats.lent_budget_bytes);
        seen.most_detached = std::max(seen.most_detached, stats.lent_detached_bytes);
        seen.most_memory = std::max(seen.most_memory, memory.bytes() - before);
        ++seen.samples;
        for (auto& each : stalled) {
            if (deadline && steady::now() - each->since >= *deadline) {
                each->reset();
                each = std::make_unique<stalled_reader<Sink>>();
                ++seen.resets;
            }
        }
        for (const std::uint64_t until = number + 64; number < until && seen.was_sent; ++number) {
            auto into = pool.acquire_for(message_bytes, 1s);
            REQUIRE(into.has_value());
            std::memset(into->space().data(), byte_of(number), message_bytes);
            into->commit(message_bytes);
            zcpool::slice message = std::move(*into).freeze();
            stalled_reader<Sink>& quiet = *stalled[next_stalled];
            if (number % stalled_every == 0 && quiet.takes_more()) {
                quiet.sent.push_back(number);
                quiet.out.push(std::move(message));
                seen.was_sent = quiet.out.flush() != sink::state::failed;
                next_stalled = (next_stalled + 1) % stalled_count;
            } else {
                seen.was_sent = live[number % live_count].send(std::move(message), number);
            }
        }
    }
    for (auto& each : live) {
        seen.wrong += each.end();
        seen.lent_bytes += each.out.stats().lent_bytes;
        seen.fallback_bytes += each.out.stats().fallback_bytes;
    }
    for (auto& each : stalled) {
        seen.wrong += each->reads_what_was_sent() ? 0 : 1;
    }
    return seen;
}

/// Bytes that the sockets of all readers may hold.
constexpr std::size_t all_socket_bytes =
    (stalled_count + live_count) * 2 * 2 * std::size_t{socket_bytes};

template <class Sink>
void hold_the_bound(zcpool::pool_options options, bool with_deadline) {
    const auto duration = std::max(2'000ms, std::chrono::milliseconds{scaled(2'000)});
    options.slots = {pool_bytes / message_bytes};
    // Who stops reading is reset by then; or never, and what was detached is never given back.
    options.lent_settle_time = with_deadline ? 1'000ms : std::chrono::milliseconds{1h};
    const memory_group memory;
    const long before = memory.bytes();
    const auto pool = make_pool<pool_type>(options);
    INFO(pool.report().arenas.text);
    REQUIRE(pool.report().lending == options.lending);
    const std::size_t budget = pool.stats().lent_budget_bytes;
    CHECK(budget == pool_bytes * options.lent_budget_permille / 1000);

    const outcome seen =
        run<Sink>(pool, memory, before, duration,
                  with_deadline ? std::optional{options.lent_settle_time} : std::nullopt);
    CAPTURE(seen.samples, seen.most_detached, seen.most_memory, seen.lent_bytes,
            seen.fallback_bytes, seen.resets);
    CHECK(seen.was_sent);
    CHECK(seen.wrong == 0);
    CHECK(seen.samples > 2);
    CHECK(seen.lent_bytes > 0);
    if (with_deadline) {
        CHECK(seen.resets >= stalled_count);
    }
    if (usual_scale == 1) {  // under sanitizers what was detached is given back before it is much
        CHECK(seen.most_detached > budget / 2);
        CHECK(seen.fallback_bytes > 0);  // beyond the budget it copies
    }
    if (usual_scale < 1) {
        // Sanitizers keep memory of their own for each byte.
    } else if (memory.was_granted()) {
        const std::size_t bound = (pool_bytes + budget + all_socket_bytes) / 10 * 11;
        CHECK(seen.most_memory < static_cast<long>(bound));
    } else {
        WARN("no control group for memory: how much was taken is not looked at");
    }
    CHECK(slots_in_use(pool) == 0);  // those of the readers that were reset, too
    if (with_deadline) {
        std::this_thread::sleep_for(2 * options.lent_settle_time);
        CHECK(pool.stats().lent_detached_bytes == 0);
    }
}

TEST_CASE("stalled_readers: what small pages they hold stays within the budget",
          "[sink][.zerocopy]") {
    zcpool::pool_options options;
    options.lending = zcpool::lending::cached;
    SECTION("as long as they are let") { hold_the_bound<sink::sendfile>(options, false); }
    SECTION("until a deadline resets them") { hold_the_bound<sink::sendfile>(options, true); }
}

TEST_CASE("stalled_readers: what arenas they hold stays within the budget", "[sink][.zerocopy]") {
    const shmem_huge_pages allowed{"advise"};
    if (!allowed.was_granted()) {
        SKIP("shmem_enabled may not be set to advise");
    }
    zcpool::pool_options options;
    options.lending = zcpool::lending::arena;
    options.arenas = zcpool::arena_backing::memfd;
    SECTION("as long as they are let") { hold_the_bound<sink::sendfile>(options, false); }
    SECTION("until a deadline resets them") { hold_the_bound<sink::sendfile>(options, true); }
}

TEST_CASE("stalled_readers: what arenas they hold stays within the budget, by address",
          "[sink][.zerocopy]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    zcpool::pool_options options;
    options.lending = zcpool::lending::arena;
    options.arenas = zcpool::arena_backing::anonymous;
    SECTION("as long as they are let") { hold_the_bound<sink::vmsplice>(options, false); }
    SECTION("until a deadline resets them") { hold_the_bound<sink::vmsplice>(options, true); }
}

}  // namespace
