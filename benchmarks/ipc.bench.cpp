// SPDX-License-Identifier: MIT

// What goes from one process to another, beside other ways of the same: bytes a second of a stream
// of messages, which one process writes out of a block of its own and the other reads into one.
// Rows are named "work | subject". `limit: memcpy` is one process that copies each message
// once.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ipc.frames.hpp"
#include "support/byte_channels.hpp"
#include "support/cpu.hpp"
#include "support/program.hpp"
#include "support/two_processes.hpp"

namespace {

using namespace bench;

struct message_size {
    const char* work;
    std::size_t bytes;
    std::size_t count;  // of messages a run: some tens of milliseconds
};

constexpr message_size sizes[] = {
    {"64 B messages", 64, 1'000'000},
    {"1 KiB messages", 1024, 200'000},
    {"64 KiB messages", 64 * 1024, 5'000},
};

template <class Body>
void add_row(const message_size& size, const char* subject, Body body) {
    benchmark::RegisterBenchmark((std::string{size.work} + " | " + subject).c_str(),
                                 std::move(body))
        ->Iterations(1)
        ->UseManualTime();
}

/// Each message begins with its number, so that the reader can tell what it has.
template <class Channel>
bool send(Channel& channel, std::size_t bytes, std::size_t count) {
    std::vector<std::byte> message(bytes, std::byte{42});
    for (std::uint64_t i = 0; i < count; ++i) {
        std::memcpy(message.data(), &i, sizeof i);
        if (!channel.write(message)) {
            return false;
        }
    }
    return true;
}

template <class Channel>
bool receive(Channel& channel, std::size_t bytes, std::size_t count) {
    std::vector<std::byte> message(bytes);
    bool is_right = true;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (!channel.read(message)) {
            return false;
        }
        std::uint64_t number = 0;
        std::memcpy(&number, message.data(), sizeof number);
        is_right = is_right && number == i && message.back() == std::byte{42};
        benchmark::ClobberMemory();
    }
    return is_right;
}

/// A stream of messages; a slow way has a part of their number.
template <class Channel>
void messages(const message_size& size, std::size_t divisor = 1) {
    const auto count = amount<std::size_t>(size.count / divisor, 10);
    add_row(size, Channel::name, [=](benchmark::State& state) {
        run_processes(
            state, count, size.bytes, [] { return std::make_unique<Channel>(); },
            [](unsigned side, Channel& channel) { channel.attach(side); },
            [=](unsigned side, Channel& channel) {
                return side == 0 ? send(channel, size.bytes, count)
                                 : receive(channel, size.bytes, count);
            });
    });
}

void bare_copies(const message_size& size) {
    const auto count = amount<std::size_t>(size.count, 10);
    add_row(size, "limit: memcpy", [=](benchmark::State& state) {
        pin_to(0);
        std::vector<std::byte> from(size.bytes, std::byte{42});
        std::vector<std::byte> to(size.bytes);
        for (auto _ : state) {
            const double begin = wall_ns();
            for (std::size_t i = 0; i < count; ++i) {
                std::memcpy(to.data(), from.data(), size.bytes);
                benchmark::DoNotOptimize(to.data());
                benchmark::ClobberMemory();
            }
            state.SetIterationTime((wall_ns() - begin) * 1e-9);
        }
        const auto copied = state.iterations() * static_cast<std::int64_t>(count);
        state.SetItemsProcessed(copied);
        state.SetBytesProcessed(copied * static_cast<std::int64_t>(size.bytes));
    });
}

}  // namespace

void bench::register_benchmarks() {
    const bool has_queue = message_queue_channel{}.is_there();
    if (!has_queue) {
        left_out(message_queue_channel::name, "mq_open was refused");
    }
#if !ZCPOOL_BENCH_HAS_LOCKFREE
    left_out("boost::lockfree::spsc_queue", "not installed when this was built");
#endif
    for (const message_size& size : sizes) {
        const std::size_t by_calls = size.bytes < 1024 ? 20 : 4;  // a call a message
        messages<ring_channel>(size);
        messages<stream_channel>(size);
#if ZCPOOL_BENCH_HAS_LOCKFREE
        messages<lockfree_channel>(size);
#endif
        messages<pipe_channel>(size, by_calls);
        messages<unix_channel>(size, by_calls);
        if (has_queue && size.bytes <= message_queue_channel::longest) {
            messages<message_queue_channel>(size, 2 * by_calls);
        }
        bare_copies(size);
    }
    register_frames();
}
