// SPDX-License-Identifier: MIT
#pragma once

// The ways by which a frame goes to another process and back that ipc.frames.cpp measures. Each has
// the same shape: made before the fork with the size of a frame and how to wait, then in each
// process
//
//     attach(side)                       side 0 sends first
//     write(number), read() -> number    a whole frame goes; both know where its bytes lie
//     data() -> what was read last       read before the next write
//
// A frame begins with its number.

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zcpool/ipc/channel.hpp>
#include <zcpool/zcpool.hpp>

#include "support/byte_channels.hpp"
#include "support/cpu.hpp"
#include "support/two_processes.hpp"

#if __has_include(<boost/interprocess/ipc/message_queue.hpp>)
#include <boost/interprocess/ipc/message_queue.hpp>
#define ZCPOOL_BENCH_HAS_INTERPROCESS 1
#else
#define ZCPOOL_BENCH_HAS_INTERPROCESS 0
#endif

namespace bench {

/// How a process waits for the other one.
enum class waits { spinning, sleeping };

/// Fills a frame, every byte of it.
inline void fill_frame(std::span<std::byte> frame, std::uint64_t number) {
    std::memset(frame.data(), static_cast<int>(number & 0x7F), frame.size());
    std::memcpy(frame.data(), &number, sizeof number);
}

/// Slices over a channel each way; the bytes stay where they are.
template <zcpool::ipc::wake_by WakesBy>
class slice_frames {
public:
    static constexpr const char* name =
        WakesBy == zcpool::ipc::wake_by::futex ? "zcpool::channel" : "zcpool::channel, by eventfd";

    slice_frames(std::size_t bytes, waits how) : bytes_(bytes), how_(how) {
        files_ = must(pool_.share(), "share");
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_) != 0) {
            give_up("socketpair");
        }
    }
    ~slice_frames() {
        ::close(sockets_[0]);
        ::close(sockets_[1]);
    }
    slice_frames(const slice_frames&) = delete;
    slice_frames& operator=(const slice_frames&) = delete;

    void attach(unsigned side) {
        zcpool::pool_view pool = pool_;
        if (side == 1) {
            attached_.emplace(must(
                zcpool::ipc::attached_pool::attach(zcpool::sys::unique_fd{::dup(files_.data)},
                                                   zcpool::sys::unique_fd{::dup(files_.control)}),
                "attach"));
            pool = attached_->view();
        }
        view_.emplace(pool);
        out_.emplace(
            must(zcpool::ipc::channel_sender::create(pool, {.capacity = 4, .wakes_by = WakesBy}),
                 "channel"));
        if (!zcpool::ipc::send_channel(sockets_[side], *out_)) {
            give_up("send_channel");
        }
        in_.emplace(must(zcpool::ipc::receive_channel(sockets_[side], pool), "receive_channel"));
        in_->set_spin(how_ == waits::spinning ? std::chrono::seconds{60}
                                              : std::chrono::microseconds{0});
    }
    /// Sends what was received last, or a new frame.
    bool write(std::uint64_t number) {
        if (last_.empty()) {
            auto frame = view_->acquire_for(bytes_, std::chrono::seconds{10});
            if (!frame) {
                return false;
            }
            std::memcpy(frame->data(), &number, sizeof number);
            frame->commit(bytes_);
            last_ = std::move(*frame).freeze();
        }
        return out_->send(std::move(last_)).has_value();
    }
    bool write_whole(std::uint64_t number) {
        auto frame = view_->acquire_for(bytes_, std::chrono::seconds{10});
        if (!frame) {
            return false;
        }
        fill_frame(frame->space().first(bytes_), number);
        frame->commit(bytes_);
        return out_->send(std::move(*frame).freeze()).has_value();
    }
    bool read() {
        auto got = in_->receive();
        if (!got) {
            return false;
        }
        last_ = std::move(*got);
        return true;
    }
    [[nodiscard]] std::span<const std::byte> data() const { return last_.bytes(); }
    void done() { last_ = {}; }
    bool finish() { return out_->finish_for(std::chrono::seconds{10}).has_value(); }

private:
    using frames_pool =
        zcpool::pool<zcpool::size_classes<4096, 64 * 1024, 1024 * 1024, 8 * 1024 * 1024>>;

    std::size_t bytes_;
    waits how_;
    frames_pool pool_ = must(frames_pool::create({.slots = {8, 8, 8, 8}}), "pool");
    zcpool::pool_descriptors files_;
    int sockets_[2] = {-1, -1};
    std::optional<zcpool::ipc::attached_pool> attached_;
    std::optional<zcpool::pool_view> view_;
    std::optional<zcpool::ipc::channel_sender> out_;
    std::optional<zcpool::ipc::channel_receiver> in_;
    zcpool::slice last_;
};

/// The limit: a word each way, and no frame at all.
class word_frames {
public:
    static constexpr const char* name = "limit: shared word, no frame";
    static constexpr const char* sleeping_name = "limit: futex, no frame";

    word_frames(std::size_t, waits how) : how_(how) {}

    void attach(unsigned side) { side_ = side; }
    bool write(std::uint64_t) {
        auto& word = side_ == 0 ? words_->there : words_->back;
        // release: the other side goes on.
        word.fetch_add(1, std::memory_order_release);
        if (how_ == waits::sleeping) {
            ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        }
        return true;
    }
    bool read() {
        auto& word = side_ == 0 ? words_->back : words_->there;
        const auto seen = seen_++;
        if (how_ == waits::spinning) {
            // acquire: as above.
            spin_until([&] { return word.load(std::memory_order_acquire) != seen; });
        }
        while (word.load(std::memory_order_acquire) == seen) {
            ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
        }
        return true;
    }

private:
    struct words {
        alignas(64) std::atomic<std::uint32_t> there{0};
        alignas(64) std::atomic<std::uint32_t> back{0};
    };
    waits how_;
    unsigned side_ = 0;
    std::uint32_t seen_ = 0;
    shared_object<words> words_;
};

