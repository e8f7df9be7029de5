// SPDX-License-Identifier: MIT
#pragma once

// The version of the library as macros, for `#if`. CMakeLists.txt carries the same number; the
// consumer tests compare them. compares them.

#define ZCPOOL_VERSION_MAJOR 0
#define ZCPOOL_VERSION_MINOR 1
#define ZCPOOL_VERSION_PATCH 0
