// SPDX-License-Identifier: MIT
#pragma once

// Who owns the pool: lets stages in, introduces them to each other, and takes back what those that
// died had.

#include <poll.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <zcpool/ipc/reaper.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <shm_pipeline/board.hpp>
#include <shm_pipeline/control.hpp>
#include <shm_pipeline/frame_pool.hpp>
#include <shm_pipeline/options.hpp>

namespace shm_pipeline {

/// How the pool's slots stand when everybody has gone.
struct slot_account {
    std::uint64_t lost = 0;  ///< slots that nobody can acquire
    std::size_t processes = 0;
};

/// Sharing: one thread.
class broker {
public:
    /// Returns: in words why not.
    [[nodiscard]] static std::expected<broker, std::string> create(const options& values);
    broker(broker&&) = default;
    broker& operator=(broker&&) = delete;
    ~broker();

    /// Adds what it waits for.
    void watch(std::vector<pollfd>& entries) const;
    /// Does what the entries that it added ask for.
    void go_on(const std::vector<pollfd>& entries);

    /// A process has ended, whatever its connection says yet.
    void forget(pid_t pid);
    /// Takes back what the dead had.
    void reap();

    [[nodiscard]] std::size_t count(role as) const noexcept;
    [[nodiscard]] board_page& board() const noexcept { return board_.page(); }
    /// Slots that came back from the dead.
    [[nodiscard]] std::uint64_t taken_back() const noexcept { return taken_back_; }

    /// Waits for a while until nobody else is registered, and looks at every slot.
    [[nodiscard]] slot_account account();

private:
    struct connection {
        zcpool::sys::unique_fd socket;
        pid_t pid = -1;
        std::optional<role> as;  ///< nothing before it has said so
    };

    broker(std::string path, frame_pool pool, shm_pipeline::board shared,
           zcpool::sys::unique_fd listener);

    void accept();
    /// Returns: whether it may stay.
    [[nodiscard]] bool welcome(connection& one);
    void introduce_to_all(const connection& one);
    static void introduce(const connection& sender, const connection& receiver);

    std::string path_;
    frame_pool pool_;
    shm_pipeline::board board_;
    zcpool::sys::unique_fd listener_;
    zcpool::ipc::reaper reaper_;
    std::vector<connection> connections_;
    std::uint64_t taken_back_ = 0;
};

}  // namespace shm_pipeline
