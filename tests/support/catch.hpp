// SPDX-License-Identifier: MIT
#pragma once

// Catch2, whichever is installed: version 2 is one header (Debian 12), version 3 a library
// (Debian 13). Tests include this header only, and write SKIP("reason") where a kernel feature or a
// permission is missing: version 3 has it, version 2 gets it here. There it must stand in the body
// of the test case itself, since it returns from it.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define ZCPOOL_TEST_CATCH 3
#else
#include <catch2/catch.hpp>
#define ZCPOOL_TEST_CATCH 2

namespace zcpool_test {

/// Counts and prints a skipped test case; `main` turns "everything was skipped" into ctest's skip.
void note_skip(const char* reason, const char* file, int line) noexcept;

}  // namespace zcpool_test

#define SKIP(reason)                                                                               \
    do {                                                                                           \
        ::zcpool_test::note_skip((reason), __FILE__, __LINE__);                                    \
        return;                                                                                    \
    } while (false)
#endif