/// A copying way: one that carries bytes, each way.
template <class Channel>
class copied_frames {
public:
    static constexpr const char* name = Channel::name;

    copied_frames(std::size_t bytes, waits) : frame_(bytes) {}

    void attach(unsigned side) {
        out_ = side == 0 ? &there_ : &back_;
        in_ = side == 0 ? &back_ : &there_;
        out_->attach(0);
        in_->attach(1);
    }
    bool write(std::uint64_t number) {
        std::memcpy(frame_.data(), &number, sizeof number);
        return out_->write(frame_);
    }
    bool write_whole(std::uint64_t number) {
        fill_frame(frame_, number);
        return out_->write(frame_);
    }
    bool read() { return in_->read(frame_); }
    [[nodiscard]] std::span<const std::byte> data() const { return frame_; }
    void done() {}
    bool finish() { return true; }

private:
    std::vector<std::byte> frame_;
    Channel there_;
    Channel back_;
    Channel* out_ = nullptr;
    Channel* in_ = nullptr;
};

/// A descriptor of the frame's memory goes with every message; the other side maps it, and hands it
/// back.
class fd_frames {
public:
    static constexpr const char* name = "AF_UNIX, a descriptor a frame";

    fd_frames(std::size_t bytes, waits) : bytes_(bytes) {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_) != 0) {
            give_up("socketpair");
        }
    }
    ~fd_frames() {
        drop();
        ::close(sockets_[0]);
        ::close(sockets_[1]);
    }
    fd_frames(const fd_frames&) = delete;
    fd_frames& operator=(const fd_frames&) = delete;

    void attach(unsigned side) { socket_ = sockets_[side]; }
    bool write(std::uint64_t number) {
        if (!frame_) {
            frame_ = zcpool::sys::unique_fd{::memfd_create("frame", MFD_CLOEXEC)};
            if (!frame_ || ::ftruncate(frame_.get(), static_cast<off_t>(bytes_)) != 0 || !map()) {
                return false;
            }
            std::memset(pages_, 1, bytes_);
        }
        std::memcpy(pages_, &number, sizeof number);
        const std::byte text[1] = {};
        const int fds[1] = {frame_.get()};
        const bool sent = zcpool::sys::send_fds(socket_, text, fds).has_value();
        drop();
        return sent;
    }
    bool read() {
        std::byte text[1];
        std::array<zcpool::sys::unique_fd, 1> fds;
        if (!zcpool::sys::receive_fds(socket_, text, fds) || !fds[0]) {
            return false;
        }
        frame_ = std::move(fds[0]);
        if (!map()) {
            return false;
        }
        // One touch a frame: a reader looks at it.
        first_ = std::to_integer<int>(*static_cast<volatile std::byte*>(pages_));
        return true;
    }

private:
    bool map() {
        void* const at =
            ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, frame_.get(), 0);
        pages_ = at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
        return pages_ != nullptr;
    }
    void drop() {
        if (pages_ != nullptr) {
            ::munmap(pages_, bytes_);
            pages_ = nullptr;
        }
        frame_.reset();
    }

    std::size_t bytes_;
    int sockets_[2] = {-1, -1};
    int socket_ = -1;
    int first_ = 0;
    zcpool::sys::unique_fd frame_;
    std::byte* pages_ = nullptr;
};

#if ZCPOOL_BENCH_HAS_INTERPROCESS
/// Boost's queue, which copies into shared memory under a lock, and out of it.
class interprocess_frames {
public:
    static constexpr const char* name = "boost::interprocess::message_queue";

    interprocess_frames(std::size_t bytes, waits how)
        : how_(how), frame_(bytes), there_(bytes, "there"), back_(bytes, "back") {}

    void attach(unsigned side) {
        out_ = side == 0 ? &there_.queue : &back_.queue;
        in_ = side == 0 ? &back_.queue : &there_.queue;
    }
    bool write(std::uint64_t number) {
        std::memcpy(frame_.data(), &number, sizeof number);
        out_->send(frame_.data(), frame_.size(), 0);
        return true;
    }
    bool write_whole(std::uint64_t number) {
        fill_frame(frame_, number);
        out_->send(frame_.data(), frame_.size(), 0);
        return true;
    }
    bool read() {
        queue::size_type got = 0;
        unsigned priority = 0;
        if (how_ == waits::spinning) {
            spin_until(
                [&] { return in_->try_receive(frame_.data(), frame_.size(), got, priority); });
        } else {
            in_->receive(frame_.data(), frame_.size(), got, priority);
        }
        return got == frame_.size();
    }
    [[nodiscard]] std::span<const std::byte> data() const { return frame_; }
    void done() {}
    bool finish() { return true; }

private:
    using queue = boost::interprocess::message_queue;
    struct one_way {
        one_way(std::size_t bytes, const char* way)
            : name("zcpool-bench-" + std::to_string(::getpid()) + way),
              queue(boost::interprocess::create_only, name.c_str(), 4, bytes) {
            interprocess_frames::queue::remove(name.c_str());  // only the two have it from here on
        }
        std::string name;
        interprocess_frames::queue queue;
    };
    waits how_;
    std::vector<std::byte> frame_;
    one_way there_;
    one_way back_;
    queue* out_ = nullptr;
    queue* in_ = nullptr;
};
#endif

}  // namespace bench
