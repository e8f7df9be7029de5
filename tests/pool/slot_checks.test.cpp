// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <random>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/misuse.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/pool/slot_checks.hpp>

// What a checked pool does when nothing is wrong, and what its handler is told when something is.
// How it dies without a handler is in tests/death.

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::can_poison;
using zcpool::misuse;
using zcpool::slice;

/// The last report, and how many there were.
struct seen_misuse {
    static void note(const zcpool::misuse_report& report) noexcept {
        last = report;
        ++count;
    }
    seen_misuse() {
        last = {};
        count = 0;
    }
    inline static zcpool::misuse_report last;
    inline static long count;
};

zcpool::pool_options noting(zcpool::pool_options options) {
    options.on_misuse = seen_misuse::note;
    return options;
}

bool all_zero(std::span<const std::byte> bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

/// Whether the next slot of a page is zero.
bool next_is_zero(zcpool::pool_view pool) {
    buffer next = pool.try_acquire(1);
    return next && all_zero(next.space());
}

TEMPLATE_TEST_CASE("slot_checks: a checked pool works as any other, without thread caches",
                   "[pool]", full_pool, guarded_pool) {
    const held before;
    {
        const seen_misuse seen;
        const auto pool = make_pool<TestType>(noting(lending_options(64, 32)));
        CHECK(pool.report().checking != zcpool::checking::none);
        CHECK(pool.report().cache == zcpool::cache_policy::none);
        std::vector<buffer> held(64);
        REQUIRE(pool.acquire_many(1, held) == 64);
        CHECK_FALSE(pool.try_acquire(1));
        for (buffer& each : held) {
            CHECK(each.capacity() == 4_KiB);
            fill(each.space(), 1);
            each.commit(4_KiB);
        }
        const slice frozen = std::move(held[0]).freeze();
        const slice part = frozen.subslice(100, 50);
        CHECK(part.bytes().size() == 50);
        CHECK(std::ranges::equal(frozen.bytes(), pattern(4_KiB, 1)));
        held.clear();
        CHECK(pool.trim() == 63 * 4_KiB + 32 * 64_KiB);
        CHECK(next_is_zero(pool));
        CHECK(slots_in_use(pool) == 1);
        CHECK(seen.count == 0);
    }
    CHECK(before == held{});
}

TEST_CASE("slot_checks: every byte is zero when a slot is acquired, whoever had it", "[pool]") {
    const seen_misuse seen;
    const auto pool = make_pool<full_pool>(noting(lending_options(4, 2)));
    std::atomic<long> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            std::minstd_rand random{static_cast<unsigned>(t)};
            for (long i = 0; i < scaled(25'000); ++i) {
                buffer mine = pool.try_acquire(random() % 64 == 0 ? 64_KiB : 4_KiB);
                if (!mine) {
                    continue;
                }
                wrong += all_zero(mine.space()) ? 0 : 1;
                std::memset(mine.data(), 0xEE, mine.capacity());
                mine.commit(mine.capacity());
                if (random() % 8 == 0) {
                    const slice frozen = std::move(mine).freeze();
                    if (random() % 8 == 0) {
                        wrong += frozen.lend() ? 0 : 1;  // its pages are replaced
                    }
                }
                if (random() % 512 == 0) {
                    static_cast<void>(pool.trim());
                }
            }
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    CHECK(wrong == 0);
    CHECK(seen.count == 0);
    CHECK(pool.stats()[0].renewed > 0);
    CHECK(pool.stats()[0].trimmed > 0);
}

TEST_CASE("slot_checks: what the kernel may still read is not zeroed but renewed", "[pool]") {
    const seen_misuse seen;
    const auto pool = make_pool<full_pool>(noting(lending_options(1, 1)));
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    {
        const slice frozen = make_slice(pool, 4_KiB, 3);
        const auto where = frozen.lend();
        REQUIRE(where);
        auto offset = static_cast<off_t>(where->offset);
        REQUIRE(::splice(where->fd, &offset, ends[1], nullptr, 4_KiB, 0) == 4096);
    }
    CHECK(next_is_zero(pool));
    std::vector<std::byte> held(4_KiB);
    REQUIRE(::read(ends[0], held.data(), held.size()) == 4096);
    CHECK(std::ranges::equal(held, pattern(4_KiB, 3)));
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK(seen.count == 0);
}

TEST_CASE("slot_checks: the reserve's slots are checked like others", "[pool]") {
    const seen_misuse seen;
    const auto pool = make_pool<full_pool>(noting({.slots = {2, 1}, .reserve = {1}}));
    buffer normal = pool.try_acquire(1);
    buffer urgent = pool.acquire(1, zcpool::priority::urgent).value();
    fill(urgent.space(), 1);
    bitwise_copy stale{urgent};
    urgent.reset();
    CHECK(seen.count == 0);
    stale->reset();
    CHECK(seen.count == 1);
    urgent = pool.acquire(1, zcpool::priority::urgent).value();
    CHECK(all_zero(urgent.space()));
}

TEST_CASE("slot_checks: a handler that returns lets the program go on as if nothing was done",
          "[pool]") {
    const seen_misuse seen;
    const auto pool = make_pool<full_pool>(noting({.slots = {1, 1}}));
    buffer first = pool.try_acquire(1);
    bitwise_copy stale{first};
    first.reset();
    buffer owner = pool.try_acquire(1);
    fill(owner.space(), 9);
    owner.commit(4_KiB);

    CHECK(stale->space().empty());
    CHECK(stale->bytes().empty());
    CHECK(stale->data() == nullptr);
    CHECK(seen.count == 3);
    CHECK(seen.last.what == misuse::used_after_release);
    CHECK(seen.last.slot == 0);
    CHECK(seen.last.slot_bytes == 4_KiB);
    bitwise_copy another{*stale};
    CHECK(std::move(*another).freeze().empty());
    CHECK(seen.count == 4);
    stale->reset();
    CHECK(seen.count == 5);
    CHECK(seen.last.what == misuse::released_twice);
    CHECK_FALSE(*stale);

    CHECK(slots_in_use(pool) == 1);
    CHECK(std::ranges::equal(owner.bytes(), pattern(4_KiB, 9)));
    slice frozen = std::move(owner).freeze();
    bitwise_copy stale_slice{frozen};
    frozen = slice{};
    CHECK(stale_slice->bytes().empty());
    CHECK(slice{*stale_slice}.empty());
    CHECK_FALSE(stale_slice->lend());
    CHECK(seen.count == 8);
    *stale_slice = slice{};
    CHECK(seen.count == 9);
    CHECK(slots_in_use(pool) == 0);
    CHECK(pool.stats()[0].released == 2);
}

TEST_CASE("slot_checks: what was written where it must not is put right", "[pool]") {
    if (can_poison) {
        SKIP("AddressSanitizer ends the program where it is written");
    }
    const seen_misuse seen;
    const auto pool = make_pool<full_pool>(noting({.slots = {1, 1}}));
    buffer first = pool.try_acquire(1);
    std::byte* const bytes = first.data();
    bytes[4096] = std::byte{1};
    first.reset();
    CHECK(seen.count == 1);
    CHECK(seen.last.what == misuse::written_outside);
    bytes[5] = std::byte{1};
    bytes[4097] = std::byte{1};  // while it is free
    first = pool.try_acquire(1);
    CHECK(seen.count == 3);
    CHECK(all_zero(first.space()));
    first.reset();
    first = pool.try_acquire(1);
    CHECK(seen.count == 3);
}

TEST_CASE("slot_checks: system calls cannot write behind a guarded slot", "[pool]") {
    const auto pool = make_pool<guarded_pool>({.slots = {1, 1}});
    buffer held = pool.try_acquire(1);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(::write(ends[1], "ab", 2) == 2);
    CHECK(::syscall(SYS_read, ends[0], held.data() + 4_KiB, 2) == -1);
    CHECK(errno == EFAULT);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("slot_checks: random misuse changes nothing, a million times", "[pool]") {
    const seen_misuse seen;
    constexpr std::size_t slots = 8;
    const auto pool = make_pool<full_pool>(noting({.slots = {slots, 1}}));
    struct held_buffer {
        buffer handle;
        std::uint64_t stamp;
    };
    std::vector<held_buffer> held;
    std::vector<slice> frozen;
    std::vector<bitwise_copy<buffer>> stale;
    std::vector<bitwise_copy<slice>> stale_slices;
    std::minstd_rand random{11};
    const auto any_of = [&](auto& from) -> auto& { return from[random() % from.size()]; };
    const auto forget = [&](auto& from) { from.erase(from.begin(), from.end() - 16); };
    long misused = 0;
    for (long i = 0; i < scaled(1'000'000); ++i) {
        // Now and then something that is right.
        if (random() % 256 == 0) {
            if (buffer got = pool.try_acquire(1)) {
                got.space()[0] = std::byte{1};
                std::memcpy(got.data(), &i, sizeof i);
                held.push_back({std::move(got), static_cast<std::uint64_t>(i)});
            } else if (random() % 2 == 0 || frozen.empty()) {
                if (!held.empty()) {
                    stale.emplace_back(held.front().handle);
                    if (random() % 2 == 0) {
                        held.front().handle.reset();
                    } else {
                        held.front().handle.commit(8);
                        frozen.push_back(std::move(held.front().handle).freeze());
                        stale.pop_back();
                    }
                    held.erase(held.begin());
                }
            } else {
                stale_slices.emplace_back(frozen.front());
                frozen.erase(frozen.begin());
            }
            if (stale.size() > 64) {
                forget(stale);
            }
            if (stale_slices.size() > 64) {
                forget(stale_slices);
            }
        }
        const long before = seen.count;
        const bool of_slice = !stale_slices.empty() && random() % 2 == 0;
        if (of_slice) {
            bitwise_copy<slice> wrong = any_of(stale_slices);
            switch (random() % 4) {
                case 0: static_cast<void>(wrong->bytes()); break;
                case 1: static_cast<void>(slice{*wrong}); break;
                case 2: static_cast<void>(wrong->data()); break;
                default: *wrong = slice{}; break;
            }
        } else if (!stale.empty()) {
            bitwise_copy<buffer> wrong = any_of(stale);
            switch (random() % 4) {
                case 0: static_cast<void>(wrong->space()); break;
                case 1: wrong->commit(0); break;
                case 2: *wrong = buffer{}; break;
                default: wrong->reset(); break;
            }
        } else {
            continue;
        }
        ++misused;
        REQUIRE(seen.count == before + 1);
        if (random() % 64 == 0) {
            REQUIRE(slots_in_use(pool) == held.size() + frozen.size());
            for (held_buffer& each : held) {
                REQUIRE(std::memcmp(each.handle.data(), &each.stamp, sizeof each.stamp) == 0);
            }
        }
    }
    CHECK(misused > scaled(1'000'000) / 2);
    CHECK(seen.count == misused);
}

TEST_CASE("slot_checks: two threads that release the same handle are one release", "[pool]") {
    const auto pool = make_pool<full_pool>(
        {.slots = {1, 1}, .on_misuse = [](const zcpool::misuse_report&) noexcept {}});
    for (long i = 0; i < scaled(5'000); ++i) {
        buffer mine = pool.try_acquire(1);
        REQUIRE(mine);
        bitwise_copy same{mine};
        std::thread other{[&] { same->reset(); }};
        mine.reset();
        other.join();
        REQUIRE(slots_in_use(pool) == 0);
    }
}

TEST_CASE("slot_checks: whichever system call fails, it is told and nothing is leaked", "[pool]") {
    const held before;
    long failed = 0;
    for (long i = 0;; ++i) {
        REQUIRE(i < 200);
        faults broken;
        broken.fail_call(i, ENFILE);
        zcpool::creation_report report;
        auto options = lending_options(2, 2);
        options.locking = zcpool::lock_policy::required;
        options.core_dump = zcpool::core_dump::excluded;
        const auto pool = guarded_pool::create(options, &report);
        if (faults::calls() <= i) {
            CHECK(pool.has_value());
            break;
        }
        if (!pool) {
            ++failed;
            INFO(i << ": " << report.text);
            CHECK(pool.error() == std::error_code(ENFILE, std::system_category()));
            CHECK(std::string_view{report.text}.find("refused") != std::string_view::npos);
        }
    }
    CHECK(failed >= 20);
    CHECK(before == held{});
}

}  // namespace
