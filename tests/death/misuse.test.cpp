// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

#include <support/misuse.hpp>
#include <zcpool/base/poison.hpp>

// Each misuse that a checked pool finds ends a child, which says what it was and names the places.

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::can_poison;
using zcpool::slice;

// Places to be named in the reports.
constexpr auto acquired_here = std::source_location::current();
constexpr auto released_here = std::source_location::current();
constexpr auto again_here = std::source_location::current();

/// A buffer with something in it.
buffer filled(zcpool::pool_view pool) {
    buffer made = pool.try_acquire(1, acquired_here);
    made.space()[0] = std::byte{1};
    made.commit(1);
    return made;
}

/// A stray write that the compiler must not leave out or see through.
void scribble(std::byte* to) { *const_cast<volatile std::byte*>(to) = std::byte{1}; }

void check_names_both(const ending& seen, const char* what) {
    INFO(seen.words);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.says(what));
    CHECK(seen.says("acquired at", acquired_here));
    CHECK(seen.says("released at", released_here));
}

/// How an access outside of what is mapped for it ends.
void check_faults(const ending& seen) {
    INFO(seen.words);
    CHECK(seen.status == -SIGSEGV);
}

/// A stray access that AddressSanitizer sees first, where there is one.
bool is_reported_by_sanitizer(const ending& seen) {
    return can_poison && seen.status == 1 && seen.says("use-after-poison");
}

TEST_CASE("misuse: a buffer released twice", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        buffer first = filled(pool);
        bitwise_copy second{first};
        first.reset(released_here);
        second->reset(again_here);
        return 0;
    });
    check_names_both(seen, "released by a handle that had released it");
    CHECK(seen.says("found now at", again_here));
}

TEST_CASE("misuse: a buffer destroyed twice, where no source location is to be had", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        buffer first = pool.try_acquire(1);
        bitwise_copy second{first};
        buffer* ended = std::addressof(first);
        asm("" : "+r"(ended) : : "memory");  // g++ 14 would see that it is destroyed twice
        std::destroy_at(ended);
        std::destroy_at(std::addressof(*second));
        return 0;
    });
    INFO(seen.words);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.says("acquired at " + std::string{std::source_location::current().file_name()}));
    CHECK(seen.says("released at code at "));
    CHECK(seen.says("found now at code at "));
}

TEST_CASE("misuse: a stale buffer released when its slot is somebody else's", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool(zcpool::pool_options{.slots = {1, 1}});
        buffer first = filled(pool);
        bitwise_copy stale{first};
        first.reset(released_here);
        const buffer other = pool.try_acquire(1);
        stale->reset(again_here);
        return 0;
    });
    check_names_both(seen, "released by a handle that had released it");
}

TEST_CASE("misuse: a buffer used after its release", "[death]") {
    const auto after_release = [](auto&& use) {
        return ending_of([&] {
            const auto pool = own_pool();
            buffer first = filled(pool);
            bitwise_copy stale{first};
            first.reset(released_here);
            use(*stale);
            return 0;
        });
    };
    const char* const what = "used by a handle that had released it";
    check_names_both(after_release([](buffer& stale) { static_cast<void>(stale.space()); }), what);
    check_names_both(after_release([](buffer& stale) { static_cast<void>(stale.bytes()); }), what);
    check_names_both(after_release([](buffer& stale) { static_cast<void>(stale.data()); }), what);
    check_names_both(after_release([](buffer& stale) { stale.commit(1); }), what);
    check_names_both(after_release([](const buffer& stale) { static_cast<void>(stale.bytes()); }),
                     what);
    check_names_both(after_release([](const buffer& stale) { static_cast<void>(stale.data()); }),
                     what);
    check_names_both(
        after_release([](buffer& stale) { static_cast<void>(std::move(stale).freeze()); }), what);
}

