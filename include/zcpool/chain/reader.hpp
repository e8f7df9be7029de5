// SPDX-License-Identifier: MIT
#pragma once

// Walking a chain front to back: numbers in network order, spans where they are contiguous, parts
// without copying.

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>

namespace zcpool {

/// A position in a chain that only goes forward. Each function does all that it says or, at the
/// end, nothing.
///
/// Sharing: one thread at a time; the chain must outlive it unchanged.
class reader {
public:
    /// Begins at the front of a chain, which must stay as it is meanwhile.
    explicit reader(const chain& from) noexcept
        : slices_(from.slices()), remaining_(from.size()), size_(from.size()) {}
    explicit reader(const chain&&) = delete;

    /// Bytes from here to the end.
    [[nodiscard]] std::size_t remaining() const noexcept { return remaining_; }
    /// Bytes from the beginning to here.
    [[nodiscard]] std::size_t position() const noexcept { return size_ - remaining_; }

    /// The bytes that follow without a gap; empty only at the end. skip() goes behind them.
    [[nodiscard]] std::span<const std::byte> contiguous() const noexcept {
        return slices_.empty() ? std::span<const std::byte>{} : slices_[0].bytes().subspan(offset_);
    }

    /// Goes forward.
    /// Returns: false, and stays, when fewer than `count` bytes follow.
    [[nodiscard]] bool skip(std::size_t count) noexcept {
        if (count > remaining()) {
            return false;
        }
        advance(count);
        return true;
    }

    /// Copies the bytes that follow into all of `into`.
    /// Returns: false, and stays, when there are fewer.
    [[nodiscard]] bool copy(std::span<std::byte> into) noexcept {
        if (into.size() > remaining()) {
            return false;
        }
        while (!into.empty()) {
            const auto here = contiguous();
            const std::size_t part = smaller_of(here.size(), into.size());
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
        requires(!std::same_as<Number, bool>)
    [[nodiscard]] result<Number> read() noexcept {
        std::array<std::byte, sizeof(Number)> bytes;
        if (!copy(bytes)) {
            return fail(errc::out_of_range);
        }
        const auto number = std::bit_cast<Number>(bytes);
        return std::endian::native == std::endian::little ? std::byteswap(number) : number;
    }

    /// Takes the `count` bytes that follow as a chain that shares them.
    ///
    /// Errors: `out_of_range` when there are fewer, `out_of_memory`; stays then.
    /// Complexity: O(slices taken).
    [[nodiscard]] result<chain> take(std::size_t count) noexcept {
        if (count > remaining()) {
            return fail(errc::out_of_range);
        }
        reader ahead{*this};
        chain part;
        while (count != 0) {
            const std::size_t taken = smaller_of(count, ahead.contiguous().size());
            if (!part.append(ahead.slices_[0].subslice(ahead.offset_, taken))) {
                return fail(errc::out_of_memory);
            }
            ahead.advance(taken);
            count -= taken;
        }
        *this = ahead;
        return part;
    }

private:
    void advance(std::size_t count) noexcept {
        remaining_ -= count;
        offset_ += count;
        while (!slices_.empty() && offset_ >= slices_[0].size()) {
            offset_ -= slices_[0].size();
            slices_ = slices_.subspan(1);
        }
    }

    array_view<const slice> slices_;  // what is not read to its end
    std::size_t offset_ = 0;          // in the first of them
    std::size_t remaining_;
    std::size_t size_;
};

}  // namespace zcpool
