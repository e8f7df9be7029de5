// SPDX-License-Identifier: MIT

// The `main` of the test binary. Exit codes, which differ between versions of Catch2 and may be
// counts there, are made plain here: 0 passed, 1 failed, 2 nothing was run, 77 all was skipped.

#include <cstddef>
#include <cstdio>
#include <new>

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include "support/allocations.hpp"
#include "support/catch.hpp"

namespace {

/// Allocations by new (std::nothrow) until one fails; below 0: none does.
thread_local long before_failure = -1;

/// `ordinary()` allocates, so that the ordinary operator delete fits.
template <class Ordinary>
void* unless_it_fails(Ordinary ordinary) noexcept {
    if (before_failure >= 0 && before_failure-- == 0) {
        return nullptr;
    }
#if defined(__cpp_exceptions)
    try {
        return ordinary();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
#else
    return ordinary();
#endif
}

constexpr int exit_failed = 1;
constexpr int exit_nothing_run = 2;
constexpr int exit_skipped = 77;

struct tally {
    std::size_t run = 0;
    std::size_t failed = 0;
    std::size_t skipped = 0;
    bool ended = false;  // stays false for --list-tests and the like
};

tally counted;

#if ZCPOOL_TEST_CATCH == 3
using listener_base = Catch::EventListenerBase;
#else
using listener_base = Catch::TestEventListenerBase;
#endif

class tally_listener : public listener_base {
public:
    using listener_base::listener_base;

    void testRunEnded(const Catch::TestRunStats& stats) override {
        const auto& cases = stats.totals.testCases;
        counted.run = static_cast<std::size_t>(cases.total());
        counted.failed = static_cast<std::size_t>(cases.failed);
#if ZCPOOL_TEST_CATCH == 3
        counted.skipped = static_cast<std::size_t>(cases.skipped);
#endif
        counted.ended = true;
    }
};

CATCH_REGISTER_LISTENER(tally_listener)

}  // namespace

void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return unless_it_fails([&] { return ::operator new(bytes); });
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return unless_it_fails([&] { return ::operator new[](bytes); });
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return unless_it_fails([&] { return ::operator new(bytes, alignment); });
}
void* operator new[](std::size_t bytes, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
    return unless_it_fails([&] { return ::operator new[](bytes, alignment); });
}

zcpool_test::failing_allocation::failing_allocation(long which) noexcept { before_failure = which; }
zcpool_test::failing_allocation::~failing_allocation() { before_failure = -1; }
bool zcpool_test::failing_allocation::has_failed() const noexcept { return before_failure < 0; }

#if ZCPOOL_TEST_CATCH == 2
void zcpool_test::note_skip(const char* reason, const char* file, int line) noexcept {
    ++counted.skipped;
    std::fprintf(stderr, "%s:%d: skipped: %s\n", file, line, reason);
}
#endif

int main(int argc, char* argv[]) {
    const int status = Catch::Session().run(argc, argv);
    if (!counted.ended) {
        return status;
    }
    if (counted.failed > 0) {
        return exit_failed;
    }
    if (counted.run == 0) {
        std::fputs("no test case matched\n", stderr);
        return exit_nothing_run;
    }
    if (counted.skipped >= counted.run) {
        return exit_skipped;
    }
    // Version 3 has answers of its own for runs that are no failure, version 2 has not.
    return ZCPOOL_TEST_CATCH == 2 && status != 0 ? exit_failed : 0;
}
