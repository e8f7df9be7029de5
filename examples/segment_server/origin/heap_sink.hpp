// SPDX-License-Identifier: MIT
#pragma once

// What a server without a pool sends from: heap blocks, written to the socket and freed. Shaped
// like a zcpool sink, so that the same connection drives it.

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include <zcpool/sink/sink.hpp>

namespace segment_server {

/// A block of the heap with its length.
struct heap_block {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
};

/// Sends heap blocks in order, each with a copying call of its own.
class heap_sink {
public:
    explicit heap_sink(int socket) noexcept : socket_(socket) {}

    void push(heap_block block) {
        queued_ += block.size;
        blocks_.push_back(std::move(block));
    }

    [[nodiscard]] zcpool::sink::state flush() noexcept {
        while (!blocks_.empty()) {
            const heap_block& front = blocks_.front();
            const ssize_t n =
                ::send(socket_, front.bytes.get() + sent_, front.size - sent_, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0) {
                return errno == EAGAIN ? zcpool::sink::state::blocked : zcpool::sink::state::failed;
            }
            sent_ += static_cast<std::size_t>(n);
            queued_ -= static_cast<std::size_t>(n);
            if (sent_ == front.size) {
                blocks_.pop_front();
                sent_ = 0;
            }
        }
        return zcpool::sink::state::done;
    }

    [[nodiscard]] std::size_t queued() const noexcept { return queued_; }

private:
    int socket_;
    std::size_t sent_ = 0;  ///< of the first block
    std::size_t queued_ = 0;
    std::deque<heap_block> blocks_;
};

}  // namespace segment_server
