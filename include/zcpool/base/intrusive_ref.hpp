// SPDX-License-Identifier: MIT
#pragma once

// Shared ownership of an object that counts its owners itself, within one thread.

#include <utility>

namespace zcpool {

/// A counted reference; empty when it refers to nothing. The object goes with the last one.
///
/// Counted: has a member `holders`, an integer that begins with 1, and was made with new.
/// Sharing: one thread, with all references to the object: the count is not atomic.
template <class Counted>
class intrusive_ref {
public:
    intrusive_ref() noexcept = default;
    /// Takes over a count: the one that a new object begins with, or one that was released.
    explicit intrusive_ref(Counted* counted) noexcept : object_(counted) {}
    intrusive_ref(intrusive_ref&& other) noexcept : object_(other.release()) {}
    intrusive_ref& operator=(intrusive_ref&& other) noexcept {
        if (this != &other) {
            drop();
            object_ = other.release();
        }
        return *this;
    }
    ~intrusive_ref() { drop(); }

    /// A further reference to an object that has one.
    [[nodiscard]] static intrusive_ref to(Counted* object) noexcept {
        ++object->holders;
        return intrusive_ref{object};
    }
    /// Expects: not empty.
    [[nodiscard]] intrusive_ref share() const noexcept { return to(object_); }
    /// Gives up the reference without dropping it.
    [[nodiscard]] Counted* release() noexcept { return std::exchange(object_, nullptr); }
    [[nodiscard]] Counted* get() const noexcept { return object_; }
    [[nodiscard]] Counted* operator->() const noexcept { return object_; }
    [[nodiscard]] Counted& operator*() const noexcept { return *object_; }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }

private:
    void drop() noexcept {
        if (object_ != nullptr && --object_->holders == 0) {
            delete object_;
        }
        object_ = nullptr;
    }

    Counted* object_ = nullptr;
};

}  // namespace zcpool
