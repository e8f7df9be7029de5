// SPDX-License-Identifier: MIT
#pragma once

// Both ends of a channel in one process, which has two places in the pool.

#include <sys/socket.h>

#include <utility>

#include <support/partners.hpp>
#include <zcpool/ipc/channel.hpp>

namespace zcpool_test {

/// What a sender hands over, as the receiver gets it.
inline zcpool::ipc::received_channel duplicate(const zcpool::ipc::channel_descriptors& files) {
    const auto copy = [](int fd) { return zcpool::sys::unique_fd{fd < 0 ? -1 : ::dup(fd)}; };
    return {copy(files.memory), copy(files.news), copy(files.room)};
}

inline zcpool::ipc::channel_receiver attach_receiver(zcpool::pool_view pool,
                                                     const zcpool::ipc::channel_sender& sender) {
    auto made = zcpool::ipc::channel_receiver::attach(pool, duplicate(sender.files()));
    REQUIRE(made.has_value());
    return std::move(*made);
}

inline zcpool::ipc::channel_sender make_sender(zcpool::pool_view pool,
                                               const zcpool::ipc::channel_options& options) {
    auto made = zcpool::ipc::channel_sender::create(pool, options);
    REQUIRE(made.has_value());
    return std::move(*made);
}

/// A channel from `here` to `there`.
struct channel_pair : partners<> {
    explicit channel_pair(const zcpool::ipc::channel_options& options = {},
                          const zcpool::pool_options& pool = {.slots = {16, 4}})
        : partners<>(pool), out(make_sender(here, options)), in(attach_receiver(there, out)) {}

    [[nodiscard]] zcpool::slice frame(std::uint64_t seed) { return make_slice(here, 64, seed); }

    zcpool::ipc::channel_sender out;
    zcpool::ipc::channel_receiver in;
};

/// Whether a slice is what frame(seed) made.
[[nodiscard]] inline bool is_frame(const zcpool::slice& got, std::uint64_t seed) {
    return std::vector(got.bytes().begin(), got.bytes().end()) == pattern(64, seed);
}

}  // namespace zcpool_test
