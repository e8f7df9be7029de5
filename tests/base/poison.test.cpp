// SPDX-License-Identifier: MIT
#include <cstddef>
#include <memory>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <zcpool/base/poison.hpp>

namespace {

using namespace zcpool;

TEST_CASE("poison: memory that is allowed again holds what it held", "[base]") {
    const auto bytes = std::make_unique<std::byte[]>(4096);
    bytes[7] = std::byte{7};
    poison(bytes.get(), 4096);
    unpoison(bytes.get(), 4096);
    CHECK(bytes[7] == std::byte{7});
    forbid_access(bytes.get(), 4096);
    allow_access(bytes.get(), 4096);
    CHECK(bytes[7] == std::byte{7});
}

TEST_CASE("poison: a touch is reported where the build has AddressSanitizer", "[base]") {
    const auto touch = [](auto&& forbid) {
        return zcpool_test::status_of([&] {
            const auto bytes = std::make_unique<std::byte[]>(4096);
            forbid(bytes.get());
            *const_cast<volatile std::byte*>(&bytes[7]) = std::byte{1};
            unpoison(bytes.get(), 4096);
            return 0;
        });
    };
    const int reported = can_poison ? 1 : 0;
    CHECK(touch([](std::byte* bytes) { poison(bytes, 4096); }) == reported);
    CHECK(touch([](std::byte* bytes) { forbid_access(bytes, 4096); }) == reported);
    CHECK(touch([](std::byte*) {}) == 0);
}

}  // namespace
