// SPDX-License-Identifier: MIT
#pragma once

// Sole ownership of what was made with new: std::unique_ptr for what stays inside the library.
//
// With its deleters and its tuple, std::unique_ptr costs g++ 12 10 ms for each type that it is used
// with, and <memory> as much as a fifth of <expected>, <span> and <atomic>: whoever includes the
// library would pay for it.

#include <cstddef>
#include <type_traits>

namespace zcpool {

/// The owner of an object, or, as `unique_object<T[]>`, of an array; empty when it has none.
template <class T>
class unique_object {
public:
    using element = std::remove_extent_t<T>;

    unique_object() noexcept = default;
    /// Takes over what new has made, or nothing: new (std::nothrow) may have had no memory.
    explicit unique_object(element* object) noexcept : object_(object) {}
    unique_object(unique_object&& other) noexcept : object_(other.release()) {}
    unique_object& operator=(unique_object&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~unique_object() { reset(); }

    /// Deletes what it has, and takes over `object`.
    void reset(element* object = nullptr) noexcept {
        element* const old = object_;
        object_ = object;
        if constexpr (std::is_array_v<T>) {
            delete[] old;
        } else {
            delete old;
        }
    }
    /// Leaves the object to the caller.
    [[nodiscard]] element* release() noexcept {
        element* const object = object_;
        object_ = nullptr;
        return object;
    }

    [[nodiscard]] element* get() const noexcept { return object_; }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }
    [[nodiscard]] bool operator==(std::nullptr_t) const noexcept { return object_ == nullptr; }
    /// Expects: not empty.
    [[nodiscard]] element* operator->() const noexcept { return object_; }
    /// Expects: not empty.
    [[nodiscard]] element& operator*() const noexcept { return *object_; }
    /// Expects: an array, and one of its elements.
    [[nodiscard]] element& operator[](std::size_t at) const noexcept
        requires(std::is_array_v<T>)
    {
        return object_[at];
    }

private:
    element* object_ = nullptr;
};

}  // namespace zcpool
