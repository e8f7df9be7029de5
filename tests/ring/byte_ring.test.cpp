// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/scale.hpp>
#include <zcpool/ring/byte_ring.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/mirror_mapping.hpp>

namespace {

using namespace zcpool;

constexpr std::size_t capacity = page_size;

/// A ring in memory that appears twice in a row.
struct owned_ring {
    explicit owned_ring(std::uint64_t begin = 0) : owned_ring(capacity, begin) {}
    owned_ring(std::size_t bytes, std::uint64_t begin)
        : pages(map(bytes)),
          producer(positions, pages.data(), bytes, begin),
          consumer(positions, pages.data(), bytes, begin) {
        positions.consumed.store(begin, memory_order_relaxed);
        positions.committed.store(begin, memory_order_relaxed);
    }
    static sys::mirror_mapping map(std::size_t bytes) {
        const auto file = sys::memfd::create("zcpool-test", bytes);
        REQUIRE(file.has_value());
        auto made = sys::mirror_mapping::shared(file->fd(), 0, bytes);
        REQUIRE(made.has_value());
        return std::move(*made);
    }
    void write(std::size_t bytes) {
        const auto room = producer.space(bytes);
        REQUIRE(room.size() >= bytes);
        producer.commit(bytes);
    }
    void read(std::size_t bytes) {
        const auto there = consumer.readable(bytes);
        REQUIRE(there.size() >= bytes);
        consumer.consume(bytes);
    }

    byte_positions positions;
    sys::mirror_mapping pages;
    byte_producer producer;
    byte_consumer consumer;
};

void put(std::span<std::byte> into, const char* text) {
    std::memcpy(into.data(), text, std::strlen(text));
}
bool begins_with(std::span<const std::byte> bytes, const char* text) {
    return bytes.size() >= std::strlen(text) &&
           std::memcmp(bytes.data(), text, std::strlen(text)) == 0;
}

TEST_CASE("byte_ring: what is committed is readable, in order, until it is consumed", "[ring]") {
    owned_ring ring;
    CHECK(ring.producer.capacity() == capacity);
    CHECK(ring.consumer.capacity() == capacity);
    CHECK(ring.consumer.readable().empty());
    const auto room = ring.producer.space();
    REQUIRE(room.size() == capacity);
    put(room, "first,second");
    CHECK(ring.consumer.readable().empty());  // not before it is committed
    ring.producer.commit(6);
    CHECK(ring.consumer.readable(7).empty());
    CHECK(ring.consumer.readable(6).size() == 6);
    CHECK(begins_with(ring.consumer.readable(), "first,"));
    ring.producer.commit(6);
    CHECK(ring.consumer.readable(7).size() == 12);
    ring.consumer.consume(6);
    CHECK(begins_with(ring.consumer.readable(), "second"));
    ring.consumer.consume(6);
    CHECK(ring.consumer.readable().empty());
}

TEST_CASE("byte_ring: sides without a ring give nothing", "[ring]") {
    byte_producer producer;
    byte_consumer consumer;
    CHECK(producer.space().empty());
    CHECK(consumer.readable().empty());
    CHECK(producer.capacity() == 0);
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}}) {
        producer.commit(bytes);
        consumer.consume(bytes);
    }
}

TEST_CASE("byte_ring: is full with its capacity, and no byte before", "[ring]") {
    owned_ring ring;
    ring.write(capacity - 1);
    CHECK(ring.producer.space(1).size() == 1);
    CHECK(ring.producer.space(2).empty());
    ring.write(1);
    CHECK(ring.producer.space().empty());
    CHECK(ring.producer.space(capacity + 1).empty());
    CHECK(ring.consumer.readable(capacity).size() == capacity);
    ring.consumer.consume(1);
    CHECK(ring.producer.space().size() == 1);
    CHECK(ring.producer.space(2).empty());
    ring.consumer.consume(capacity - 1);
    CHECK(ring.producer.space(capacity).size() == capacity);
}

TEST_CASE("byte_ring: space and what is there are contiguous across the wrap", "[ring]") {
    owned_ring ring;
    ring.write(capacity - 3);
    ring.read(capacity - 3);
    const auto room = ring.producer.space(capacity);
    REQUIRE(room.size() == capacity);
    put(room, "over the wrap");
    ring.producer.commit(13);
    const auto there = ring.consumer.readable(13);
    REQUIRE(there.size() == 13);
    CHECK(begins_with(there, "over the wrap"));
    CHECK(there.data() == ring.pages.data() + capacity - 3);
    ring.consumer.consume(13);
    CHECK(ring.producer.space().data() == ring.pages.data() + 10);  // begins in the first half
}

TEST_CASE("byte_ring: positions start over at 2^64 without harm", "[ring]") {
    constexpr std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
    owned_ring ring{last - 99};
    for (int lap = 0; lap < 3; ++lap) {
        REQUIRE(ring.producer.space(capacity).size() == capacity);
        ring.write(capacity);
        CHECK(ring.producer.space().empty());
        ring.read(capacity - 50);
        CHECK(ring.consumer.readable().size() == 50);
        ring.read(50);
        CHECK(ring.consumer.readable().empty());
    }
    CHECK_FALSE(ring.producer.is_corrupt());
    CHECK_FALSE(ring.consumer.is_corrupt());
}

