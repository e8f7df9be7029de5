// SPDX-License-Identifier: MIT
#pragma once

// The ways by which bytes go from one process to another that ipc.bench.cpp measures. Each has the
// same shape: made before the fork, `attach(side)` in each process, `write(bytes)` in the first and
// `read(bytes)` in the second, which spin or block until all of it has gone.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <zcpool/ipc/byte_stream.hpp>
#include <zcpool/ring/byte_ring.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/mirror_mapping.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include "support/cpu.hpp"
#include "support/two_processes.hpp"

#if __has_include(<boost/lockfree/spsc_queue.hpp>)
#include <boost/lockfree/spsc_queue.hpp>
#define ZCPOOL_BENCH_HAS_LOCKFREE 1
#else
#define ZCPOOL_BENCH_HAS_LOCKFREE 0
#endif

namespace bench {

/// Bytes that may be under way, the same for all that let one choose.
inline constexpr std::size_t channel_capacity = 256 * 1024;

[[noreturn]] inline void give_up(const char* what) {
    std::perror(what);
    std::abort();
}

/// Takes the value of a result; there is no benchmark without.
template <class T>
[[nodiscard]] T must(zcpool::result<T> made, const char* what) {
    if (!made) {
        std::fprintf(stderr, "%s: %s\n", what, made.error().message().c_str());
        std::abort();
    }
    return std::move(*made);
}

/// The bare ring; both sides spin.
class ring_channel {
public:
    static constexpr const char* name = "zcpool::byte_ring";

    void attach(unsigned side) {
        if (side == 0) {
            producer_ = {*positions_, pages_.data(), channel_capacity};
        } else {
            consumer_ = {*positions_, pages_.data(), channel_capacity};
        }
    }
    bool write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            std::span<std::byte> room;
            spin_until([&] {
                room = producer_.space(std::min(bytes.size(), piece));
                return !room.empty();
            });
            const std::size_t count = std::min({bytes.size(), room.size(), piece});
            std::memcpy(room.data(), bytes.data(), count);
            producer_.commit(count);
            bytes = bytes.subspan(count);
        }
        return true;
    }
    bool read(std::span<std::byte> into) {
        while (!into.empty()) {
            std::span<const std::byte> there;
            spin_until([&] {
                there = consumer_.readable(std::min(into.size(), piece));
                return !there.empty();
            });
            const std::size_t count = std::min({into.size(), there.size(), piece});
            std::memcpy(into.data(), there.data(), count);
            consumer_.consume(count);
            into = into.subspan(count);
        }
        return true;
    }

private:
    static constexpr std::size_t piece = 16 * 1024;

    static zcpool::sys::mirror_mapping map() {
        const auto file = must(zcpool::sys::memfd::create("bench", channel_capacity), "memfd");
        auto pages = must(zcpool::sys::mirror_mapping::shared(file.fd(), 0, channel_capacity),
                          "mirror_mapping");
        static_cast<void>(pages.populate());
        return pages;
    }

    shared_object<zcpool::byte_positions> positions_;
    zcpool::sys::mirror_mapping pages_ = map();
    zcpool::byte_producer producer_;
    zcpool::byte_consumer consumer_;
};

/// The stream with its wake-ups: looks for 20 us, then sleeps.
class stream_channel {
public:
    static constexpr const char* name = "zcpool::byte_stream";

    stream_channel() {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_) != 0) {
            give_up("socketpair");
        }
    }
    ~stream_channel() {
        ::close(sockets_[0]);
        ::close(sockets_[1]);
    }
    stream_channel(const stream_channel&) = delete;
    stream_channel& operator=(const stream_channel&) = delete;

    void attach(unsigned side) {
        using namespace zcpool::ipc;
        const stream_options options{.capacity = channel_capacity};
        if (side == 0) {
            writer_ = must(stream_writer::create(sockets_[0], options), "stream_writer");
        } else {
            reader_ = must(stream_reader::receive(sockets_[1], options), "stream_reader");
        }
    }
    bool write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const auto done = writer_.write_some(bytes.first(std::min(bytes.size(), piece)),
                                                 zcpool::sys::clock::time_point::max());
            if (!done) {
                return false;
            }
            bytes = bytes.subspan(*done);
        }
        return true;
    }
    bool read(std::span<std::byte> into) {
        while (!into.empty()) {
            const auto done = reader_.read_some(into.first(std::min(into.size(), piece)),
                                                zcpool::sys::clock::time_point::max());
            if (!done) {
                return false;
            }
            into = into.subspan(*done);
        }
        return true;
    }

