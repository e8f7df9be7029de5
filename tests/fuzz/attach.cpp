// SPDX-License-Identifier: MIT
// Files that say that they are a pool, a channel or a feed: refused, or of use. The table is a good
// one with some words of it changed, and the files may have other sizes than it says.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <utility>

#include <zcpool/ipc/channel_memory.hpp>
#include <zcpool/ipc/feed_memory.hpp>
#include <zcpool/zcpool.hpp>

#include "input.hpp"

namespace {

using zcpool::sys::unique_fd;
using zcpool_fuzz::input;

void expect(bool holds) {
    if (!holds) {
        std::abort();
    }
}

/// A sealed file with a table at its beginning.
unique_fd make_file(std::span<const std::byte> table, std::size_t bytes) {
    auto file = zcpool::sys::memfd::create("zcpool-fuzz", bytes);
    expect(file.has_value());
    expect(::pwrite(file->fd(), table.data(), std::min(table.size(), bytes), 0) >= 0);
    expect(file->seal().has_value());
    return unique_fd{::dup(file->fd())};
}

/// Mostly the right size.
std::size_t some_size(input& from, std::size_t right) {
    const auto choice = from.take<std::uint8_t>();
    return choice < 200 ? right : choice < 230 ? right - 4096 : std::size_t{choice} * 4096;
}

void try_pool(input& from) {
    const zcpool::class_spec classes[] = {{4096, 1U + from.take<std::uint8_t>() % 8},
                                          {65536, 1U + from.take<std::uint8_t>() % 2}};
    const auto layout = zcpool::compute_layout(classes).value();
    zcpool::pool_table table{};
    table.magic = zcpool::pool_table::expected_magic;
    table.version = zcpool::pool_table::expected_version;
    table.class_count = 2;
    table.data_bytes = layout.data_bytes;
    table.control_bytes = layout.control_bytes;
    table.classes[0] = classes[0];
    table.classes[1] = classes[1];
    table.namespaces = zcpool::sys::own_namespaces().value();
    const auto bytes = std::as_writable_bytes(std::span{&table, 1});
    zcpool_fuzz::scribble(from, bytes, from.take<std::uint8_t>() % 4);
    auto attached =
        zcpool::ipc::attached_pool::attach(make_file({}, some_size(from, layout.data_bytes)),
                                           make_file(bytes, some_size(from, layout.control_bytes)));
    if (!attached) {
        return;
    }
    // What was taken for a pool must work as one.
    const zcpool::pool_view pool = *attached;
    for (std::size_t i = 0; i < pool.class_count(); ++i) {
        auto slot = pool.try_acquire(pool.slot_bytes(i));
        if (slot) {
            slot.data()[0] = std::byte{1};
            slot.data()[slot.capacity() - 1] = std::byte{1};
            slot.commit(slot.capacity());
        }
    }
    static_cast<void>(zcpool::ipc::audit(pool));
    static_cast<void>(zcpool::ipc::reaper{pool}.reap());
}

void try_channel(input& from) {
    const zcpool::ipc::file_identity pool{1, 2};
    zcpool::ipc::channel_table table{.capacity = 1U << from.take<std::uint8_t>() % 12,
                                     .wakes_by = 0,
                                     .sender_place = from.take<std::uint8_t>() % 33U,
                                     .sender_status = 0,
                                     .pool = pool};
    const std::size_t right = zcpool::ipc::channel_memory::bytes_for(table.capacity);
    const auto bytes = std::as_writable_bytes(std::span{&table, 1});
    zcpool_fuzz::scribble(from, bytes, from.take<std::uint8_t>() % 4);
    zcpool::ipc::channel_table found;
    const auto memory =
        zcpool::ipc::channel_memory::adopt(make_file(bytes, some_size(from, right)), pool, found);
    if (memory) {
        zcpool::spsc_producer in{memory->ring()};
        for (std::uint64_t i = 0; i < found.capacity; ++i) {
            expect(in.try_push({i, i}));
        }
        zcpool::spsc_consumer out{memory->ring()};
        expect(out.peek().has_value() && out.pop());
    }
}

void try_feed(input& from) {
    zcpool::ipc::feed_table table;
    table.capacity = 1U << from.take<std::uint8_t>() % 12;
    table.frames = 1 + from.take<std::uint16_t>() % 4096;
    const std::size_t right = zcpool::ipc::feed_memory::bytes_for(table);
    const auto bytes = std::as_writable_bytes(std::span{&table, 1});
    zcpool_fuzz::scribble(from, bytes, from.take<std::uint8_t>() % 4);
    const auto memory = zcpool::ipc::feed_memory::adopt(make_file(bytes, some_size(from, right)));
    if (memory) {
        zcpool::spsc_producer in{memory->ring()};
        while (in.try_push({})) {
        }
        for (auto& each : memory->receipts()) {
            each.store(1, zcpool::memory_order_relaxed);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input from{data, size};
    switch (from.take<std::uint8_t>() % 3) {
        case 0: try_pool(from); break;
        case 1: try_channel(from); break;
        default: try_feed(from); break;
    }
    return 0;
}
