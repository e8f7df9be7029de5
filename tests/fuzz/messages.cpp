// SPDX-License-Identifier: MIT
// Rings that the other side scribbles in, by turns and at the same time: whoever receives reads no
// byte that is not his to read, and whoever sends frees nothing twice.
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <zcpool/zcpool.hpp>

#include "input.hpp"

namespace {

using zcpool::sys::unique_fd;
using zcpool_fuzz::input;
using namespace zcpool::literals;

using small_pool = zcpool::pool<zcpool::size_classes<4_KiB>>;

void expect(bool holds) {
    if (!holds) {
        std::abort();
    }
}

/// Another thread that flips bits of some memory for as long as it lives, but not the highest ones
/// of 64-bit words (see without_hand_overs()).
class flipper {
public:
    flipper(std::span<std::byte> memory, std::uint64_t seed)
        : thread_([=, this] {
              const std::span words{reinterpret_cast<std::atomic<std::uint32_t>*>(memory.data()),
                                    memory.size() / sizeof(std::uint32_t)};
              std::uint64_t state = seed;
              while (!stops_.load(std::memory_order_relaxed)) {
                  state = state * 6364136223846793005U + 1442695040888963407U;
                  auto& word = words[(state >> 33) % words.size()];
                  word.fetch_xor(1U << (state >> 28) % 31, std::memory_order_relaxed);
                  std::this_thread::yield();
              }
          }) {}
    ~flipper() {
        stops_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    flipper(const flipper&) = delete;
    flipper& operator=(const flipper&) = delete;

private:
    std::atomic<bool> stops_{false};
    std::thread thread_;
};

/// Who hands a slot over that it goes on using, which a partner can, takes it from itself. Its own
/// part is in this process too, so it must not: the bit that says so is taken out.
void without_hand_overs(std::span<std::byte> cells) {
    const std::span words{reinterpret_cast<std::atomic<std::uint64_t>*>(cells.data()),
                          cells.size() / sizeof(std::uint64_t)};
    for (std::size_t i = 1; i < words.size(); i += 2) {
        words[i].fetch_and(~(std::uint64_t{1} << 63), std::memory_order_relaxed);
    }
}

/// A partner's end of a channel whose sender writes anything.
void receive_from_a_scribbler(input& from) {
    auto pool = small_pool::create({.slots = {4}}).value();
    const auto files = pool.share().value();
    auto there = zcpool::ipc::attached_pool::attach(unique_fd{::dup(files.data)},
                                                    unique_fd{::dup(files.control)})
                     .value();
    auto out = zcpool::ipc::channel_sender::create(pool, {.capacity = 4}).value();
    auto in =
        zcpool::ipc::channel_receiver::attach(there, {unique_fd{::dup(out.files().memory)}, {}, {}})
            .value();
    const auto memory =
        zcpool::sys::mapping::shared(out.files().memory, zcpool::ipc::channel_memory::bytes_for(4))
            .value();
    auto* const header = reinterpret_cast<zcpool::ipc::channel_header*>(memory.data());
    auto* const taken = reinterpret_cast<std::byte*>(&header->taken);
    auto* const end = reinterpret_cast<std::byte*>(header + 1) + 4 * 16;
    const std::span<std::byte> ring{taken, end};
    // A slice that the scribbler holds, and never gives up: what it describes may be had.
    auto frame = pool.try_acquire(100);
    frame.commit(100);
    const zcpool::slice held = std::move(frame).freeze();
    expect(out.try_send(held).has_value());
    std::optional<flipper> other;
    if (from.take<std::uint8_t>() % 4 == 0) {
        other.emplace(ring, from.take<std::uint64_t>());
    }
    std::vector<zcpool::slice> got;
    const auto cells = ring.last(4 * 16);
    for (int n = 0; n < 64 && !from.empty(); ++n) {
        zcpool_fuzz::scribble(from, ring, 2);
        without_hand_overs(cells);
        auto slice = in.try_receive();
        std::size_t sum = 0;
        for (const std::byte each : slice.bytes()) {
            sum += std::to_integer<std::size_t>(each);
        }
        expect(sum == 0 && slice.size() <= 4096);  // nobody has written a byte
        if (from.take<std::uint8_t>() % 2 == 0) {
            got.push_back(std::move(slice));
        }
        static_cast<void>(in.ended());
    }
}

/// The owner's end of a feed whose reader writes anything.
void send_to_a_scribbler(input& from) {
    auto pool = small_pool::create({.slots = {8}}).value();
    int ends[2];
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const unique_fd here{ends[0]};
    const unique_fd there{ends[1]};
    {
        auto out = zcpool::ipc::feed::open(here.get(), pool, {.frames = 4, .capacity = 4}).value();
        std::array<std::byte, 8> text{};
        std::array<unique_fd, 3> fds;
        expect(zcpool::sys::receive_fds(there.get(), text, fds).has_value());
        const auto memory = zcpool::ipc::feed_memory::adopt(std::move(fds[1])).value();
        auto* const header = &memory.header();
        const std::span<std::byte> ring{reinterpret_cast<std::byte*>(&header->taken), 512};
        std::optional<flipper> other;
        if (from.take<std::uint8_t>() % 4 == 0) {
            other.emplace(ring, from.take<std::uint64_t>());
        }
        for (int n = 0; n < 64 && !from.empty(); ++n) {
            zcpool_fuzz::scribble(from, ring, 2);
            if (auto frame = pool.try_acquire(100)) {
                frame.commit(100);
                static_cast<void>(out.send(std::move(frame).freeze()));
            }
            static_cast<void>(out.reclaim());
            expect(out.outstanding() <= 4);
            expect(zcpool::pool_view{pool}.stats()[0].in_use == out.outstanding());
        }
    }
    ::shutdown(there.get(), SHUT_RDWR);
    expect(zcpool::ipc::lingering_feeds::common().poll() == 0);
    expect(zcpool::pool_view{pool}.stats()[0].in_use == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input from{data, size};
    if (from.take<std::uint8_t>() % 2 == 0) {
        receive_from_a_scribbler(from);
    } else {
        send_to_a_scribbler(from);
    }
    return 0;
}
