// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <ios>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <support/pools.hpp>
#include <support/texts.hpp>
#include <zcpool/adapt/chain_iostream.hpp>

namespace {

using namespace zcpool_test;
using zcpool::chain;
using zcpool::errc;
using zcpool::reader;
using zcpool::writer;
using zcpool::adapt::reader_istream;
using zcpool::adapt::writer_ostream;

/// A chain of slices of "0123456789": four bytes, four, two.
chain make_digits(zcpool::pool_view pool) {
    chain all;
    for (const std::string_view part : {"0123", "4567", "89"}) {
        writer one{pool, 4_KiB};
        REQUIRE(one.write(part) == part.size());
        REQUIRE(all.append(one.finish()));
    }
    return all;
}

TEST_CASE("chain_iostream: what is inserted is in the writer's chain, and extracted again",
          "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    {
        writer to{pool};
        writer_ostream out{to};
        out << "answer " << 42 << ' ' << std::string(5000, 'x');
        CHECK(out.good());
        const chain made = out.finish();
        CHECK(made.slice_count() == 2);
        reader from{made};
        reader_istream in{from};
        std::string word;
        int number = 0;
        std::string rest;
        in >> word >> number >> rest;
        CHECK(word == "answer");
        CHECK(number == 42);
        CHECK(rest == std::string(5000, 'x'));
        CHECK(in.eof());
        out << "again";
        CHECK(text_of(out.finish()) == "again");
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("chain_iostream: the areas are the slots' own memory", "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    writer to{pool, 4_KiB};
    const std::byte* const begin = to.space().data();
    writer_ostream out{to};
    out << "in place";
    CHECK(std::string_view{reinterpret_cast<const char*>(begin), 8} == "in place");
    const chain made = out.finish();
    CHECK(made.front().data() == begin);
    reader from{made};
    reader_istream in{from};
    CHECK(in.get() == 'i');
    CHECK(in.rdbuf()->in_avail() == 7);
}

TEST_CASE("chain_iostream: after a flush the writer is anybody's, and so after the stream",
          "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    writer to{pool, 4_KiB};
    {
        writer_ostream out{to};
        out << "text" << std::flush;
        CHECK(to.put(std::uint8_t{'|'}));
        out << "more";
        CHECK(to.size() == 5);
        CHECK(out.tellp() == 9);
    }
    CHECK(to.size() == 9);
    CHECK(text_of(to.finish()) == "text|more");
}

TEST_CASE("chain_iostream: without a slot the stream is bad, keeps the reason, and goes on later",
          "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    auto held = pool.try_acquire(4_KiB);
    writer to{pool, 4_KiB};
    writer_ostream out{to};
    out << std::string(4096, 'x');
    CHECK(out.good());
    CHECK_FALSE(out.error());
    out << 'y' << "more";
    CHECK(out.bad());
    CHECK(out.error() == errc::exhausted);
    CHECK(to.size() == 4096);
    held.reset();
    out << 'z';
    CHECK(to.size() == 4096);  // bad until it is cleared
    out.clear();
    CHECK(out.error() == errc::exhausted);
    out << 'z';
    CHECK(out.good());
    CHECK_FALSE(out.error());
    CHECK(text_of(out.finish()) == std::string(4096, 'x') + 'z');
    pool.close();
    out << 'z';
    CHECK(out.bad());
    CHECK(out.error() == errc::closed);
}

TEST_CASE("chain_iostream: an exception of the stream's is thrown where it was asked for",
          "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto held = pool.try_acquire(4_KiB);
    writer to{pool, 4_KiB};
    writer_ostream out{to};
    out.exceptions(std::ios_base::badbit);
    bool thrown = false;
    try {
        out << 'x';
    } catch (const std::ios_base::failure&) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK(out.error() == errc::exhausted);
}

TEST_CASE("chain_iostream: tellp is the writer's size, and there is no seekp", "[adapt]") {
    const auto pool = make_pool({.slots = {3, 1}});
    writer to{pool, 4_KiB};
    writer_ostream out{to};
    CHECK(out.tellp() == 0);
    out << std::string(5000, 'x');
    CHECK(out.tellp() == 5000);
    CHECK(out.good());
    out.seekp(0);
    CHECK(out.fail());
}

TEST_CASE("chain_iostream: seekg goes anywhere in the chain, and nowhere else", "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const chain digits = make_digits(pool);
    reader from{digits};
    reader_istream in{from};
    for (const int place : {9, 0, 4, 3, 8, 5, 7, 0}) {
        CHECK(in.seekg(place).tellg() == place);
        CHECK(in.get() == '0' + place);
    }
    CHECK(in.seekg(-2, std::ios_base::end).get() == '8');
    CHECK(in.seekg(-5, std::ios_base::cur).get() == '4');
    CHECK(in.seekg(1, std::ios_base::cur).get() == '6');
    for (const auto whence : {std::ios_base::cur, std::ios_base::end}) {
        CHECK_FALSE(in.seekg(std::numeric_limits<std::streamoff>::max(), whence));
        in.clear();
    }
    CHECK(in.seekg(0, std::ios_base::end).tellg() == 10);
    CHECK(in.get() == reader_istream::traits_type::eof());
    in.clear();
    in.seekg(11);
    CHECK(in.fail());
    in.clear();
    in.seekg(-1, std::ios_base::beg);
    CHECK(in.fail());
    in.clear();
    CHECK(in.seekg(2).get() == '2');
}

TEST_CASE("chain_iostream: unget and putback cross slices, and change no byte", "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const chain digits = make_digits(pool);
    reader from{digits};
    reader_istream in{from};
    in.seekg(5);
    for (int place = 4; place >= 0; --place) {
        CHECK(in.unget().peek() == '0' + place);
    }
    in.unget();
    CHECK(in.bad());
    in.clear();
    in.seekg(5);
    CHECK(in.putback('4').good());
    CHECK(in.putback('3').good());
    CHECK(in.putback('x').bad());
    in.clear();
    in.seekg(0);
    CHECK(std::string{std::istreambuf_iterator<char>{in}, {}} == "0123456789");
}

TEST_CASE(
    "chain_iostream: the reader stands behind what was got, and the stream begins where it "
    "stood",
    "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const chain digits = make_digits(pool);
    reader from{digits};
    REQUIRE(from.skip(3));
    {
        reader_istream in{from};
        CHECK(in.tellg() == 3);
        CHECK(in.get() == '3');
        CHECK(in.get() == '4');
        CHECK(in.sync() == 0);
        CHECK(from.position() == 5);
        CHECK(in.get() == '5');
        in.seekg(2);
        CHECK(in.fail());
        in.clear();
        char both[2];
        CHECK(in.seekg(7).read(both, 2).good());
        CHECK(std::string_view{both, 2} == "78");
    }
    CHECK(from.position() == 9);
    CHECK(from.remaining() == 1);
}

TEST_CASE("chain_iostream: in_avail is a slice, and -1 at the end", "[adapt]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const chain digits = make_digits(pool);
    reader from{digits};
    reader_istream in{from};
    CHECK(in.rdbuf()->in_avail() == 4);
    in.seekg(4);
    CHECK(in.rdbuf()->in_avail() == 4);
    in.seekg(10);
    CHECK(in.rdbuf()->in_avail() == -1);
    const chain nothing;
    reader none{nothing};
    reader_istream empty{none};
    CHECK(empty.get() == reader_istream::traits_type::eof());
    CHECK(empty.eof());
}

}  // namespace
