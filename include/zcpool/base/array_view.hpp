// SPDX-License-Identifier: MIT
#pragma once

// Elements in a row that somebody else owns: std::span for what stays inside the library.
//
// The constructors of std::span decide by the concepts of iterators and ranges, which g++ 12
// evaluates anew for each element type, in 7 ms. The library has dozens, and whoever includes it
// would pay for all. Where elements come from or go to the user, it is std::span.

#include <cstddef>
#include <type_traits>

#include <zcpool/base/config.hpp>

namespace zcpool {

/// A pointer to `Element`s and their count. Refers to them, and does not own them.
template <class Element>
class array_view {
public:
    constexpr array_view() noexcept = default;
    /// Of `size` elements at `data`.
    constexpr array_view(Element* data, std::size_t size) noexcept : data_(data), size_(size) {}
    /// Of an array.
    template <std::size_t Size>
    constexpr array_view(Element (&elements)[Size]) noexcept : data_(elements), size_(Size) {}
    /// Of a std::array, a std::span, another view, or whatever else has data() and size().
    template <class Elements>
        requires(!std::is_same_v<std::remove_cvref_t<Elements>, array_view>) &&
                    requires(Elements& elements, Element*& data) { data = elements.data(); }
    constexpr array_view(Elements&& elements) noexcept
        : data_(elements.data()), size_(elements.size()) {}

    [[nodiscard]] constexpr Element* data() const noexcept { return data_; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr std::size_t size_bytes() const noexcept {
        return size_ * sizeof(Element);
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr Element* begin() const noexcept { return data_; }
    [[nodiscard]] constexpr Element* end() const noexcept { return data_ + size_; }

    /// Expects: `at` is less than size().
    [[nodiscard]] constexpr Element& operator[](std::size_t at) const noexcept {
        ZCPOOL_ASSERT(at < size_, "an element that is not there");
        return data_[at];
    }
    /// Returns: the first `count` elements.
    /// Expects: there are as many.
    [[nodiscard]] constexpr array_view first(std::size_t count) const noexcept {
        ZCPOOL_ASSERT(count <= size_, "more elements than there are");
        return {data_, count};
    }
    /// Returns: what is left without the first `count` elements.
    /// Expects: there are as many.
    [[nodiscard]] constexpr array_view subspan(std::size_t count) const noexcept {
        ZCPOOL_ASSERT(count <= size_, "more elements than there are");
        return {data_ + count, size_ - count};
    }
    /// Returns: `count` elements from `at` on.
    /// Expects: there are as many.
    [[nodiscard]] constexpr array_view subspan(std::size_t at, std::size_t count) const noexcept {
        return subspan(at).first(count);
    }

private:
    Element* data_ = nullptr;
    std::size_t size_ = 0;
};

template <class Elements>
array_view(Elements&& elements) -> array_view<std::remove_reference_t<decltype(elements[0])>>;

}  // namespace zcpool
