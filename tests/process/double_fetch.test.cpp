// SPDX-License-Identifier: MIT
// What was checked is what is used, also while somebody else writes: a second thread changes words
// of shared memory to and fro, between what is right and what is not, while the functions that read
// them accept or refuse. Whatever was accepted must be right by the value that is used afterwards;
// looking at the memory again would prove nothing.
//
// Two loads that follow each other closely read the same all but always, so the same is done once
// more with a write at each instruction in turn. That functions which read a word twice would be
// found is shown by the cases named "seen", which do that on purpose.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <stress/stepping.hpp>
#include <support/channels.hpp>
#include <support/feeds.hpp>
#include <support/forgery.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/observer.hpp>
#include <zcpool/ipc/stream_file.hpp>

namespace {

using namespace zcpool_test;
using zcpool::descriptor;
using zcpool::slice;
using zcpool::slot_state;
using zcpool::slot_status;
using zcpool::spsc_consumer;
using zcpool::spsc_memory;
using zcpool::spsc_producer;
using zcpool::ipc::channel_memory;
using zcpool::ipc::channel_table;
using zcpool::ipc::descriptor_check;
using zcpool::ipc::feed_frame;
using zcpool::ipc::feed_memory;
using zcpool::ipc::feed_table;
using zcpool::sys::unique_fd;

constexpr auto relaxed = zcpool::memory_order_relaxed;

/// A source of numbers, one a thread.
class numbers {
public:
    explicit numbers(std::uint64_t seed = 1) : state_(seed) {}
    std::uint64_t operator()() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return state_ >> 16;
    }

private:
    std::uint64_t state_;
};

/// The other process: a thread that does one thing again and again, as fast as it can.
class peer {
public:
    template <class Step>
    explicit peer(Step step)
        : thread_([this, step]() mutable {
              numbers random;
              while (!stops_.load(std::memory_order_relaxed)) {
                  step(random);
                  steps_.fetch_add(1, std::memory_order_relaxed);
              }
          }) {}
    peer(const peer&) = delete;
    peer& operator=(const peer&) = delete;
    ~peer() {
        stops_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    [[nodiscard]] std::uint64_t steps() const { return steps_.load(std::memory_order_relaxed); }

private:
    std::atomic<bool> stops_{false};
    std::atomic<std::uint64_t> steps_{0};
    std::thread thread_;
};

/// What became of the tries.
enum class verdict : std::uint8_t { refused, accepted, bypassed };

struct tally {
    std::array<long, 3> of{};
    [[nodiscard]] long count(verdict what) const { return of[static_cast<std::size_t>(what)]; }
};

constexpr verdict right_if(bool is_right) {
    return is_right ? verdict::accepted : verdict::bypassed;
}

/// Tries so often beside the peer, which must have done something now and then: where both share a
/// processor it gets its turn.
template <class Try>
tally try_beside(const peer& other, long count, Try attempt) {
    tally found;
    const long between = count / 50 + 1;
    std::uint64_t steps = 0;
    for (long n = 0; n < count; ++n) {
        while (n % between == 0 && other.steps() == steps) {
            std::this_thread::yield();
        }
        steps = n % between == 0 ? other.steps() : steps;
        ++found.of[static_cast<std::size_t>(attempt())];
    }
    return found;
}

/// What each case ends with. Where nothing was accepted, or nothing refused, nothing was shown.
void check(const tally& found) {
    CHECK(found.count(verdict::bypassed) == 0);
    CHECK(found.count(verdict::accepted) > 0);
    CHECK(found.count(verdict::refused) > 0);
}

/// A file's beginning as another process has it mapped, in words.
class words_of {
public:
    words_of(int fd, std::size_t bytes)
        : pages_(zcpool::sys::mapping::shared(fd, 4096).value()),
          words_(reinterpret_cast<std::atomic<std::uint32_t>*>(pages_.data()),
                 bytes / sizeof(std::uint32_t)) {}

