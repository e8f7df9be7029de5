// SPDX-License-Identifier: MIT
#pragma once

// What a fuzzer gives, taken piece by piece; zeros where it ends.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace zcpool_fuzz {

class input {
public:
    input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

    template <class Number>
    [[nodiscard]] Number take() {
        Number value{};
        const std::size_t count = std::min(sizeof value, left_.size());
        std::memcpy(&value, left_.data(), count);
        left_ = left_.subspan(count);
        return value;
    }
    [[nodiscard]] bool empty() const { return left_.empty(); }

private:
    std::span<const std::uint8_t> left_;
};

/// Overwrites words of some memory, as its other user might: each edit is a place and a value.
inline void scribble(input& from, std::span<std::byte> memory, unsigned most) {
    for (unsigned n = 0; n < most && !from.empty(); ++n) {
        const std::size_t at = from.take<std::uint16_t>() % memory.size();
        const auto value = from.take<std::uint32_t>();
        std::memcpy(memory.data() + at, &value, std::min(sizeof value, memory.size() - at));
    }
}

}  // namespace zcpool_fuzz

/// The body of a fuzzer, as libFuzzer calls it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
