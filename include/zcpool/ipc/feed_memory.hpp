// SPDX-License-Identifier: MIT
#pragma once

// The file that a pool's owner shares with one reader whom it does not trust.
//
//     table | taken, whether the reader has closed | news, whether the owner has closed | cells |
//     a word a frame: in which use it was given back
//
// The reader may write anything into it. The owner keeps its own account of what it sent, looks at
// a word of the reader's once, and believes it only where it is possible.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/ipc/wake_flag.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// Frames that a reader may have at a time, and messages that wait for it.
inline constexpr std::uint32_t max_feed_frames = 4096;

/// What a feed is, in plain numbers that are written before the reader sees it.
struct feed_table {
    static constexpr std::uint64_t expected_magic =
        0x3144'4545'4650'5A01;  // "\1ZPFEED1", little-endian
    static constexpr std::uint32_t expected_version = 1;

    std::uint64_t magic = expected_magic;
    std::uint32_t version = expected_version;
    std::uint32_t capacity = 0;    ///< messages
    std::uint32_t frames = 0;      ///< that the reader may have at a time, with those on their way
    std::uint32_t wakes_by = 0;    ///< a wake_by: how the reader is woken
    std::uint64_t data_bytes = 0;  ///< of the pool's data file
};

/// The beginning of the file.
struct feed_header {
    feed_table table;
    alignas(cache_line) spsc_memory::position taken;
    atomic<std::uint32_t> reader_closed;
    alignas(cache_line) wake_flag news;
    atomic<std::uint32_t> owner_closed;
};

/// A frame on its way to a reader, as a message says it.
///
///     first:  [ offset in the data file : 51 ]
///     second: [ use of the ticket : 16 ][ ticket : 16 ][ length : 32 ]
struct feed_frame {
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::uint16_t ticket = 0;
    std::uint16_t use = 0;  ///< how often the ticket was used; comes back with it

    friend bool operator==(const feed_frame&, const feed_frame&) = default;

    [[nodiscard]] constexpr ring_message to_message() const noexcept {
        return {offset, std::uint64_t{use} << 48 | std::uint64_t{ticket} << 32 | length};
    }
    /// Of a message, whatever it says: nothing is checked here.
    [[nodiscard]] static constexpr feed_frame of(ring_message message) noexcept {
        return {message.first, static_cast<std::uint32_t>(message.second),
                static_cast<std::uint16_t>(message.second >> 32),
                static_cast<std::uint16_t>(message.second >> 48)};
    }
    /// What the reader writes to give a ticket back: never 0.
    [[nodiscard]] static constexpr std::uint32_t receipt(std::uint16_t use) noexcept {
        return std::uint32_t{1} << 16 | use;
    }
};

/// A feed's memory, mapped by one of the two.
class feed_memory {
public:
    using receipt = atomic<std::uint32_t>;

    feed_memory() noexcept = default;

    /// Bytes of the file of a feed.
    [[nodiscard]] static constexpr std::size_t bytes_for(const feed_table& table) noexcept {
        return align_up(receipts_at(table) + table.frames * sizeof(receipt), page_size);
    }

    /// Expects: `capacity` is a power of two; both within max_feed_frames.
    /// Errors: as shared_memory::create().
    [[nodiscard]] static result<feed_memory> create(const feed_table& table) noexcept {
        auto made = shared_memory::create("zcpool-feed", bytes_for(table), page_use::fixed);
        if (!made) {
            return fail(made.error());
        }
        feed_memory memory{std::move(*made), table};
        memory.header().table = table;
        return memory;
    }

    /// Checks a file that the owner handed over, and maps it.
    ///
    /// Errors: `not_a_pool`, `not_sealed`, `wrong_access`, `wrong_version`, or the errno of a call.
    [[nodiscard]] static result<feed_memory> adopt(sys::unique_fd file) noexcept {
        const auto status = descriptor_check::check_file(file.get(), file_user::stranger);
        if (!status) {
            return fail(status.error());
        }
        feed_table table;
        const auto got = sys::call(
            [&] { return sys::provider::pread(file.get(), &table, sizeof table, off_t{0}); });
        if (!got) {
            return fail(got.error());
        }
        if (static_cast<std::size_t>(*got) != sizeof table ||
            table.magic != feed_table::expected_magic) {
            return fail(errc::not_a_pool);
        }
        if (table.version != feed_table::expected_version) {
            return fail(errc::wrong_version);
        }
        if (!std::has_single_bit(table.capacity) || table.capacity > max_feed_frames ||
            table.frames == 0 || table.frames > max_feed_frames ||
            table.wakes_by > static_cast<std::uint32_t>(wake_by::event) ||
            static_cast<std::uint64_t>(status->st_size) != bytes_for(table)) {
            return fail(errc::not_a_pool);
        }
        auto mapped = shared_memory::adopt(sys::memfd::adopt(std::move(file), bytes_for(table)),
                                           page_use::fixed);
        if (!mapped) {
            return fail(mapped.error());
        }
        return feed_memory{std::move(*mapped), table};
    }

    [[nodiscard]] feed_header& header() const noexcept {
        return *reinterpret_cast<feed_header*>(memory_.data());
    }
    [[nodiscard]] spsc_memory ring() const noexcept {
        return {{reinterpret_cast<spsc_memory::cell*>(memory_.data() + cells_at), table_.capacity},
                header().taken};
    }
    [[nodiscard]] array_view<receipt> receipts() const noexcept {
        return {reinterpret_cast<receipt*>(memory_.data() + receipts_at(table_)), table_.frames};
    }
    /// The table as it was checked.
    [[nodiscard]] const feed_table& table() const noexcept { return table_; }
    [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
    /// As sys::mapping::forget().
    void forget() noexcept { memory_.forget(); }

private:
    static constexpr std::size_t cells_at = align_up(sizeof(feed_header), cache_line);
    [[nodiscard]] static constexpr std::size_t receipts_at(const feed_table& table) noexcept {
        return cells_at + align_up(table.capacity * sizeof(spsc_memory::cell), cache_line);
    }

    feed_memory(shared_memory memory, const feed_table& table) noexcept
        : memory_(std::move(memory)), table_(table) {}

    shared_memory memory_;
    feed_table table_;
};

}  // namespace zcpool::ipc