    /// Makes one of the words another one for a moment.
    void swap_one(numbers& random) {
        auto& word = words_[random() % words_.size()];
        const std::uint32_t right = word.load(std::memory_order_relaxed);
        const auto bits = static_cast<std::uint32_t>(random());
        const std::array wrong{0U, 1U, ~0U, right + 1, right - 1, right << 1, bits % 4200, bits};
        word.store(wrong[random() % wrong.size()], std::memory_order_relaxed);
        for (auto n = random() % 64; n != 0; --n) {
            zcpool::spin_pause();
        }
        word.store(right, std::memory_order_relaxed);
        for (auto n = random() % 64; n != 0; --n) {
            zcpool::spin_pause();
        }
    }

private:
    zcpool::sys::mapping pages_;
    std::span<std::atomic<std::uint32_t>> words_;
};

unique_fd copy_of(int fd) { return unique_fd{::dup(fd)}; }

// ---- tables, which are copied out and checked before anything is mapped

/// The files of a pool that this process could attach to.
struct pool_files {
    pool_files() {
        forgery right;
        right.table.namespaces = zcpool::sys::own_namespaces().value();
        data = right.data();
        control = right.control();
        data_bytes = static_cast<std::uint64_t>(right.data_bytes);
        control_bytes = static_cast<std::uint64_t>(right.control_bytes);
    }
    unique_fd data;
    unique_fd control;
    std::uint64_t data_bytes = 0;
    std::uint64_t control_bytes = 0;
};

/// Whether a table, and the layout that is to be that of it, are those of two files.
bool fits(const zcpool::ipc::checked_pool& found, const pool_files& files) {
    const zcpool::pool_table& table = found.table;
    if (table.class_count > zcpool::max_classes) {
        return false;
    }
    const auto layout = zcpool::compute_layout(std::span{table.classes}.first(table.class_count));
    bool same = layout && layout->data_bytes == files.data_bytes &&
                layout->control_bytes == files.control_bytes &&
                table.data_bytes == files.data_bytes &&
                table.control_bytes == files.control_bytes && table.checking == 0 &&
                table.lends <= 1 && table.spills <= 1 && table.zeroes <= 1 && table.undumped <= 1 &&
                table.lent_budget_bytes <= table.data_bytes &&
                table.magic == zcpool::pool_table::expected_magic &&
                found.layout.class_count == table.class_count;
    for (std::size_t i = 0; same && i < table.class_count; ++i) {
        same = found.layout.classes[i].slot_bytes == table.classes[i].slot_bytes &&
               found.layout.classes[i].slots == table.classes[i].slots;
    }
    return same;
}

TEST_CASE("double_fetch: the table of a pool is the one that was checked", "[double_fetch]") {
    const pool_files files;
    words_of table{files.control.get(), sizeof(zcpool::pool_table)};
    const peer other{[&](numbers& random) { table.swap_one(random); }};
    check(try_beside(other, scaled(500'000), [&] {
        zcpool::ipc::checked_pool found;
        return !descriptor_check::read_table(files.control.get(), files.data_bytes,
                                             files.control_bytes, found)
                   ? verdict::refused
                   : right_if(fits(found, files));
    }));
}

TEST_CASE("double_fetch: a pool that was attached works, whatever its table says by then",
          "[double_fetch]") {
    const pool_files files;
    words_of table{files.control.get(), sizeof(zcpool::pool_table)};
    const peer other{[&](numbers& random) { table.swap_one(random); }};
    check(try_beside(other, scaled(4'000), [&] {
        const auto attached = zcpool::ipc::attached_pool::attach(copy_of(files.data.get()),
                                                                 copy_of(files.control.get()));
        if (!attached) {
            return verdict::refused;
        }
        const zcpool::pool_view pool = *attached;
        bool works = pool.class_count() == 2;
        for (std::size_t i = 0; works && i < 2; ++i) {
            auto slot = pool.try_acquire(pool.slot_bytes(i));
            works = slot && slot.capacity() == (i == 0 ? 4096U : 65536U);
            if (works) {
                slot.data()[0] = slot.data()[slot.capacity() - 1] = std::byte{1};
            }
        }
        return right_if(works);
    }));
}

TEST_CASE("double_fetch: a channel is as large as was checked", "[double_fetch]") {
    const zcpool::ipc::file_identity pool{1, 2};
    const auto made = channel_memory::create({.capacity = 4, .pool = pool});
    REQUIRE(made.has_value());
    words_of table{made->fd(), sizeof(channel_table)};
    const peer other{[&](numbers& random) { table.swap_one(random); }};
    check(try_beside(other, scaled(20'000), [&] {
        channel_table found;
        const auto memory = channel_memory::adopt(copy_of(made->fd()), pool, found);
        if (!memory) {
            return verdict::refused;
        }
        const auto cells = memory->ring().cells;
        cells[cells.size() - 1].second.store(1, relaxed);
        return right_if(cells.size() == found.capacity && std::has_single_bit(cells.size()) &&
                        channel_memory::bytes_for(found.capacity) == 4096 && found.pool == pool &&
                        found.sender_place < zcpool::max_processes && found.wakes_by <= 1);
    }));
}

TEST_CASE("double_fetch: a feed has as many frames as was checked", "[double_fetch]") {
    const auto made = feed_memory::create({.capacity = 4, .frames = 4, .data_bytes = 4096});
    REQUIRE(made.has_value());
    words_of table{made->fd(), sizeof(feed_table)};
    const peer other{[&](numbers& random) { table.swap_one(random); }};
    check(try_beside(other, scaled(20'000), [&] {
        const auto memory = feed_memory::adopt(copy_of(made->fd()));
        if (!memory) {
            return verdict::refused;
        }
        // Sizes of which others fit into the page just as well must be the same everywhere.
        const feed_table& found = memory->table();
        const auto cells = memory->ring().cells;
        const auto receipts = memory->receipts();
        const auto* const end = reinterpret_cast<const std::byte*>(receipts.data()) +
                                receipts.size() * sizeof(feed_memory::receipt);
        return right_if(cells.size() == found.capacity && std::has_single_bit(cells.size()) &&
                        receipts.size() == found.frames && feed_memory::bytes_for(found) == 4096 &&
                        reinterpret_cast<const std::byte*>(cells.data() + cells.size()) <=
                            reinterpret_cast<const std::byte*>(receipts.data()) &&
                        end <= reinterpret_cast<const std::byte*>(&memory->header()) + 4096);
    }));
}

TEST_CASE("double_fetch: a stream is as large as was checked", "[double_fetch]") {
    const auto made = zcpool::ipc::stream_file::create(4096);
    REQUIRE(made.has_value());
    words_of table{made->file.fd(), sizeof(zcpool::ipc::stream_table)};
    const peer other{[&](numbers& random) { table.swap_one(random); }};
    check(try_beside(other, scaled(10'000), [&] {
        const auto got = zcpool::ipc::stream_file::attach(copy_of(made->file.fd()));
        return !got ? verdict::refused : right_if(got->pages.size() == 4096);
    }));
}

// ---- messages, and what they are about

/// The writing side of a ring that others read: messages with the lap that is due and with others.
class message_writer {
public:
    explicit message_writer(spsc_memory ring) : ring_(ring) {}

