// SPDX-License-Identifier: MIT
#pragma once

// The programs that are started by main.cpp.

#include <string_view>

#include <fmt/format.h>

#include <shm_pipeline/options.hpp>

namespace shm_pipeline {

/// Makes frames and sends them to the packager. Returns: an exit code, as the others do.
[[nodiscard]] int capture(const options& values);
/// Gives each frame a head, and publishes both to the viewers.
[[nodiscard]] int package(const options& values);
/// Looks at what is published.
[[nodiscard]] int view(const options& values);
/// Owns the pool, reaps the dead, and starts the stages, if it is told so.
[[nodiscard]] int run(const options& values);

/// Says why a program ends. Returns: its exit code.
inline int complain(std::string_view who, std::string_view what) {
    fmt::print(stderr, "shm_pipeline {}: {}\n", who, what);
    return 1;
}

}  // namespace shm_pipeline