TEST_CASE("misuse: a slice used after its last release", "[death]") {
    const auto after_release = [](auto&& use) {
        return ending_of([&] {
            auto options = lending_options(2, 2);
            const auto pool = own_pool(options);
            slice first = filled(pool).freeze();
            bitwise_copy stale{first};
            first = slice{};
            use(*stale);
            return 0;
        });
    };
    for (const ending& seen : {
             after_release([](slice& stale) { static_cast<void>(stale.bytes()); }),
             after_release([](slice& stale) { static_cast<void>(stale.data()); }),
             after_release([](slice& stale) { const slice copy{stale}; }),
             after_release([](slice& stale) { static_cast<void>(stale.subslice(0)); }),
             after_release([](slice& stale) { static_cast<void>(stale.lend()); }),
         }) {
        INFO(seen.words);
        CHECK(seen.status == -SIGABRT);
        CHECK(seen.says("used by a handle that had released it"));
        CHECK(seen.says("acquired at", acquired_here));
        CHECK(seen.says("released at code at"));
        CHECK(seen.says("found now at code at"));
    }
}

TEST_CASE("misuse: a slice dropped twice", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        slice first = filled(pool).freeze();
        const slice shares{first};
        bitwise_copy second{first};
        first = slice{};
        *second = slice{};  // nobody can tell yet: two of two are gone
        return shares.bytes().empty() ? 1 : 0;
    });
    INFO(seen.words);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.says("acquired at", acquired_here));

    const ending last = ending_of([] {
        const auto pool = own_pool();
        slice first = filled(pool).freeze();
        bitwise_copy second{first};
        first = slice{};
        *second = slice{};
        return 0;
    });
    INFO(last.words);
    CHECK(last.status == -SIGABRT);
    CHECK(last.says("released by a handle that had released it"));
}

TEST_CASE("misuse: a handle that was made for another pool", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        const auto other = own_pool();
        const buffer mine = filled(pool);
        const buffer theirs = filled(other);
        bitwise_copy forged{mine};
        // The slot of one, what is known of it from the other.
        std::memcpy(static_cast<void*>(std::addressof(*forged)),
                    static_cast<const void*>(std::addressof(theirs)), sizeof(void*));
        forged->reset(again_here);
        return 0;
    });
    INFO(seen.words);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.says("used with a handle of another pool"));
    CHECK(seen.says("found now at", again_here));
}

TEST_CASE("misuse: a slot read in a forked child", "[death]") {
    const auto pool = make_pool<full_pool>({.slots = {2, 2}});
    slice frozen = filled(pool).freeze();
    buffer written = filled(pool);
    const ending read = ending_of([&] { return frozen.bytes().empty() ? 1 : 0; });
    const ending write = ending_of([&] { return written.space().empty() ? 1 : 0; });
    for (const ending& seen : {read, write}) {
        INFO(seen.words);
        CHECK(seen.status == -SIGABRT);
        CHECK(seen.says("used in a forked child"));
        CHECK(seen.says("acquired at", acquired_here));
    }
    // What a child does to its copies by ending is none.
    CHECK(status_of([&] {
              written.reset();
              frozen = slice{};
              return 0;
          }) == 0);
    CHECK(slots_in_use(pool) == 2);
    CHECK(frozen.bytes().size() == 1);
}

TEST_CASE("misuse: a byte behind a slot, with a canary there", "[death]") {
    for (const std::size_t behind : {0U, 4095U}) {
        const ending seen = ending_of([&] {
            const auto pool = own_pool();
            buffer held = filled(pool);
            scribble(held.data() + held.capacity() + behind);
            held.reset(released_here);
            return 0;
        });
        if (is_reported_by_sanitizer(seen)) {
            continue;
        }
        check_names_both(seen, "written behind its end, first at byte");
        CHECK(seen.says("first at byte " + std::to_string(behind) + "\n"));
    }
}

TEST_CASE("misuse: a byte behind a slot, found when a slice is the last handle", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        buffer held = filled(pool);
        std::byte* const end = held.data() + held.capacity();
        slice frozen = std::move(held).freeze();
        scribble(end);
        frozen = slice{};
        return 0;
    });
    if (!is_reported_by_sanitizer(seen)) {
        INFO(seen.words);
        CHECK(seen.status == -SIGABRT);
        CHECK(seen.says("written behind its end"));
    }
}

TEST_CASE("misuse: a byte in front of a slot that is not the first", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        buffer held[] = {filled(pool), filled(pool)};
        const bool swapped = held[0].data() > held[1].data();
        scribble(held[swapped ? 0 : 1].data() - 1);
        held[swapped ? 1 : 0].reset(released_here);
        return 0;
    });
    if (!is_reported_by_sanitizer(seen)) {
        check_names_both(seen, "written behind its end, first at byte 4095");
    }
}

