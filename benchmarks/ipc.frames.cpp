// SPDX-License-Identifier: MIT
// Frames from one process to another and back: how long a hand-over takes, and how many bytes a
// second go through where each is written and read.
#include "ipc.frames.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/frame_channels.hpp"
#include "support/program.hpp"

namespace {

using namespace bench;

struct frame_size {
    const char* name;
    std::size_t bytes;
};
constexpr frame_size sizes[] = {
    {"4 KiB", 4096}, {"64 KiB", 64 * 1024}, {"1 MiB", 1024 * 1024}, {"8 MiB", 8 * 1024 * 1024}};

/// What each process reads of a frame: every byte.
std::uint64_t sum_of(std::span<const std::byte> frame) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i + sizeof sum <= frame.size(); i += sizeof sum) {
        std::uint64_t word = 0;
        std::memcpy(&word, frame.data() + i, sizeof word);
        sum += word;
    }
    return sum;
}

template <class Frames>
void round_trips(const frame_size& size, waits how, std::size_t wanted,
                 const char* name = Frames::name) {
    const auto count = amount<std::size_t>(wanted, 10);
    const std::string work = std::string{size.name} + " frame there and back, " +
                             (how == waits::spinning ? "spinning" : "sleeping");
    benchmark::RegisterBenchmark(
        (work + " | " + name).c_str(),
        [=](benchmark::State& state) {
            std::vector<double> times(count);
            run_processes(
                state, count, 0, [=] { return std::make_unique<Frames>(size.bytes, how); },
                [](unsigned side, Frames& frames) { frames.attach(side); },
                [&](unsigned side, Frames& frames) {
                    for (std::uint64_t i = 0; i < count; ++i) {
                        const double begin = wall_ns();
                        if (!(side == 0 ? frames.write(i) && frames.read()
                                        : frames.read() && frames.write(i))) {
                            return false;
                        }
                        times[i] = wall_ns() - begin;
                    }
                    return true;
                });
            std::sort(times.begin(), times.end());
            const auto at = [&](double part) {
                return times[static_cast<std::size_t>(part * static_cast<double>(count - 1))];
            };
            state.counters["p50"] = at(0.5);
            state.counters["p99"] = at(0.99);
            state.counters["p99.9"] = at(0.999);
            state.counters["max"] = times.back();
        })
        ->Iterations(1)
        ->UseManualTime();
}

template <class Frames>
void written_and_read(const frame_size& size, std::size_t wanted, const char* name = Frames::name) {
    const auto count = amount<std::size_t>(wanted, 4);
    benchmark::RegisterBenchmark(
        (std::string{size.name} + " frames, every byte written and read | " + name).c_str(),
        [=](benchmark::State& state) {
            run_processes(
                state, count, size.bytes,
                [=] { return std::make_unique<Frames>(size.bytes, waits::spinning); },
                [](unsigned side, Frames& frames) { frames.attach(side); },
                [=](unsigned side, Frames& frames) {
                    for (std::uint64_t i = 0; i < count; ++i) {
                        if (side == 0) {
                            if (!frames.write_whole(i)) {
                                return false;
                            }
                            continue;
                        }
                        if (!frames.read()) {
                            return false;
                        }
                        benchmark::DoNotOptimize(sum_of(frames.data()));
                        std::uint64_t number = 0;
                        std::memcpy(&number, frames.data().data(), sizeof number);
                        const auto last = std::to_integer<std::uint64_t>(frames.data().back());
                        if (number != i || last != (i & 0x7F)) {
                            return false;
                        }
                        frames.done();
                    }
                    return side == 1 || frames.finish();
                });
        })
        ->Iterations(1)
        ->UseManualTime();
}

/// The limit: one process writes a frame and reads it.
void in_one_process(const frame_size& size, std::size_t wanted) {
    const auto count = amount<std::size_t>(wanted, 4);
    benchmark::RegisterBenchmark(
        (std::string{size.name} + " frames, every byte written and read | limit: one process")
            .c_str(),
        [=](benchmark::State& state) {
            pin_to(0);
            std::vector<std::byte> frame(size.bytes);
            for (auto _ : state) {
                const double begin = wall_ns();
                for (std::uint64_t i = 0; i < count; ++i) {
                    fill_frame(frame, i);
                    benchmark::DoNotOptimize(sum_of(frame));
                    benchmark::ClobberMemory();
                }
                state.SetIterationTime((wall_ns() - begin) * 1e-9);
            }
            const auto items = state.iterations() * static_cast<std::int64_t>(count);
            state.SetItemsProcessed(items);
            state.SetBytesProcessed(items * static_cast<std::int64_t>(size.bytes));
        })
        ->Iterations(1)
        ->UseManualTime();
}

}  // namespace

void bench::register_frames() {
    using zcpool::ipc::wake_by;
    using by_futex = slice_frames<wake_by::futex>;
    using by_event = slice_frames<wake_by::event>;
#if !ZCPOOL_BENCH_HAS_INTERPROCESS
    left_out("boost::interprocess::message_queue", "not installed when this was built");
#endif
#if !ZCPOOL_BENCH_HAS_ICEORYX
    left_out("iceoryx", "not installed when this was built");
#endif
    const bool has_queue = message_queue_channel{}.is_there();
    for (const frame_size& size : sizes) {
        // A way that copies takes as long as the copies of it.
        const std::size_t copied = 200'000'000 / (size.bytes + 40'000);
        const std::size_t streamed = 400'000'000 / (size.bytes + 4'000);

        round_trips<by_futex>(size, waits::spinning, 100'000);
        round_trips<word_frames>(size, waits::spinning, 100'000);
        round_trips<by_futex>(size, waits::sleeping, 5'000);
        round_trips<by_event>(size, waits::sleeping, 5'000);
        round_trips<word_frames>(size, waits::sleeping, 5'000, word_frames::sleeping_name);
        round_trips<copied_frames<pipe_channel>>(size, waits::sleeping, copied);
        round_trips<copied_frames<unix_channel>>(size, waits::sleeping, copied);
        round_trips<fd_frames>(size, waits::sleeping, copied);
        if (has_queue && size.bytes <= message_queue_channel::longest) {
            round_trips<copied_frames<message_queue_channel>>(size, waits::sleeping, copied);
        }
        written_and_read<by_futex>(size, streamed);
        written_and_read<copied_frames<pipe_channel>>(size, streamed / 2 + 2);
        written_and_read<copied_frames<unix_channel>>(size, streamed / 2 + 2);
#if ZCPOOL_BENCH_HAS_INTERPROCESS
        round_trips<interprocess_frames>(size, waits::spinning, copied);
        round_trips<interprocess_frames>(size, waits::sleeping, copied);
        written_and_read<interprocess_frames>(size, streamed / 2 + 2);
#endif
        in_one_process(size, streamed);
#if ZCPOOL_BENCH_HAS_ICEORYX
        register_iceoryx(size.name, size.bytes);
#endif
    }
}
