// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/byte_pattern.hpp>

namespace {

using namespace zcpool;

TEST_CASE("byte_pattern: any one byte that differs is found, at its place", "[pool]") {
    std::vector<std::byte> bytes(300);
    fill_with(bytes, canary_byte);
    CHECK(first_other(bytes, canary_byte) == bytes.size());
    for (std::size_t place = 0; place < bytes.size(); ++place) {
        bytes[place] = std::byte{0};
        CHECK(first_other(bytes, canary_byte) == place);
        bytes[place] = canary_byte;
    }
    bytes[3] = bytes[200] = std::byte{1};
    CHECK(first_other(bytes, canary_byte) == 3);
}

TEST_CASE("byte_pattern: all bytes of another value differ from the first on", "[pool]") {
    const std::array<std::byte, 64> zeroes{};
    CHECK(first_other(zeroes, canary_byte) == 0);
    CHECK(first_other(zeroes, std::byte{0}) == 64);
    CHECK(first_other({}, canary_byte) == 0);
    CHECK(first_other(std::span{zeroes}.first(1), canary_byte) == 0);
}

}  // namespace