TEST_CASE("misuse: a byte behind a slot, with a guard page there", "[death]") {
    check_faults(ending_of([] {
        const auto pool = own_pool<guarded_pool>();
        buffer held = pool.try_acquire(1);
        scribble(held.data() + held.capacity());
        return 0;
    }));
}

TEST_CASE("misuse: a byte outside of the slabs or of control memory", "[death]") {
    const auto touch = [](auto&& find) {
        return ending_of([&] {
            const auto pool = own_pool(zcpool::pool_options{.slots = {1, 1}});
            buffer small = pool.try_acquire(4_KiB);
            buffer large = pool.try_acquire(64_KiB);
            scribble(find(small, large));
            return 0;
        });
    };
    // In front of the first slab, between the two, and behind the last slot's canary.
    check_faults(touch([](buffer& small, buffer&) { return small.data() - 1; }));
    check_faults(touch([](buffer&, buffer& large) { return large.data() - 1; }));
    check_faults(touch([](buffer&, buffer& large) { return large.data() + 64_KiB + 4_KiB; }));

    const auto control = [](bool end) {
        std::ifstream maps{"/proc/self/maps"};
        for (std::string line; std::getline(maps, line);) {
            if (line.find("zcpool-control") != std::string::npos) {
                const auto range = line.substr(end ? line.find('-') + 1 : 0);
                return reinterpret_cast<std::byte*>(std::stoull(range, nullptr, 16));
            }
        }
        ::_exit(98);
    };
    check_faults(touch([&](buffer&, buffer&) { return control(false) - 1; }));
    check_faults(touch([&](buffer&, buffer&) { return control(true); }));
}

TEST_CASE("misuse: a byte of a slot that was released", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool(zcpool::pool_options{.slots = {1, 1}});
        buffer held = filled(pool);
        std::byte* const bytes = held.data();
        held.reset(released_here);
        scribble(bytes + 7);
        held = pool.try_acquire(1, again_here);
        return 0;
    });
    if (!is_reported_by_sanitizer(seen)) {
        check_names_both(seen, "written while it was free, first at byte 7");
        CHECK(seen.says("found now at", again_here));
    }
}

TEST_CASE("misuse: is found whichever way the slot was acquired", "[death]") {
    const auto twice = [](auto&& acquire) {
        return ending_of([&] {
            const auto pool = own_pool();
            buffer first = acquire(pool);
            bitwise_copy second{first};
            first.reset(released_here);
            second->reset();
            return 0;
        });
    };
    const char* const what = "released by a handle that had released it";
    using zcpool::priority;
    check_names_both(twice([](auto& pool) { return pool.try_acquire(1, acquired_here); }), what);
    check_names_both(
        twice([](auto& pool) { return *pool.acquire(1, priority::normal, acquired_here); }), what);
    check_names_both(
        twice([](auto& pool) { return *pool.acquire_for(1, 1s, priority::normal, acquired_here); }),
        what);
    check_names_both(twice([](auto& pool) {
                         buffer many[2];
                         static_cast<void>(pool.acquire_many(1, many, acquired_here));
                         return std::move(many[0]);
                     }),
                     what);
    check_names_both(twice([](auto& pool) {
                         zcpool::slot_watch watch{pool, 1, [](void*) noexcept {}, nullptr};
                         return *watch.try_again(acquired_here);
                     }),
                     what);
    check_names_both(twice([](auto& pool) {
                         // Waits for the slot that `kept` has, and gets it when that is released.
                         buffer kept[] = {pool.try_acquire(1), pool.try_acquire(1)};
                         zcpool::slot_watch watch{pool, 1, [](void*) noexcept {}, nullptr};
                         static_cast<void>(watch.try_again());
                         kept[0].reset();
                         return *watch.try_again(acquired_here);
                     }),
                     what);
}

TEST_CASE("misuse: a writer's slots are named by where the writer was made", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool();
        zcpool::writer out{pool, 0, acquired_here};
        static_cast<void>(out.put(std::uint8_t{1}));
        const zcpool::chain made = out.finish();
        bitwise_copy second{made.slices()[0]};
        *second = slice{};
        return made.slices()[0].bytes().empty() ? 1 : 0;
    });
    INFO(seen.words);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.says("acquired at", acquired_here));
}

}  // namespace
