// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <support/catch.hpp>
#include <support/resources.hpp>
#include <support/streams.hpp>
#include <zcpool/adapt/iostream.hpp>

namespace {

using namespace std::chrono_literals;
using namespace zcpool_test;
using zcpool::errc;
using zcpool::adapt::istream;
using zcpool::adapt::no_timeout;
using zcpool::adapt::ostream;

constexpr std::size_t capacity = 4096;

/// Both ends as C++ streams.
struct iostream_pair {
    explicit iostream_pair(std::chrono::nanoseconds timeout = no_timeout)
        : iostream_pair(stream_pair{}, timeout) {}
    iostream_pair(stream_pair ends, std::chrono::nanoseconds timeout)
        : out(std::move(ends.writer), timeout), in(std::move(ends.reader), timeout) {}
    ostream out;
    istream in;
};

TEST_CASE("iostream: what is inserted is extracted", "[adapt]") {
    const held before;
    {
        iostream_pair pair;
        pair.out << "answer " << 42 << ' ' << 1.5 << std::endl;
        std::string word;
        int number = 0;
        double fraction = 0;
        pair.in >> word >> number >> fraction;
        CHECK(pair.in.good());
        CHECK(word == "answer");
        CHECK(number == 42);
        CHECK(fraction == 1.5);
        CHECK_FALSE(pair.in.error());
        CHECK_FALSE(pair.out.error());
    }
    CHECK(before == held{});
}

TEST_CASE("iostream: the areas are the ring's own memory", "[adapt]") {
    iostream_pair pair;
    const std::byte* const begin = pair.out.stream().space().value().data();
    pair.out << "in place" << std::flush;
    CHECK(pair.out.stream().space().value().data() == begin + 8);
    CHECK(std::string(reinterpret_cast<const char*>(begin), 8) == "in place");
    CHECK(pair.in.get() == 'i');
    // All of it is in the get area, and none is consumed before that has been read.
    CHECK(pair.in.rdbuf()->in_avail() == 7);
    CHECK(pair.in.stream().readable().value().size() == 8);
}

TEST_CASE("iostream: nothing is handed over before a flush or a full area", "[adapt]") {
    iostream_pair pair;
    pair.out << "later";
    CHECK(pair.in.stream().readable().value().empty());
    pair.out.flush();
    CHECK(pair.in.stream().readable().value().size() == 5);
    pair.out << std::string(capacity / 4, 'x') << 'y';
    CHECK(pair.in.stream().readable(6).value().size() >= capacity / 4);
}

TEST_CASE("iostream: closing hands over what was put, and ends the other side", "[adapt]") {
    iostream_pair pair;
    pair.out << "last words";
    pair.out.close();
    CHECK(std::string{std::istreambuf_iterator<char>{pair.in}, {}} == "last words");
    CHECK(pair.in.get() == istream::traits_type::eof());
    CHECK(pair.in.eof());
    CHECK(pair.in.error() == errc::closed);
    pair.out << 'x' << std::flush;
    CHECK(pair.out.bad());
    CHECK(pair.out.error() == errc::closed);
}

TEST_CASE("iostream: so does the end of the ostream", "[adapt]") {
    stream_pair ends;
    istream in{std::move(ends.reader)};
    {
        ostream out{std::move(ends.writer)};
        out << "end";
    }
    std::string all;
    in >> all;
    CHECK(all == "end");
    CHECK(in.eof());
}

TEST_CASE("iostream: a time-out and a reader that has gone are failures with a reason", "[adapt]") {
    iostream_pair pair{1ms};
    CHECK(pair.in.get() == istream::traits_type::eof());
    CHECK(pair.in.error() == errc::timed_out);
    pair.in.clear();
    pair.out << std::string(capacity, 'x') << std::flush;
    CHECK(pair.out.good());
    pair.out << 'x';
    CHECK(pair.out.bad());
    CHECK(pair.out.error() == errc::timed_out);
    pair.out.clear();
    std::string all(capacity, '\0');
    CHECK(pair.in.read(all.data(), static_cast<std::streamsize>(capacity)).good());
    CHECK(pair.in.rdbuf()->in_avail() == 0);  // and the room is given back
    pair.out << "again" << std::flush;
    CHECK(pair.out.good());
    pair.in.stream().close();
    pair.out << 'x' << std::flush << 'x' << std::flush;
    CHECK(pair.out.bad());
    CHECK(pair.out.error() == errc::closed);
}

TEST_CASE("iostream: in_avail says what is there, and -1 behind the end", "[adapt]") {
    iostream_pair pair;
    CHECK(pair.in.rdbuf()->in_avail() == 0);
    pair.out << "four" << std::flush;
    CHECK(pair.in.rdbuf()->in_avail() == 4);
    CHECK(pair.in.get() == 'f');
    CHECK(pair.in.unget().get() == 'f');
    std::string rest(3, '\0');
    CHECK(pair.in.read(rest.data(), 3).good());
    CHECK(rest == "our");
    pair.out.close();
    CHECK(pair.in.rdbuf()->in_avail() == -1);
    CHECK(pair.in.error() == errc::closed);
}

TEST_CASE("iostream: megabytes of lines go through a page of memory", "[adapt]") {
    iostream_pair pair;
    constexpr std::uint32_t lines = 200'000;
    std::thread writer{[&] {
        for (std::uint32_t i = 0; i < lines; ++i) {
            pair.out << i << '\n';
        }
        pair.out.close();
    }};
    std::uint32_t right = 0;
    for (std::uint32_t number = 0; pair.in >> number && number == right;) {
        ++right;
    }
    writer.join();
    CHECK(right == lines);
    CHECK(pair.in.eof());
}

}  // namespace
