// SPDX-License-Identifier: MIT

// The steady state makes no allocation, no page fault and no system call but the send.
//
// usage: steady_state.bench CASE MESSAGES
//
// Sends MESSAGES messages in lockstep with a reader, and prints what the loop did: allocations
// (every one of the process is counted here, the C library's and operator new), page faults
// (getrusage), and the calls that the sink says it made. System calls cannot be counted from
// inside: steady_state.py runs this program under strace with N and 2 N messages, and what the
// second run does more is the loop's. The reader is a forked child, which strace is not told to
// follow. It says how far it has come through shared memory, so that waiting for it is no system
// call either; and because each message has been read before the next is sent, none is ever cut
// short.

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include <zcpool/zcpool.hpp>

#include "support/cpu.hpp"
#include "support/stream.hpp"

// Every allocation of the process passes here. The C library's own are behind these names.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
}

namespace {

std::atomic<std::uint64_t> allocations{0};

// relaxed: a counter.
void count_allocation() noexcept { allocations.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

extern "C" {
void* malloc(std::size_t bytes) {
    count_allocation();
    return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
    count_allocation();
    return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
    count_allocation();
    return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
    count_allocation();
    return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** into, std::size_t alignment, std::size_t bytes) {
    count_allocation();
    *into = __libc_memalign(alignment, bytes);
    return *into == nullptr ? ENOMEM : 0;
}
}

using namespace zcpool::literals;

namespace {

using frame_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB, 1_MiB>>;

constexpr std::uint32_t slots = 16;

/// The reader, in a process of its own.
class lockstep_reader {
public:
    explicit lockstep_reader(bench::transport over) {
        void* const page = ::mmap(nullptr, zcpool::page_size, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        bench::require(page != MAP_FAILED, "mmap");
        drained_ = new (page) std::atomic<std::uint64_t>{0};
        auto ends = bench::connect(over);
        child_ = ::fork();
        bench::require(child_ >= 0, "fork");
        if (child_ == 0) {
            ends.near.reset();
            drain(ends.far.get());
        }
        near_ = std::move(ends.near);
    }
    lockstep_reader(const lockstep_reader&) = delete;
    lockstep_reader& operator=(const lockstep_reader&) = delete;
    ~lockstep_reader() {
        near_.reset();
        ::waitpid(child_, nullptr, 0);
    }

    [[nodiscard]] int fd() const noexcept { return near_.get(); }

    /// Waits without a system call until the reader has read `bytes` more.
    void wait_drained(std::size_t bytes) noexcept {
        expected_ += bytes;
        while (drained_->load(std::memory_order_acquire) < expected_) {
        }
    }

private:
    [[noreturn]] void drain(int fd) noexcept {
        static std::byte buffer[64_KiB];
        for (;;) {
            const auto got = ::recv(fd, buffer, sizeof buffer, 0);
            if (got <= 0) {
                ::_exit(0);
            }
            drained_->fetch_add(static_cast<std::uint64_t>(got), std::memory_order_release);
        }
    }

    zcpool::sys::unique_fd near_;
    std::atomic<std::uint64_t>* drained_ = nullptr;
    std::uint64_t expected_ = 0;
    pid_t child_ = -1;
};

struct tally {
    std::uint64_t allocations = 0;
    long minor_faults = 0;
    long major_faults = 0;

    [[nodiscard]] static tally now() noexcept {
        rusage used{};
        ::getrusage(RUSAGE_THREAD, &used);
        return {allocations_now(), used.ru_minflt, used.ru_majflt};
    }

private:
    // relaxed: this thread is the only one.
    static std::uint64_t allocations_now() noexcept {
        return ::allocations.load(std::memory_order_relaxed);
    }
};

/// Sends `messages` messages by `send_one` and prints the difference that they made.
template <class Sink, class SendOne>
void measure(Sink& out, lockstep_reader& reader, std::uint64_t messages, SendOne&& send_one) {
    const auto send = [&] {
        const std::size_t bytes = send_one();
        bench::require(out.flush() == zcpool::sink::state::done, "a message was cut short");
        reader.wait_drained(bytes);
    };
    send();  // the first use of the code pages of this program and of the buffers of the socket
    const auto calls_before = out.stats().calls;
    const tally before = tally::now();
    for (std::uint64_t i = 0; i < messages; ++i) {
        send();
    }
    const tally after = tally::now();
    std::printf("messages %llu\ncalls %llu\nallocations %llu\nminor_faults %ld\nmajor_faults %ld\n",
                static_cast<unsigned long long>(messages),
                static_cast<unsigned long long>(out.stats().calls - calls_before),
                static_cast<unsigned long long>(after.allocations - before.allocations),
                after.minor_faults - before.minor_faults, after.major_faults - before.major_faults);
}

/// try_acquire, fill, freeze, push, flush; all slots of the class are gone through, so that none is
/// spared its first touch.
void send_fresh_slots(std::size_t payload, std::uint64_t messages) {
    lockstep_reader reader{bench::transport::tcp};
    const frame_pool pool = frame_pool::create({.slots = {slots, slots, slots}}).value();
    zcpool::sink::write out{reader.fd()};
    // Holds back what was sent last, so that the messages go round in all slots but one.
    std::array<zcpool::slice, slots - 1> kept;
    std::size_t oldest = 0;
    measure(out, reader, messages, [&] {
        zcpool::buffer fresh = pool.try_acquire(payload);
        bench::require(static_cast<bool>(fresh), "try_acquire");
        std::memset(fresh.space().data(), 'z', payload);
        fresh.commit(payload);
        zcpool::slice frozen = std::move(fresh).freeze();
        out.push(frozen);
        kept[oldest++ % kept.size()] = std::move(frozen);
        return payload;
    });
}

/// A program that does all that it should not once a message, to prove that it would be seen.
void send_wastefully(std::size_t payload, std::uint64_t messages) {
    lockstep_reader reader{bench::transport::tcp};
    const std::vector<std::byte> bytes(payload);
    zcpool::sink::write out{reader.fd()};
    measure(out, reader, messages, [&] {
        void* const page = ::mmap(nullptr, zcpool::page_size, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        std::memset(page, 1, 1);
        ::munmap(page, zcpool::page_size);
        // adopt() allocates.
        out.push(zcpool::slice::adopt(bytes, 0).value());
        return payload;
    });
}

/// One slice, lent again and again: the cached segment of a server.
void send_cached_slice(std::size_t payload, std::uint64_t messages) {
    lockstep_reader reader{bench::transport::tcp};
    const frame_pool pool =
        frame_pool::create({.slots = {slots, slots, slots}, .lending = zcpool::lending::cached})
            .value();
    zcpool::buffer fresh = pool.try_acquire(payload);
    fresh.commit(payload);
    const zcpool::slice cached = std::move(fresh).freeze();
    zcpool::sink::sendfile out{reader.fd()};
    measure(out, reader, messages, [&] {
        out.push(cached);
        return payload;
    });
    bench::require(out.stats().copied_bytes == 0, "sink::sendfile copied");
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) {
        std::fprintf(stderr, "usage: steady_state.bench CASE MESSAGES\n");
        return 2;
    }
    const std::string_view which = arguments[1];
    const std::uint64_t messages = std::strtoull(arguments[2], nullptr, 10);
    if (which == "write-4KiB") {
        send_fresh_slots(4_KiB, messages);
    } else if (which == "write-64KiB") {
        send_fresh_slots(64_KiB, messages);
    } else if (which == "write-1MiB") {
        send_fresh_slots(1_MiB, messages);
    } else if (which == "sendfile-64KiB") {
        send_cached_slice(64_KiB, messages);
    } else if (which == "sendfile-1MiB") {
        send_cached_slice(1_MiB, messages);
    } else if (which == "wasteful") {
        send_wastefully(64_KiB, messages);
    } else {
        std::fprintf(stderr, "steady_state.bench: no case %s\n", arguments[1]);
        return 2;
    }
    return 0;
}
