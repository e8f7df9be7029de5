// SPDX-License-Identifier: MIT
#pragma once

// The file that the two ends of a channel share, and the descriptors that go with it.
//
//     table | taken, room, whether the sender has closed | news, whether the receiver has closed,
//     who it is | cells
//
// The table is copied out and checked before anything is mapped; the rest is atomics.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/ipc/wake_flag.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// Which file something is.
struct file_identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;

    friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// Errors: the errno of fstat.
[[nodiscard]] inline result<file_identity> identify(int fd) noexcept {
    struct stat status{};
    if (auto done = sys::call([&] { return sys::provider::fstat(fd, &status); }); !done) {
        return fail(done.error());
    }
    return file_identity{status.st_dev, status.st_ino};
}

/// What a channel is, in plain numbers that are written before anybody else sees it.
struct channel_table {
    static constexpr std::uint64_t expected_magic =
        0x314C'4E48'4350'5A01;  // "\1ZPCHNL1", little-endian
    static constexpr std::uint32_t expected_version = 1;

    std::uint64_t magic = expected_magic;
    std::uint32_t version = expected_version;
    std::uint32_t capacity = 0;
    std::uint32_t wakes_by = 0;
    std::uint32_t sender_place = 0;
    std::uint64_t sender_status = 0;  ///< encode_process()
    file_identity pool;               ///< the data file
};

/// The beginning of the file.
struct channel_header {
    channel_table table;
    // What the receiver writes with every message.
    alignas(cache_line) spsc_memory::position taken;
    wake_flag room;  ///< the sender sleeps until something was taken
    atomic<std::uint32_t> sender_closed;
    // What the sender reads with every message and nobody writes often.
    alignas(cache_line) wake_flag news;  ///< the receiver sleeps until something was sent
    atomic<std::uint32_t> receiver_closed;
    atomic<std::uint32_t> receiver_place;
    atomic<std::uint64_t> receiver_status;  ///< 0: none yet
};

/// A channel's memory, mapped.
class channel_memory {
public:
    channel_memory() noexcept = default;

    /// Bytes of the file of a channel. Expects: a power of two.
    [[nodiscard]] static constexpr std::size_t bytes_for(std::uint32_t capacity) noexcept {
        return align_up(cells_at + capacity * sizeof(spsc_memory::cell), page_size);
    }

    /// Expects: `table.capacity` is a power of two.
    /// Errors: as shared_memory::create().
    [[nodiscard]] static result<channel_memory> create(const channel_table& table) noexcept {
        auto made =
            shared_memory::create("zcpool-channel", bytes_for(table.capacity), page_use::fixed);
        if (!made) {
            return fail(made.error());
        }
        channel_memory memory{std::move(*made), table.capacity};
        memory.header().table = table;
        return memory;
    }

    /// Checks a file that a partner handed over, and maps it.
    ///
    /// Returns: also the table as it was checked, in `table`.
    /// Errors: as descriptor_check::check_file(), with `not_a_pool` for what is no channel, and for
    /// one of another pool than `pool`; `wrong_version`.
    [[nodiscard]] static result<channel_memory> adopt(sys::unique_fd file, file_identity pool,
                                                      channel_table& table) noexcept {
        const auto status = descriptor_check::check_file(file.get());
        if (!status) {
            return fail(status.error());
        }
        const auto got = sys::call(
            [&] { return sys::provider::pread(file.get(), &table, sizeof table, off_t{0}); });
        if (!got) {
            return fail(got.error());
        }
        if (static_cast<std::size_t>(*got) != sizeof table ||
            table.magic != channel_table::expected_magic) {
            return fail(errc::not_a_pool);
        }
        if (table.version != channel_table::expected_version) {
            return fail(errc::wrong_version);
        }
        if (!std::has_single_bit(table.capacity) || table.capacity > max_channel_capacity ||
            table.wakes_by > static_cast<std::uint32_t>(wake_by::event) ||
            table.sender_place >= max_processes || table.pool != pool ||
            static_cast<std::uint64_t>(status->st_size) != bytes_for(table.capacity)) {
            return fail(errc::not_a_pool);
        }
        auto mapped = shared_memory::adopt(
            sys::memfd::adopt(std::move(file), bytes_for(table.capacity)), page_use::fixed);
        if (!mapped) {
            return fail(mapped.error());
        }
        return channel_memory{std::move(*mapped), table.capacity};
    }

    [[nodiscard]] channel_header& header() const noexcept {
        return *reinterpret_cast<channel_header*>(memory_.data());
    }
    [[nodiscard]] spsc_memory ring() const noexcept {
        return {{reinterpret_cast<spsc_memory::cell*>(memory_.data() + cells_at), capacity_},
                header().taken};
    }
    [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
    /// As sys::mapping::forget().
    void forget() noexcept { memory_.forget(); }

private:
    static constexpr std::size_t cells_at = align_up(sizeof(channel_header), cache_line);

    channel_memory(shared_memory memory, std::uint32_t capacity) noexcept
        : memory_(std::move(memory)), capacity_(capacity) {}

    shared_memory memory_;
    std::uint32_t capacity_ = 0;
};

}  // namespace zcpool::ipc
