// SPDX-License-Identifier: MIT
#pragma once

// Walking a chain front to back: numbers in network order, spans where they are contiguous, parts
// without copying.

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>

namespace zcpool {

/// A position in a chain that only goes forward. Each function does all that it says or, at the
/// end, nothing.
///
/// Sharing: one thread at a time; the chain must outlive it unchanged.
class reader {
public:
    explicit reader(const chain& from) noexcept : chain_(&from), at_(from.begin()) {}

    /// Bytes from here to the end.
    [[nodiscard]] std::size_t remaining() const noexcept { return chain_->size() - position_; }
    /// Bytes from the beginning to here.
    [[nodiscard]] std::size_t position() const noexcept { return position_; }

    /// The bytes that follow without a gap; empty only at the end. skip() goes behind them.
    [[nodiscard]] std::span<const std::byte> contiguous() const noexcept {
        return at_ == chain_->end() ? std::span<const std::byte>{} : at_->bytes().subspan(offset_);
    }

    /// Goes forward. Returns: false, and stays, when fewer than `count` bytes follow.
    [[nodiscard]] bool skip(std::size_t count) noexcept {
        if (count > remaining()) {
            return false;
        }
        advance(count);
        return true;
    }

    /// Copies the bytes that follow into all of `into`. Returns: false, and stays, when there are
    /// fewer.
    [[nodiscard]] bool copy(std::span<std::byte> into) noexcept {
        if (into.size() > remaining()) {
            return false;
        }
        while (!into.empty()) {
            const auto here = contiguous();
            const std::size_t part = std::min(here.size(), into.size());
            std::memcpy(into.data(), here.data(), part);
            into = into.subspan(part);
            advance(part);
        }
        return true;
    }

    /// Reads an unsigned number, most significant byte first.
    ///
    /// Errors: `out_of_range`, and stays, when fewer bytes follow.
    template <std::unsigned_integral Number>
    [[nodiscard]] result<Number> read() noexcept {
        std::array<std::byte, sizeof(Number)> bytes;
        if (!copy(bytes)) {
            return fail(errc::out_of_range);
        }
        if constexpr (std::endian::native == std::endian::little) {
            std::reverse(bytes.begin(), bytes.end());
        }
        return std::bit_cast<Number>(bytes);
    }

    /// Takes the `count` bytes that follow as a chain that shares them.
    ///
    /// Errors: `out_of_range` when there are fewer, `out_of_memory`; stays then.
    [[nodiscard]] result<chain> take(std::size_t count) noexcept {
        auto part = chain_->subchain(position_, count);
        if (part) {
            advance(count);
        }
        return part;
    }

private:
    void advance(std::size_t count) noexcept {
        position_ += count;
        offset_ += count;
        while (at_ != chain_->end() && offset_ >= at_->size()) {
            offset_ -= at_->size();
            ++at_;
        }
    }

    const chain* chain_;
    const slice* at_;
    std::size_t offset_ = 0;    // in *at_
    std::size_t position_ = 0;  // in the chain
};

}  // namespace zcpool
