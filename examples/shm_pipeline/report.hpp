// SPDX-License-Identifier: MIT
#pragma once

// What came of a run, as a table: a name and a number a line.

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include <shm_pipeline/board.hpp>
#include <shm_pipeline/broker.hpp>
#include <shm_pipeline/options.hpp>

namespace shm_pipeline {

struct run_outcome {
    std::array<std::uint64_t, 3> starts{};  ///< by role
    std::array<std::uint64_t, 3> kills{};
    std::uint64_t taken_back = 0;
    slot_account slots;
    std::chrono::duration<double> took{};
    bool was_signalled = false;
    std::string failure;  ///< in words; empty when no stage failed
};

void print_report(const options& values, const board_page& board, const run_outcome& outcome);

/// What is wrong with a run, in words; empty when all is as it must be.
[[nodiscard]] std::string verdict(const options& values, const board_page& board,
                                  const run_outcome& outcome);

}  // namespace shm_pipeline