private:
    static constexpr std::size_t piece = 16 * 1024;

    int sockets_[2] = {-1, -1};
    zcpool::ipc::stream_writer writer_;
    zcpool::ipc::stream_reader reader_;
};

/// What is written and read by system calls on two descriptors.
class descriptor_channel {
public:
    void attach(unsigned) {}
    bool write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t done = ::write(ends_[1], bytes.data(), bytes.size());
            if (done <= 0) {
                return false;
            }
            bytes = bytes.subspan(static_cast<std::size_t>(done));
        }
        return true;
    }
    bool read(std::span<std::byte> into) {
        while (!into.empty()) {
            const ssize_t done = ::read(ends_[0], into.data(), into.size());
            if (done <= 0) {
                return false;
            }
            into = into.subspan(static_cast<std::size_t>(done));
        }
        return true;
    }
    descriptor_channel(const descriptor_channel&) = delete;
    descriptor_channel& operator=(const descriptor_channel&) = delete;

protected:
    descriptor_channel() = default;
    ~descriptor_channel() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    int ends_[2] = {-1, -1};
};

class pipe_channel : public descriptor_channel {
public:
    static constexpr const char* name = "pipe";
    pipe_channel() {
        if (::pipe2(ends_, O_CLOEXEC) != 0) {
            give_up("pipe");
        }
        // A user without privileges may make it so large too.
        ::fcntl(ends_[1], F_SETPIPE_SZ, static_cast<int>(channel_capacity));
    }
};

class unix_channel : public descriptor_channel {
public:
    static constexpr const char* name = "AF_UNIX stream";
    unix_channel() {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) != 0) {
            give_up("socketpair");
        }
        const int room = channel_capacity;
        ::setsockopt(ends_[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
};

#if ZCPOOL_BENCH_HAS_LOCKFREE
/// Of bytes, of a capacity that is fixed at compile time, so that it may lie in shared memory; both
/// sides spin.
class lockfree_channel {
public:
    static constexpr const char* name = "boost::lockfree::spsc_queue";
    void attach(unsigned) {}
    bool write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            std::size_t count = 0;
            spin_until([&] {
                count = queue_->push(bytes.data(), std::min(bytes.size(), piece));
                return count != 0;
            });
            bytes = bytes.subspan(count);
        }
        return true;
    }
    bool read(std::span<std::byte> into) {
        while (!into.empty()) {
            std::size_t count = 0;
            spin_until([&] {
                count = queue_->pop(into.data(), std::min(into.size(), piece));
                return count != 0;
            });
            into = into.subspan(count);
        }
        return true;
    }

private:
    static constexpr std::size_t piece = 16 * 1024;

    shared_object<
        boost::lockfree::spsc_queue<std::byte, boost::lockfree::capacity<channel_capacity>>>
        queue_;
};
#endif

/// Messages as they are; as many and as large as a user without privileges may have.
class message_queue_channel {
public:
    static constexpr const char* name = "POSIX message queue";
    static constexpr std::size_t longest = 8192;

    message_queue_channel() {
        const std::string path = "/zcpool-bench-" + std::to_string(::getpid());
        mq_attr wanted{};
        wanted.mq_maxmsg = 10;
        wanted.mq_msgsize = longest;
        queue_ = ::mq_open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &wanted);
        ::mq_unlink(path.c_str());
    }
    ~message_queue_channel() {
        if (is_there()) {
            ::mq_close(queue_);
        }
    }
    message_queue_channel(const message_queue_channel&) = delete;
    message_queue_channel& operator=(const message_queue_channel&) = delete;

    [[nodiscard]] bool is_there() const noexcept { return queue_ != mqd_t{-1}; }

    void attach(unsigned) {}
    bool write(std::span<const std::byte> bytes) {
        return ::mq_send(queue_, reinterpret_cast<const char*>(bytes.data()), bytes.size(), 0) == 0;
    }
    bool read(std::span<std::byte> into) {
        // It wants room for the longest message that there may be.
        char message[longest];
        const ssize_t got = ::mq_receive(queue_, message, sizeof message, nullptr);
        if (got != static_cast<ssize_t>(into.size())) {
            return false;
        }
        std::memcpy(into.data(), message, into.size());
        return true;
    }

private:
    mqd_t queue_{-1};
};

}  // namespace bench
