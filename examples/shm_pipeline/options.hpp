// SPDX-License-Identifier: MIT
#pragma once

// What the programs are told on their command lines, checked before anything is opened.

#include <chrono>
#include <cstdint>
#include <string>

#include <zcpool/ipc/channel_options.hpp>

#include <shm_pipeline/frame.hpp>

namespace shm_pipeline {

enum class program : std::uint8_t { run, broker, capture, packager, viewer };

/// Of the stages that send: what their channels are like.
struct sending_options {
    std::uint32_t capacity = 8;  ///< frames
    zcpool::ipc::back_pressure when_full = zcpool::ipc::back_pressure::wait;
};

struct capture_options {
    std::string source = "synthetic";
    std::uint32_t rate = 0;    ///< frames a second; 0: as many as there is room for
    std::uint64_t frames = 0;  ///< numbers after which it ends; 0: none
};

struct viewer_options {
    std::chrono::milliseconds looks_for{0};  ///< at each frame
};

/// Of those that own the pool.
struct broker_options {
    picture_size size;
    std::uint32_t slots = 0;  ///< for frames; 0: what viewers and capacity may need
    std::uint32_t viewers = 1;
    std::chrono::milliseconds duration{0};  ///< 0: until the capture ends, or a signal
    std::uint32_t kills = 0;
    std::chrono::milliseconds kill_within{20};
    std::uint64_t seed = 0;
};

/// The options of one process; it reads those of its program.
struct options {
    program what = program::run;
    std::string socket;
    sending_options sending;
    capture_options capture;
    viewer_options viewer;
    broker_options broker;
};

/// What became of a command line.
struct parsed_options {
    bool run = false;   ///< false: exit with `exit_code`, everything has been said
    int exit_code = 0;  ///< 0 after --help, 2 for an option that cannot be
    options values;
};

/// Reads the command line; prints help, or what is wrong with which value, what the limit is and
/// what to do.
[[nodiscard]] parsed_options parse_options(int argc, const char* const* argv);

/// A policy as it is written on a command line.
[[nodiscard]] const char* name_of(zcpool::ipc::back_pressure policy) noexcept;

/// The largest picture of about as much width as height whose pixels take up to so many bytes.
[[nodiscard]] picture_size picture_within(std::size_t bytes) noexcept;

}  // namespace shm_pipeline
