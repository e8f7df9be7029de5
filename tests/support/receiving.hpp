// SPDX-License-Identifier: MIT
#pragma once

// What law 1 says of a source, tried: what came stays what it was for as long as it is kept, while
// much more comes, and all of it comes, in order. Small pools, so that each slot is soon used
// again.

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/lifetime.hpp>
#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/source/source.hpp>

namespace zcpool_test {

/// A stream of messages whose sizes and bytes depend on a seed.
class message_stream {
public:
    message_stream(long messages, std::uint64_t seed) : seed_(seed) {
        std::mt19937_64 random{seed};
        for (long i = 0; i < messages; ++i) {
            // As many small ones as large ones.
            const std::uint64_t most = std::uint64_t{1}
                                       << std::uniform_int_distribution{4, 14}(random);
            ends_.push_back(size() + std::uniform_int_distribution<std::uint64_t>{1, most}(random));
        }
    }
    [[nodiscard]] std::size_t count() const { return ends_.size(); }
    /// Bytes of all messages.
    [[nodiscard]] std::uint64_t size() const { return ends_.empty() ? 0 : ends_.back(); }
    [[nodiscard]] std::vector<std::byte> message(std::size_t index) const {
        return pattern(static_cast<std::size_t>(ends_[index] - begin_of(index)), seed_ + index);
    }
    /// How many bytes are not those of the stream from `place` on.
    [[nodiscard]] std::uint64_t wrong(std::span<const std::byte> bytes, std::uint64_t place) const {
        std::uint64_t count = 0;
        while (!bytes.empty()) {
            const auto found = std::upper_bound(ends_.begin(), ends_.end(), place);
            if (found == ends_.end()) {
                return count + bytes.size();  // more than was sent
            }
            const auto index = static_cast<std::size_t>(std::distance(ends_.begin(), found));
            const auto whole = message(index);
            const auto expected =
                std::span{whole}.subspan(static_cast<std::size_t>(place - begin_of(index)));
            const std::size_t part = std::min(expected.size(), bytes.size());
            for (std::size_t i = 0; i < part; ++i) {
                count += bytes[i] != expected[i] ? 1 : 0;
            }
            bytes = bytes.subspan(part);
            place += part;
        }
        return count;
    }

private:
    [[nodiscard]] std::uint64_t begin_of(std::size_t index) const {
        return index == 0 ? 0 : ends_[index - 1];
    }

    std::uint64_t seed_;
    std::vector<std::uint64_t> ends_;
};

/// Receives messages of all sizes from a peer that pauses at times, keeps some of what came while
/// more comes, and looks at every byte when it lets go.
///
/// `wait()`: until the source may have something, or for a while.
/// Returns: how many bytes were wrong, or missing.
template <class Source, class Wait>
std::uint64_t wrong_octets(Source& in, unique_fd peer, long messages, std::uint64_t seed,
                           Wait&& wait) {
    using zcpool::source::state;
    struct kept {
        zcpool::chain bytes;
        std::uint64_t place;
    };
    const message_stream stream{messages, seed};
    std::thread sender{[&, to = std::move(peer)] {
        std::mt19937_64 random{~seed};
        for (std::size_t i = 0; i < stream.count(); ++i) {
            send_all(to.get(), stream.message(i));
            if (random() % 64 == 0) {
                ::usleep(static_cast<unsigned>(random() % 300));
            }
        }
    }};
    std::mt19937_64 random{seed + 1};
    std::vector<kept> all;
    std::uint64_t came = 0;
    std::uint64_t wrong = 0;
    const auto let_go = [&] {
        const auto which = all.begin() + static_cast<std::ptrdiff_t>(random() % all.size());
        std::uint64_t place = which->place;
        for (const zcpool::slice& each : which->bytes.slices()) {
            wrong += stream.wrong(each.bytes(), place);
            place += each.size();
        }
        *which = std::move(all.back());
        all.pop_back();
    };
    for (bool has_ended = false; !has_ended;) {
        const state last = in.pull();
        if (in.available() != 0) {
            all.push_back({in.take(), came});
            came += all.back().bytes.size();
        }
        has_ended = last == state::ended || last == state::failed;
        const std::size_t most = last == state::exhausted ? all.size() / 2 : random() % 24;
        while (all.size() > most) {
            let_go();
        }
        if (last == state::blocked) {
            wait();
        }
    }
    sender.join();
    while (!all.empty()) {
        let_go();
    }
    CHECK_FALSE(in.error());
    return wrong + (stream.size() - std::min(came, stream.size()));
}

}  // namespace zcpool_test
