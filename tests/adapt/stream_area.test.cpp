// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <support/catch.hpp>
#include <zcpool/adapt/stream_area.hpp>
#include <zcpool/base/errc.hpp>

namespace {

using namespace zcpool;

/// Writes to two areas of four bytes, one after the other.
class two_areas : public adapt::put_area {
public:
    using put_area::put;
    using put_area::take_put;
    std::array<std::byte, 8> memory{};

protected:
    int_type overflow(int_type next) override {
        if (used_ == memory.size()) {
            return stop(make_error_code(errc::exhausted));
        }
        return go_on(std::span{memory}.subspan(std::exchange(used_, used_ + 4), 4), next);
    }

private:
    std::size_t used_ = 0;
};

class one_area : public adapt::get_area {
public:
    using get_area::get_from;
    using get_area::got;
    using get_area::take_got;
};

TEST_CASE("stream_area: what is put lies in the area, and is counted once", "[adapt]") {
    two_areas out;
    CHECK(out.sputn("abc", 3) == 3);
    CHECK(out.put() == 3);
    CHECK(out.take_put() == 3);
    CHECK(out.put() == 0);
    CHECK(out.sputc('d') == 'd');
    CHECK(out.take_put() == 1);
    CHECK(out.sputn("efgh", 4) == 4);
    CHECK(std::string_view{reinterpret_cast<const char*>(out.memory.data()), 8} == "abcdefgh");
    CHECK_FALSE(out.error());
    CHECK(out.sputc('i') == std::char_traits<char>::eof());
    CHECK(out.error() == errc::exhausted);
    CHECK(out.put() == 0);
}

TEST_CASE("stream_area: what is got is counted, and the area is gone then", "[adapt]") {
    one_area in;
    const std::string text = "text";
    in.get_from(std::as_bytes(std::span{text}));
    CHECK(in.sgetc() == 't');
    CHECK(in.snextc() == 'e');
    CHECK(in.got() == 1);
    CHECK(in.take_got() == 1);
    CHECK(in.take_got() == 0);
    CHECK(in.sgetc() == std::char_traits<char>::eof());
}

}  // namespace
