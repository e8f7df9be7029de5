// SPDX-License-Identifier: MIT
#pragma once

// Small pools that tests share, and contents that tell where they come from.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/zcpool.hpp>

namespace zcpool_test {

using namespace zcpool::literals;

using small_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;

/// Options of a pool that lends, whose budget never interferes.
inline zcpool::pool_options lending_options(std::uint32_t small, std::uint32_t large) {
    return {.slots = {small, large},
            .lending = zcpool::lending::cached,
            .lent_settle_time = std::chrono::milliseconds{0}};
}

/// The same of a pool that zeroes.
inline zcpool::pool_options zeroing_options(std::uint32_t small, std::uint32_t large) {
    auto options = lending_options(small, large);
    options.zeroing = zcpool::zeroing::on_release;
    return options;
}

/// Creates a pool; the test fails with the report's words when it cannot.
template <class Pool = small_pool>
Pool make_pool(const zcpool::pool_options& options) {
    zcpool::creation_report report;
    auto made = Pool::create(options, &report);
    INFO(report.text);
    REQUIRE(made.has_value());
    return std::move(*made);
}

/// The words that fill() writes: a sequence that depends on its seed at every place (splitmix64).
class pattern_words {
public:
    explicit pattern_words(std::uint64_t seed) noexcept : state_(seed * 0x2545'F491'4F6C'DD1D) {}

    std::uint64_t next() noexcept {
        state_ += 0x9E37'79B9'7F4A'7C15;
        std::uint64_t word = state_;
        word = (word ^ word >> 30) * 0xBF58'476D'1CE4'E5B9;
        word = (word ^ word >> 27) * 0x94D0'49BB'1331'11EB;
        return word ^ word >> 31;
    }

private:
    std::uint64_t state_;
};

/// Fills bytes with a sequence that depends on the seed at every place.
inline void fill(std::span<std::byte> bytes, std::uint64_t seed) {
    pattern_words words{seed};
    std::byte* to = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t)) {
        const std::uint64_t word = words.next();
        std::memcpy(to, &word, sizeof word);
        to += sizeof word;
    }
    if (left > 0) {
        const std::uint64_t word = words.next();
        std::memcpy(to, &word, left);
    }
}

/// Whether bytes are those that fill() writes.
inline bool is_pattern(std::span<const std::byte> bytes, std::uint64_t seed) {
    pattern_words words{seed};
    const std::byte* from = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t)) {
        const std::uint64_t word = words.next();
        if (std::memcmp(from, &word, sizeof word) != 0) {
            return false;
        }
        from += sizeof word;
    }
    const std::uint64_t last = words.next();
    return left == 0 || std::memcmp(from, &last, left) == 0;
}

/// The bytes that fill() writes.
inline std::vector<std::byte> pattern(std::size_t count, std::uint64_t seed) {
    std::vector<std::byte> bytes(count);
    fill(bytes, seed);
    return bytes;
}

/// Whether a buffer holds a slot of which every byte is zero.
inline bool is_zero(const zcpool::buffer& held) {
    return held && std::all_of(held.data(), held.data() + held.capacity(),
                               [](std::byte each) { return each == std::byte{0}; });
}

/// Leaves no byte of a slot zero, also behind the `count` bytes that it commits.
inline void spoil(zcpool::buffer& held, std::size_t count = 1) {
    REQUIRE(is_zero(held));
    std::fill_n(held.data(), held.capacity(), std::byte{0x5A});
    held.commit(count);
}

/// A slice of `count` bytes of pattern(seed). Expects: the pool has room.
inline zcpool::slice make_slice(zcpool::pool_view pool, std::size_t count, std::uint64_t seed) {
    zcpool::buffer into = pool.try_acquire(count);
    REQUIRE(into);
    fill(into.space().first(count), seed);
    into.commit(count);
    return std::move(into).freeze();
}

/// The bytes of a chain in one piece.
inline std::vector<std::byte> flatten(const zcpool::chain& from) {
    std::vector<std::byte> bytes;
    for (const zcpool::slice& each : from.slices()) {
        bytes.insert(bytes.end(), each.bytes().begin(), each.bytes().end());
    }
    return bytes;
}

/// Slots of all classes that are in use.
inline std::uint64_t slots_in_use(zcpool::pool_view pool) {
    std::uint64_t in_use = 0;
    const auto stats = pool.stats();
    for (const auto& each : stats) {
        in_use += each.in_use;
    }
    return in_use;
}

}  // namespace zcpool_test
