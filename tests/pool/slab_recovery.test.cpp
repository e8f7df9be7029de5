// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/holders.hpp>
#include <zcpool/pool/slab_recovery.hpp>

namespace {

using namespace zcpool;
using zcpool_test::dead;
using zcpool_test::faults;
using zcpool_test::me;

struct slab_recovery_fixture {
    explicit slab_recovery_fixture(std::uint32_t slots) {
        const std::array<class_spec, 1> classes{{{page_size, slots}}};
        layout = compute_layout(classes).value();
        data = shared_memory::create("zcpool-data", layout.data_bytes, page_use::renewable).value();
        control = shared_memory::create("zcpool-control", layout.control_bytes, page_use::control)
                      .value();
        auto& header = *reinterpret_cast<control_header*>(control.data());
        REQUIRE(all.open(layout.classes[0], class_index{0}, data, control,
                         lent_budget{header.detached, 0, std::chrono::milliseconds{0}}, nullptr)
                    .has_value());
        all.fill_store();
    }
    class_recovery recover() { return recover_class(slab_recovery{all}, dead, me); }
    std::byte* bytes(std::uint32_t slot) { return data.data() + slot * page_size; }

    pool_layout layout;
    shared_memory data;
    shared_memory control;
    slab all;
};

TEST_CASE("slab_recovery: a slot that the dead owned comes back with new pages", "[pool]") {
    slab_recovery_fixture f{2};
    for (int i = 0; i < 2; ++i) {
        const slot_record* const record = f.all.take(dead, search::quick).record;
        REQUIRE(record != nullptr);
        std::memset(record->data, 0x5A, page_size);
    }
    // One of them was being trimmed.
    REQUIRE(f.data.discard(page_size, page_size).has_value());
    REQUIRE(f.all.take(me, search::quick).record == nullptr);

    const class_recovery done = f.recover();
    CHECK(done.freed == 2);
    CHECK(*f.bytes(0) == std::byte{0});
    CHECK(*f.bytes(1) == std::byte{0});
    // The quick search, which had noted that all were in use, looks again; and by hints.
    CHECK(f.all.take(me, search::quick).record != nullptr);
    CHECK(f.all.take(me, search::quick).record != nullptr);
    CHECK(f.all.stats().released == 2);
}

TEST_CASE("slab_recovery: hints that were lost are there again", "[pool]") {
    slab_recovery_fixture f{200};
    std::memset(f.control.data() + f.layout.classes[0].store, 0,
                bitmap_store::words_for(200) * sizeof(bitmap_store::word));
    static_cast<void>(f.recover());
    std::array<slot_record*, 64> taken{};
    std::size_t all = 0;
    while (const std::size_t got = f.all.take_many(me, taken)) {
        all += got;
    }
    CHECK(all == 200);
}

TEST_CASE("slab_recovery: where new pages are refused the slot waits in quarantine", "[pool]") {
    slab_recovery_fixture f{1};
    REQUIRE(f.all.take(dead, search::quick).record != nullptr);
    {
        faults broken;
        faults::fail_populating(ENOMEM);
        CHECK(f.recover().quarantined == 1);
        CHECK(f.all.take(me, search::thorough).record == nullptr);
    }
    CHECK(f.all.take(me, search::thorough).record != nullptr);
}

TEST_CASE("slab_recovery: an audit says who has what", "[pool]") {
    slab_recovery_fixture f{8};
    slab_recovery tested{f.all};
    CHECK(tested.audit().free == 8);
    static_cast<void>(f.all.take(dead, search::quick));                // 0: owned
    slot_record* const shared = f.all.take(me, search::quick).record;  // 1: published, both
    REQUIRE(f.all.word(1).publish(shared->generation, me));
    REQUIRE(f.all.word(1).grant(shared->generation, me, dead));
    slot_record* const lent = f.all.take(me, search::quick).record;  // 2: resting
    REQUIRE(f.all.lend(*lent, me));
    static_cast<void>(f.all.give_back(*lent, me));
    CHECK(f.all.trim(me, 4) == 1);       // 7
    REQUIRE(f.all.word(3).claim(dead));  // 3: being cleaned
    static_cast<void>(f.all.word(3).reap(dead, me));

    const class_audit found = tested.audit();
    CHECK(found.free == 3);
    CHECK(found.resting == 1);
    CHECK(found.trimmed == 1);
    CHECK(found.available() == 5);
    CHECK(found.quarantined == 0);
    CHECK(found.damaged == 0);
    CHECK(found.of_process[0].published == 1);
    CHECK(found.of_process[0].cleaning == 1);
    CHECK(found.of_process[1].owned == 1);
    CHECK(found.of_process[1].published == 1);
    CHECK(found.of_process[1].all() == 2);
    CHECK(found.of_process[2].all() == 0);

    // Somebody scribbled.
    const std::uint64_t odd = encode({0, static_cast<slot_state>(17), 0});
    std::memcpy(static_cast<void*>(&f.all.word(4)), &odd, sizeof odd);
    CHECK(tested.audit().damaged == 1);
}

}  // namespace
