// SPDX-License-Identifier: MIT
#pragma once

// Something that can be seen to be kept.

#include <utility>

namespace zcpool_test {

/// Counts itself in a place as long as it is held, wherever it is moved.
class witness {
public:
    witness() noexcept = default;
    explicit witness(int& kept) noexcept : kept_(&kept) { ++kept; }
    witness(witness&& other) noexcept : kept_(std::exchange(other.kept_, nullptr)) {}
    witness& operator=(witness&& other) noexcept {
        drop();
        kept_ = std::exchange(other.kept_, nullptr);
        return *this;
    }
    ~witness() { drop(); }

private:
    void drop() noexcept {
        if (kept_ != nullptr) {
            --*kept_;
        }
    }
    int* kept_ = nullptr;
};

}  // namespace zcpool_test