    void operator()(std::uint64_t first, std::uint64_t second, bool is_due) {
        const std::uint64_t at = ring_.taken->load(relaxed);
        auto& cell = ring_.at(at);
        cell.second.store(second, relaxed);
        cell.first.store(ring_.lap_of(is_due ? at : at - ring_.cells.size()) |
                             (first & spsc_memory::message_mask),
                         zcpool::memory_order_release);
    }

private:
    spsc_memory ring_;
};

/// A ring in memory of this process.
struct own_ring {
    std::array<spsc_memory::cell, 1> cells;
    spsc_memory::position taken;
    [[nodiscard]] spsc_memory view() { return {cells, taken}; }
};

TEST_CASE("double_fetch: a message is the one whose lap was due", "[double_fetch]") {
    own_ring ring;
    const peer other{[write = message_writer{ring.view()}](numbers& random) mutable {
        const bool is_due = random() % 2 == 0;
        write(is_due ? 7 : 8, 9, is_due);
    }};
    spsc_consumer in{ring.view()};
    check(try_beside(other, scaled(2'000'000), [&] {
        const auto got = in.peek();
        return !got || !in.pop() ? verdict::refused : right_if(got->first == 7 && got->second == 9);
    }));
}

/// What a partner who lies says of a slot that it holds: the truth, with some field made up.
descriptor made_up(descriptor truth, numbers& random) {
    const auto bits = static_cast<std::uint32_t>(random());
    switch (random() % 8) {
        case 0: truth.offset = bits & 0x7FFF'FFFF; break;
        case 1: truth.length = bits; break;
        case 2: truth.slot = bits & 0xF'FFFF; break;
        case 3: truth.slot = bits % 4; break;
        case 4: truth.size_class = bits & 0xF; break;
        case 5: truth.generation = bits & 0x7FF'FFFF; break;
        case 6: truth.offset += bits % 5000; break;
        default: break;
    }
    return truth;
}

/// A slot that its process holds and describes to another one, which is in this process too.
struct described : partners<> {
    described() : held(make_slice(here, 4096, 7)) {
        where = zcpool::slice_transfer::describe(zcpool::pool_sharing::core_of(here), held).value();
    }
    /// Whether a slice lies in the slot that is held, where its descriptor says.
    [[nodiscard]] bool lies_in_it(const slice& got) const {
        const auto& core = zcpool::pool_sharing::core_of(there);
        const std::size_t at = core.offset_of(got.data());
        const std::size_t begin = zcpool::pool_sharing::core_of(here).offset_of(held.data());
        return at >= begin && at < begin + 4096 && got.size() != 0 &&
               got.size() <= begin + 4096 - at;
    }
    slice held;
    descriptor where;
};

TEST_CASE("double_fetch: a slice lies where its descriptor was found right", "[double_fetch]") {
    described pool;
    own_ring ring;
    const peer other{[write = message_writer{ring.view()}, &pool](numbers& random) mutable {
        const auto message = made_up(pool.where, random).to_message();
        write(message.first, message.second, true);
    }};
    auto& core = zcpool::pool_sharing::core_of(pool.there);
    const auto from = zcpool::pool_sharing::seat(zcpool::pool_sharing::core_of(pool.here)).bit();
    spsc_consumer in{ring.view()};
    check(try_beside(other, scaled(2'500'000), [&] {
        const auto message = in.peek();
        if (!message) {
            return verdict::refused;
        }
        const descriptor said = descriptor::of(*message);
        const auto got = zcpool::slice_transfer::receive(core, said, from);
        static_cast<void>(in.pop());
        return got.how != zcpool::arrival::here
                   ? verdict::refused
                   : right_if(pool.lies_in_it(got.what) && said.slot == pool.where.slot &&
                              said.generation == pool.where.generation &&
                              got.what.size() == said.length &&
                              got.what.data()[0] == pool.held.data()[said.offset]);
    }));
}

TEST_CASE("double_fetch: what a channel delivers lies in a slot of its sender", "[double_fetch]") {
    described pool;
    auto out = make_sender(pool.here, {.capacity = 2});
    std::optional in{attach_receiver(pool.there, out)};
    const auto memory = zcpool::sys::mapping::shared(out.files().memory, 4096).value();
    auto* const header = reinterpret_cast<zcpool::ipc::channel_header*>(memory.data());
    const spsc_memory ring{{reinterpret_cast<spsc_memory::cell*>(header + 1), 2}, header->taken};
    const peer other{[write = message_writer{ring}, &pool](numbers& random) mutable {
        const auto message = made_up(pool.where, random).to_message();
        write(message.first, message.second, random() % 4 != 0);
    }};
    check(try_beside(other, scaled(40'000), [&] {
        const slice got = in->try_receive();
        if (in->ended()) {
            in.emplace(attach_receiver(pool.there, out));
        }
        return got.empty() ? verdict::refused : right_if(pool.lies_in_it(got));
    }));
}

TEST_CASE("double_fetch: who receives has a place that there is", "[double_fetch]") {
    const auto pool = make_pool({.slots = {2, 1}});
    REQUIRE(pool.share().has_value());
    auto made = zcpool::ipc::channel_end::create(zcpool::pool_sharing::core_of(pool), 4,
                                                 zcpool::ipc::wake_by::futex);
    REQUIRE(made.has_value());
    auto& header = made->header();
    header.receiver_status.store(5, relaxed);
    const peer other{[&](numbers& random) {
        const auto bits = static_cast<std::uint32_t>(random());
        header.receiver_place.store(bits % 2 == 0 ? bits >> 8 : bits % 31, relaxed);
        header.receiver_status.store(random() % 4 == 0 ? 0 : random(), relaxed);
    }};
    check(try_beside(other, scaled(1'000'000), [&] {
        const auto seat = made->receiver();
        return !seat ? verdict::refused : right_if(seat->index < zcpool::max_processes);
    }));
}

// ---- feeds: neither side trusts the other

TEST_CASE("double_fetch: a frame of a feed lies in the pool", "[double_fetch]") {
    constexpr std::size_t bytes = 65536;
    const auto file = zcpool::sys::memfd::create("data", bytes);
    REQUIRE(file.has_value());
    auto data = zcpool::sys::mapping::shared(file->fd(), bytes).value();
    const std::byte* const begin = data.data();
    auto* const view =
        zcpool::ipc::feed_view::create(
            std::move(data),
            feed_memory::create({.capacity = 1, .frames = 4, .data_bytes = bytes}).value(), {})
            .value();
    {
        const auto ring = view->memory().ring();
        const peer other{[write = message_writer{ring}](numbers& random) mutable {
            feed_frame frame{random() % bytes, static_cast<std::uint32_t>(random() % 4096),
                             static_cast<std::uint16_t>(random() % 6), 1};
            frame.offset = random() % 4 == 0 ? random() << 3 : frame.offset;
            frame.length = random() % 4 == 0 ? static_cast<std::uint32_t>(random()) : frame.length;
            const auto message = frame.to_message();
            write(message.first, message.second, random() % 4 != 0);
        }};
        spsc_consumer in{ring};
        check(try_beside(other, scaled(2'000'000), [&] {
            const auto message = in.peek();
            if (!message) {
                return verdict::refused;
            }
            static_cast<void>(in.pop());
            const feed_frame said = feed_frame::of(*message);
            const slice got = view->borrow(said);
            return got.empty() ? verdict::refused
                               : right_if(got.data() == begin + said.offset &&
                                          got.size() == said.length && said.offset < bytes &&
                                          got.size() <= bytes - said.offset && said.ticket < 4);
        }));
    }
    view->drop();
}

TEST_CASE("double_fetch: what a reader gives back is what it has", "[double_fetch]") {
    const auto pool = make_pool({.slots = {16, 1}});
    const auto pair = blocking_unix_pair();
    auto out = open_feed(pair.ours.get(), pool, {.frames = 4, .capacity = 4});
    std::array<std::byte, 8> text{};
    std::array<unique_fd, 3> fds;
    REQUIRE(zcpool::sys::receive_fds(pair.peer.get(), text, fds).has_value());
    const auto memory = feed_memory::adopt(std::move(fds[1]));
    REQUIRE(memory.has_value());
    std::atomic<std::uint64_t> sent{0};
    const peer other{[&](numbers& random) {
        auto& receipt = memory->receipts()[random() % 4];
        receipt.store(feed_frame::receipt(static_cast<std::uint16_t>(random() % 8)), relaxed);
        const std::uint64_t now = sent.load(std::memory_order_relaxed);
        memory->header().taken.store(random() % 2 == 0 ? now : now + random() % 16, relaxed);
    }};
    check(try_beside(other, scaled(200'000), [&] {
        const auto done = out.send(make_slice(pool, 8, 1));
        sent.store(out.stats().sent, std::memory_order_relaxed);
        const bool is_right = out.outstanding() <= 4 && slots_in_use(pool) == out.outstanding();
        return !is_right ? verdict::bypassed : done ? verdict::accepted : verdict::refused;
    }));
}

// ---- positions

/// A position of the other side's, right and wrong by turns.
class position_writer {
public:
    explicit position_writer(zcpool::atomic<std::uint64_t>& where) : where_(&where) {}
    /// What would be right, from now on.
    void show(std::uint64_t right) { right_.store(right, std::memory_order_relaxed); }
    void step(numbers& random) {
        const std::uint64_t right = right_.load(std::memory_order_relaxed);
        where_->store(right, relaxed);
        where_->store(random() % 2 == 0 ? random() << 16 : right + random() % 64 - 32, relaxed);
        where_->store(right, relaxed);
    }

private:
    zcpool::atomic<std::uint64_t>* where_;
    std::atomic<std::uint64_t> right_{0};
};

/// Refreshes a producer, of the library's or one like it.
template <class Producer>
tally refresh_beside_a_liar(long count) {
    own_ring unused;
    std::array<spsc_memory::cell, 16> cells;
    position_writer liar{unused.taken};
    const peer other{[&](numbers& random) { liar.step(random); }};
    Producer out{spsc_memory{cells, unused.taken}};
    return try_beside(other, count, [&] {
        const std::uint64_t before = out.was_taken();
        static_cast<void>(out.try_push({}));
        liar.show(out.pushed());
        const bool done = out.refresh();
        const bool is_right = out.pushed() - out.was_taken() <= cells.size() &&
                              out.was_taken() - before <= out.pushed() - before;
        return !is_right ? verdict::bypassed : done ? verdict::accepted : verdict::refused;
    });
}

TEST_CASE("double_fetch: what was taken is what was found possible", "[double_fetch]") {
    check(refresh_beside_a_liar<spsc_producer>(scaled(2'000'000)));
}

TEST_CASE("double_fetch: no range of a stream leaves its ring", "[double_fetch]") {
    constexpr std::size_t capacity = 256;
    std::vector<std::byte> memory(2 * capacity);
    zcpool::byte_positions shared;
    const auto is_inside = [&](std::span<const std::byte> got) {
        return got.data() >= memory.data() && got.data() < memory.data() + capacity &&
               got.size() <= capacity;
    };
    SECTION("to be written") {
        position_writer liar{shared.consumed};
        const peer other{[&](numbers& random) { liar.step(random); }};
        std::uint64_t at = 0;
        zcpool::byte_producer out{shared, memory.data(), capacity};
        check(try_beside(other, scaled(1'000'000), [&] {
            liar.show(at);
            const auto got = out.space(capacity);
            if (out.is_corrupt()) {
                out = {shared, memory.data(), capacity, at};
                return verdict::refused;
            }
            at += got.empty() ? 0 : 1;
            out.commit(got.empty() ? 0 : 1);
            return got.empty() ? verdict::refused : right_if(is_inside(got));
        }));
    }
    SECTION("to be read") {
        position_writer liar{shared.committed};
        const peer other{[&](numbers& random) { liar.step(random); }};
        std::uint64_t at = 0;
        zcpool::byte_consumer in{shared, memory.data(), capacity};
        check(try_beside(other, scaled(1'000'000), [&] {
            liar.show(at + 32);
            const auto got = in.readable(capacity / 2);
            const auto all = got.empty() ? in.readable() : got;
            if (in.is_corrupt()) {
                in = zcpool::byte_consumer{shared, memory.data(), capacity, at};
                return verdict::refused;
            }
            at += all.size();
            in.consume(all.size());
            return all.empty() ? verdict::refused : right_if(is_inside(all));
        }));
    }
}

// ---- slot words

TEST_CASE("double_fetch: a step of a slot word begins at the state that it was for",
          "[double_fetch]") {
    using zcpool::encode;
    constexpr zcpool::holder_set me = 1;
    constexpr zcpool::holder_set from = 2;
    constexpr zcpool::holder_set third = 4;
    // What the peer writes, and what may become of it; any other word was made of two of them.
    const std::array written{encode({5, slot_state::free, 0}),
                             encode({6, slot_state::published, from | third}),
                             encode({7, slot_state::owned, 8}),
                             encode({8, slot_state::published, zcpool::kernel_holder}),
                             encode({9, slot_state::trimmed, 0}),
                             encode({10, slot_state::owned, 16})};
    const std::array made{encode({5, slot_state::owned, me}),
                          encode({6, slot_state::published, from | third | me}),
                          encode({6, slot_state::published, third | me}),
                          encode({8, slot_state::cleaning, me}),
                          encode({9, slot_state::cleaning, me}),
                          encode({10, slot_state::cleaning, me})};
    zcpool::slot_word word;
    auto& raw = reinterpret_cast<std::atomic<std::uint64_t>&>(word);
    raw.store(written[0]);
    std::atomic<long> odd{0};
    tally found;
    {
        const peer other{[&](numbers& random) {
            const std::uint64_t was = raw.exchange(written[random() % written.size()]);
            const bool is_known =
                std::ranges::count(written, was) != 0 || std::ranges::count(made, was) != 0;
            odd.fetch_add(is_known ? 0 : 1, std::memory_order_relaxed);
        }};
        int which = 0;
        found = try_beside(other, scaled(1'500'000), [&] {
            const auto done = [](bool is_done) {
                return is_done ? verdict::accepted : verdict::refused;
            };
            constexpr auto accepted = zcpool::accept_outcome::accepted;
            switch (++which % 6) {
                case 0: {
                    const auto generation = word.claim(me);
                    return generation ? right_if(*generation == 5) : verdict::refused;
                }
                case 1: return done(word.accept(6, from, me) == accepted);
                case 2: return done(word.accept(6, from, me, true) == accepted);
                case 3: return done(word.claim_resting(me));
                case 4: return done(word.claim_trimmed(me));
                default: return done(word.reap(16, me) == zcpool::reap_outcome::taken_over);
            }
        });
    }
    check(found);
    CHECK(odd.load() == 0);
}

TEST_CASE("double_fetch: who looks on counts each slot once", "[double_fetch]") {
    auto pool = make_pool({.slots = {8, 1}});
    const auto& core = zcpool::pool_sharing::core_of(pool);
    const auto files = pool.share().value();
    const auto seen = zcpool::ipc::pool_observer::open(reopen(copy_of(files.control), O_RDONLY));
    REQUIRE(seen.has_value());
    const auto control = zcpool::sys::mapping::shared(files.control, core.report().control_bytes);
    REQUIRE(control.has_value());
    const auto& layout = seen->layout().classes[0];
    const auto word_at = [&](std::uint64_t slot) -> std::atomic<std::uint64_t>& {
        return *reinterpret_cast<std::atomic<std::uint64_t>*>(control->data() + layout.words +
                                                              slot * layout.word_stride);
    };
    {
        const peer other{[&](numbers& random) {
            const slot_state state[] = {slot_state::free, slot_state::owned, slot_state::published,
                                        slot_state::cleaning};
            const slot_state now = state[random() % 4];
            word_at(random() % 8)
                .store(zcpool::encode(
                    {static_cast<std::uint32_t>(random() % 9), now,
                     now == slot_state::free ? 0 : zcpool::holder_set{1} << random() % 31}));
        }};
        const auto found = try_beside(other, scaled(200'000), [&] {
            const auto audit = seen->audit().classes[0];
            std::uint32_t all = audit.available() + audit.damaged;
            for (const auto& each : audit.of_process) {
                all += each.all();
            }
            return right_if(all == 8);
        });
        CHECK(found.count(verdict::bypassed) == 0);
    }
    for (std::uint64_t slot = 0; slot < 8; ++slot) {
        word_at(slot).store(0);
    }
}

// ---- the same with a write at each instruction in turn, instead of many by chance

/// Tries once for each instruction of `attempt`, or each `stride`-th, at which `change` is made;
/// `prepare` comes before each try.
template <class Prepare, class Change, class Try>
tally try_at_each_instruction(Prepare prepare, Change change, Try attempt, unsigned stride = 1) {
    const stepping handler;
    tally found;
    stop_plan plan;
    plan.context = &change;
    plan.stopped = [](void* context) { (*static_cast<Change*>(context))(); };
    do {
        verdict what = verdict::refused;
        prepare();
        stepping::run(plan, [&] { what = attempt(); });
        ++found.of[static_cast<std::size_t>(what)];
        plan.after += stride;
    } while (plan.was_stopped);
    return found;
}

/// Refreshes a producer, of the library's or one like it, whose position becomes impossible.
template <class Producer>
tally refresh_at_each_instruction() {
    own_ring unused;
    std::array<spsc_memory::cell, 16> cells;
    std::optional<Producer> out;
    return try_at_each_instruction(
        [&] {
            out.emplace(spsc_memory{cells, unused.taken});
            for (int n = 0; n < 4; ++n) {
                static_cast<void>(out->try_push({}));
            }
            unused.taken.store(2, relaxed);
        },
        [&] { unused.taken.store(5, relaxed); },
        [&] {
            const bool done = out->refresh();
            return out->was_taken() > 4 ? verdict::bypassed
                   : done               ? verdict::accepted
                                        : verdict::refused;
        });
}

TEST_CASE("double_fetch: at whichever instruction a position or a message changes",
          "[double_fetch]") {
    if (!can_step) {
        SKIP("instructions can be counted on x86-64 only");
    }
    check(refresh_at_each_instruction<spsc_producer>());

    own_ring ring;
    const spsc_memory memory = ring.view();
    std::optional<spsc_consumer> in;
    check(try_at_each_instruction(
        [&] {
            in.emplace(memory);
            ring.cells[0].second.store(9, relaxed);
            ring.cells[0].first.store(memory.lap_of(0) | 7, relaxed);
        },
        [&] { ring.cells[0].first.store(memory.lap_of(1) | 8, relaxed); },
        [&] {
            const auto got = in->peek();
            return !got ? verdict::refused : right_if(got->first == 7 && got->second == 9);
        }));

    constexpr std::size_t capacity = 256;
    std::vector<std::byte> bytes(2 * capacity);
    zcpool::byte_positions shared;
    zcpool::byte_producer out;
    check(try_at_each_instruction(
        [&] {
            shared.consumed.store(0, relaxed);
            out = {shared, bytes.data(), capacity};
            out.commit(8);
            shared.consumed.store(8, relaxed);
        },
        [&] { shared.consumed.store(99, relaxed); },
        [&] {
            const auto got = out.space(capacity);
            return got.empty() ? verdict::refused : right_if(got.size() == capacity);
        }));
    zcpool::byte_consumer from;
    check(try_at_each_instruction(
        [&] {
            from = {shared, bytes.data(), capacity};
            shared.committed.store(8, relaxed);
        },
        [&] { shared.committed.store(capacity + 1, relaxed); },
        [&] {
            const auto got = from.readable(8);
            return got.empty() ? verdict::refused : right_if(got.size() == 8);
        }));
}

TEST_CASE("double_fetch: at whichever instruction a slot word changes", "[double_fetch]") {
    if (!can_step) {
        SKIP("instructions can be counted on x86-64 only");
    }
    constexpr zcpool::holder_set me = 1;
    constexpr zcpool::holder_set from = 2;
    constexpr zcpool::holder_set dead = 16;
    zcpool::slot_word word;
    auto& raw = reinterpret_cast<std::atomic<std::uint64_t>&>(word);
    // `step` may take the word from `before` to `after`, and must leave `other` alone.
    const auto look = [&](slot_status before, slot_status after, slot_status other, auto step) {
        std::atomic<bool> is_other{false};  // also written by the trap's handler
        check(try_at_each_instruction(
            [&] {
                raw.store(zcpool::encode(before));
                is_other = false;
            },
            [&] {
                raw.store(zcpool::encode(other));
                is_other = true;
            },
            [&] {
                const bool done = step();
                const bool was_other = is_other;
                const std::uint64_t now = raw.load();
                const bool is_whole = now == zcpool::encode(other) ||
                                      (!was_other && now == zcpool::encode(done ? after : before));
                return !is_whole ? verdict::bypassed : done ? verdict::accepted : verdict::refused;
            }));
    };
    const slot_status others{7, slot_state::owned, 8};
    look({5, slot_state::free, 0}, {5, slot_state::owned, me}, others,
         [&] { return word.claim(me) == std::optional<std::uint32_t>{5}; });
    look({5, slot_state::published, from}, {5, slot_state::published, from | me}, others,
         [&] { return word.accept(5, from, me) == zcpool::accept_outcome::accepted; });
    look({5, slot_state::published, from}, {5, slot_state::published, me}, others,
         [&] { return word.accept(5, from, me, true) == zcpool::accept_outcome::accepted; });
    look({5, slot_state::published, zcpool::kernel_holder}, {5, slot_state::cleaning, me}, others,
         [&] { return word.claim_resting(me); });
    look({5, slot_state::trimmed, 0}, {5, slot_state::cleaning, me}, others,
         [&] { return word.claim_trimmed(me); });
    look({5, slot_state::owned, dead}, {5, slot_state::cleaning, me}, others,
         [&] { return word.reap(dead, me) == zcpool::reap_outcome::taken_over; });
    look({5, slot_state::published, me | from}, {5, slot_state::published, from}, others,
         [&] { return word.drop(5, me) == zcpool::drop_outcome::still_held; });
    look({5, slot_state::published, me}, {5, slot_state::published, me | from}, others,
         [&] { return word.grant(5, me, from); });
}

TEST_CASE("double_fetch: at whichever instruction a table or a place changes", "[double_fetch]") {
    if (!can_step) {
        SKIP("instructions can be counted on x86-64 only");
    }
    const pool_files files;
    const auto pages = zcpool::sys::mapping::shared(files.control.get(), 4096).value();
    auto& slots = *reinterpret_cast<std::atomic<std::uint64_t>*>(
        pages.data() + offsetof(zcpool::pool_table, classes) + offsetof(zcpool::class_spec, slots));
    const auto attach = [&] {
        zcpool::ipc::checked_pool found;
        return !descriptor_check::read_table(files.control.get(), files.data_bytes,
                                             files.control_bytes, found)
                   ? verdict::refused
                   : right_if(found.table.classes[0].slots == 4 &&
                              found.layout.classes[0].slots == 4);
    };
    // Thousands of instructions, few of which are between reads.
    check(try_at_each_instruction([&] { slots.store(4); }, [&] { slots.store(5); }, attach, 61));

    const auto pool = make_pool({.slots = {2, 1}});
    REQUIRE(pool.share().has_value());
    auto end = zcpool::ipc::channel_end::create(zcpool::pool_sharing::core_of(pool), 4,
                                                zcpool::ipc::wake_by::futex);
    REQUIRE(end.has_value());
    auto& header = end->header();
    header.receiver_status.store(5, relaxed);
    check(try_at_each_instruction([&] { header.receiver_place.store(3, relaxed); },
                                  [&] { header.receiver_place.store(77, relaxed); },
                                  [&] {
                                      const auto seat = end->receiver();
                                      return !seat ? verdict::refused : right_if(seat->index == 3);
                                  }));
}

// ---- whether these tests see anything: readers that read twice

/// A producer that checks the position and takes over what it reads afterwards.
class careless_producer {
public:
    explicit careless_producer(spsc_memory ring) : ring_(ring) {}
    [[nodiscard]] bool try_push(zcpool::ring_message) {
        pushed_ += pushed_ - taken_ < ring_.cells.size() ? 1 : 0;
        return true;
    }
    [[nodiscard]] bool refresh() {
        if (ring_.taken->load(relaxed) - taken_ > pushed_ - taken_) {
            return false;
        }
        zcpool::spin_pause();  // whatever else is done between the check and the use
        taken_ = ring_.taken->load(relaxed);
        return true;
    }
    [[nodiscard]] std::uint64_t pushed() const { return pushed_; }
    [[nodiscard]] std::uint64_t was_taken() const { return taken_; }

private:
    spsc_memory ring_;
    std::uint64_t pushed_ = 0;
    std::uint64_t taken_ = 0;
};

TEST_CASE("double_fetch: a position that is read twice is seen", "[double_fetch]") {
    if (std::thread::hardware_concurrency() < 2) {
        SKIP("two threads must run at once");
    }
    long bypassed = 0;
    for (int round = 0; bypassed == 0 && round < 100; ++round) {
        bypassed = refresh_beside_a_liar<careless_producer>(200'000).count(verdict::bypassed);
    }
    CHECK(bypassed > 0);
    CHECK((!can_step || refresh_at_each_instruction<careless_producer>().count(verdict::bypassed)));
}

TEST_CASE("double_fetch: a table that is copied twice is seen", "[double_fetch]") {
    if (std::thread::hardware_concurrency() < 2) {
        SKIP("two threads must run at once");
    }
    const pool_files files;
    words_of table{files.control.get(), sizeof(zcpool::pool_table)};
    const peer other{[&](numbers& random) { table.swap_one(random); }};
    long bypassed = 0;
    for (int round = 0; bypassed == 0 && round < 100; ++round) {
        const auto found = try_beside(other, 20'000, [&] {
            zcpool::ipc::checked_pool twice;
            if (!descriptor_check::read_table(files.control.get(), files.data_bytes,
                                              files.control_bytes, twice)) {
                return verdict::refused;
            }
            const auto got = ::pread(files.control.get(), &twice.table, sizeof twice.table, 0);
            return right_if(got == sizeof twice.table && fits(twice, files));
        });
        bypassed = found.count(verdict::bypassed);
    }
    CHECK(bypassed > 0);
}

}  // namespace