TEST_CASE("byte_ring: a side looks at the other's position only when it must", "[ring]") {
    owned_ring ring;
    ring.write(10);
    CHECK(ring.consumer.readable().size() == 10);
    ring.write(10);
    CHECK(ring.consumer.readable(10).size() == 10);  // an old view, which is enough
    CHECK(ring.consumer.readable(11).size() == 20);
    ring.read(20);
    CHECK(ring.producer.space().size() == capacity - 20);
    CHECK(ring.producer.space(capacity).size() == capacity);
}

TEST_CASE("byte_ring: a consumer's position that cannot be is refused for good", "[ring]") {
    constexpr std::uint64_t begin = 1'000;
    // The consumer is known to be at begin + 10, the producer stands at begin + 100.
    for (const std::uint64_t forged :
         {begin + 9, begin - 1, begin + 101, std::uint64_t{0}, begin + capacity,
          begin + (std::uint64_t{1} << 63), std::numeric_limits<std::uint64_t>::max()}) {
        CAPTURE(forged);
        owned_ring ring{begin};
        ring.write(100);
        ring.read(10);
        REQUIRE(ring.producer.space(capacity - 90).size() == capacity - 90);  // has seen it
        ring.positions.consumed.store(forged, memory_order_relaxed);
        CHECK_FALSE(ring.producer.is_corrupt());
        CHECK(ring.producer.space(capacity - 89).empty());
        CHECK(ring.producer.is_corrupt());
        // Also when it then says what may be.
        ring.positions.consumed.store(begin + 10, memory_order_relaxed);
        CHECK(ring.producer.space().empty());
        CHECK(ring.producer.space(0).empty());
        CHECK(ring.producer.is_corrupt());
        // Bytes of a span that was given before go nowhere.
        ring.producer.commit(5);
        CHECK(ring.positions.committed.load(memory_order_relaxed) == begin + 100);
    }
    for (const std::uint64_t allowed : {begin + 10, begin + 50, begin + 100}) {
        owned_ring ring{begin};
        ring.write(100);
        ring.read(10);
        REQUIRE(ring.producer.space(capacity - 90).size() == capacity - 90);
        ring.positions.consumed.store(allowed, memory_order_relaxed);
        CHECK(ring.producer.space(capacity - 89).size() ==
              (allowed == begin + 10 ? 0 : capacity - (begin + 100 - allowed)));
        CHECK_FALSE(ring.producer.is_corrupt());
    }
}

TEST_CASE("byte_ring: a producer's position that cannot be is refused for good", "[ring]") {
    constexpr std::uint64_t begin = 1'000;
    // The consumer stands at begin + 10 and knows of bytes up to begin + 100.
    for (const std::uint64_t forged :
         {begin + 99, begin + 9, std::uint64_t{0}, begin + 10 + capacity + 1,
          begin + (std::uint64_t{1} << 63), std::numeric_limits<std::uint64_t>::max()}) {
        CAPTURE(forged);
        owned_ring ring{begin};
        ring.write(100);
        ring.read(10);
        ring.positions.committed.store(forged, memory_order_relaxed);
        CHECK(ring.consumer.readable(90).size() == 90);  // known already
        CHECK(ring.consumer.readable(91).empty());
        CHECK(ring.consumer.is_corrupt());
        ring.positions.committed.store(begin + 200, memory_order_relaxed);
        CHECK(ring.consumer.readable().empty());
        CHECK(ring.consumer.readable(0).empty());
        CHECK(ring.consumer.is_corrupt());
        ring.consumer.consume(5);
        CHECK(ring.positions.consumed.load(memory_order_relaxed) == begin + 10);
    }
    for (const std::uint64_t allowed : {begin + 100, begin + 10 + capacity}) {
        owned_ring ring{begin};
        ring.write(100);
        ring.read(10);
        ring.positions.committed.store(allowed, memory_order_relaxed);
        CHECK(ring.consumer.readable(91).size() ==
              (allowed == begin + 100 ? 0 : allowed - (begin + 10)));
        CHECK_FALSE(ring.consumer.is_corrupt());
    }
}

TEST_CASE("byte_ring: two threads see every byte once and in order", "[ring][.stress]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    const auto total = static_cast<std::size_t>(zcpool_test::scaled(200'000'000));
    owned_ring ring{capacity, std::numeric_limits<std::uint64_t>::max() - total / 2};
    std::thread writer{[&] {
        std::minstd_rand sizes{seed};
        std::minstd_rand content{seed + 1};
        for (std::size_t done = 0; done < total;) {
            const std::size_t wanted = std::min<std::size_t>(1 + sizes() % capacity, total - done);
            const auto room = ring.producer.space(wanted);
            if (room.empty()) {
                std::this_thread::yield();
                continue;
            }
            for (std::byte& each : room.first(wanted)) {
                each = static_cast<std::byte>(content() & 0xFF);
            }
            ring.producer.commit(wanted);
            done += wanted;
        }
    }};
    std::minstd_rand sizes{seed + 2};
    std::minstd_rand content{seed + 1};
    std::size_t wrong = 0;
    for (std::size_t done = 0; done < total;) {
        const auto there = ring.consumer.readable();
        if (there.empty()) {
            std::this_thread::yield();
            continue;
        }
        const std::size_t part = 1 + sizes() % there.size();
        for (const std::byte each : there.first(part)) {
            wrong += each == static_cast<std::byte>(content() & 0xFF) ? 0U : 1U;
        }
        ring.consumer.consume(part);
        done += part;
    }
    writer.join();
    CHECK(wrong == 0);
    CHECK(ring.consumer.readable().empty());
}

}  // namespace
