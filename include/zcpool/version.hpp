// SPDX-License-Identifier: MIT
#pragma once

// The version of the library as macros, for `#if`. CMakeLists.txt has the same; the consumer tests
// compare them.

#define ZCPOOL_VERSION_MAJOR 0
#define ZCPOOL_VERSION_MINOR 1
#define ZCPOOL_VERSION_PATCH 0
