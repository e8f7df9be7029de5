// SPDX-License-Identifier: MIT
#pragma once

// What every stage is made of: a part in the pool, the board, and the broker that introduces it to
// the others.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/ipc/channel.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <shm_pipeline/board.hpp>
#include <shm_pipeline/control.hpp>

namespace shm_pipeline {

/// How long a stage waits for anything before it looks whether it is still wanted.
inline constexpr std::chrono::milliseconds patience{100};

/// How long a stage that ends waits for the next one to read what it sent.
inline constexpr std::chrono::seconds farewell{10};

/// Another stage, to which we are to send, or from which we are to receive.
struct introduction {
    bool is_to_receive = false;
    zcpool::sys::unique_fd socket;
};

/// A process's part in the pipeline. Sharing: one thread.
class stage {
public:
    /// Connects to the broker and takes part in its pool.
    /// Returns: in words why not.
    [[nodiscard]] static std::expected<stage, std::string> join(const std::string& path, role as);

    [[nodiscard]] zcpool::pool_view pool() const& noexcept { return pool_; }
    [[nodiscard]] board_page& board() const noexcept { return board_.page(); }

    /// Waits for the broker to introduce somebody, or for `also` to be readable.
    [[nodiscard]] std::optional<introduction> next(std::chrono::milliseconds longest,
                                                   int also = -1);

    /// Whether the broker has gone: then there is nothing to do any more.
    [[nodiscard]] bool is_dismissed() const noexcept { return is_dismissed_; }
    [[nodiscard]] bool has_reached(phase which) const noexcept {
        return board().current() >= which;
    }

    /// Makes a channel and gives it to another stage, which has attached to it when this returns:
    /// of a receiver that died before that the channel could not tell.
    /// Returns: nothing when the other one has gone meanwhile.
    [[nodiscard]] std::optional<zcpool::ipc::channel_sender> send_to(
        const introduction& other, const zcpool::ipc::channel_options& options) const;
    /// Attaches to the channel of another stage.
    [[nodiscard]] std::optional<zcpool::ipc::channel_receiver> receive_from(
        const introduction& other) const;

private:
    stage(zcpool::sys::unique_fd control, zcpool::ipc::attached_pool pool,
          shm_pipeline::board shared) noexcept
        : control_(std::move(control)), pool_(std::move(pool)), board_(std::move(shared)) {}

    zcpool::sys::unique_fd control_;
    zcpool::ipc::attached_pool pool_;
    shm_pipeline::board board_;
    bool is_dismissed_ = false;
};

}  // namespace shm_pipeline
