// SPDX-License-Identifier: MIT
#include <cerrno>
#include <csignal>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/partners.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/peer_watch.hpp>

namespace {

using namespace zcpool_test;
using zcpool::pool_sharing;
using zcpool::ipc::peer_watch;

/// A process with a place in the pool.
struct member {
    explicit member(zcpool::pool_view pool)
        : files(pool.share().value()), process([this] {
              auto attached =
                  zcpool::ipc::attached_pool::attach(zcpool::sys::unique_fd{::dup(files.data)},
                                                     zcpool::sys::unique_fd{::dup(files.control)});
              zcpool::ipc::attached_pool mine = std::move(*attached);
              char byte = 'x';
              static_cast<void>(!::write(pair.peer.get(), &byte, 1));
              static_cast<void>(!::read(pair.peer.get(), &byte, 1));  // until told to leave
              {
                  const auto leaves = std::move(mine);
              }
              static_cast<void>(!::write(pair.peer.get(), &byte, 1));
              for (;;) {
                  ::pause();
              }
              return 0;
          }) {
        wait();
    }
    void wait() {
        char byte = 0;
        REQUIRE(::read(pair.ours.get(), &byte, 1) == 1);
    }
    connection pair = blocking_unix_pair();
    zcpool::pool_descriptors files;
    child process;
};

TEST_CASE("peer_watch: a process is gone when it has died, not when it is stopped", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    member other{pool};
    auto& places = pool_sharing::registry(pool_sharing::core_of(pool));
    peer_watch watch{places, {1, places.was(1)}};
    CHECK_FALSE(watch.is_gone());
    CHECK(watch.descriptor() >= 0);
    ::kill(other.process.pid(), SIGSTOP);
    CHECK_FALSE(watch.is_gone());
    ::kill(other.process.pid(), SIGKILL);
    static_cast<void>(other.process.status());
    CHECK(watch.is_gone());
    // One that begins to look only now.
    peer_watch late{places, {1, places.was(1)}};
    CHECK(late.is_gone());
}

TEST_CASE("peer_watch: a process is gone when it has left the pool", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    member other{pool};
    auto& places = pool_sharing::registry(pool_sharing::core_of(pool));
    peer_watch watch{places, {1, places.was(1)}};
    CHECK_FALSE(watch.is_gone());
    REQUIRE(::write(other.pair.ours.get(), "x", 1) == 1);
    other.wait();
    CHECK(watch.is_gone());
}

TEST_CASE("peer_watch: another process with the pid is not the one that joined", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    REQUIRE(pool.share().has_value());
    auto& places = pool_sharing::registry(pool_sharing::core_of(pool));
    const auto stranger = places.join({static_cast<std::uint32_t>(::getpid()), 1});
    REQUIRE(stranger);
    peer_watch watch{places, *stranger};
    CHECK(watch.is_gone());
}

TEST_CASE("peer_watch: what cannot be told is no", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    member other{pool};
    auto& places = pool_sharing::registry(pool_sharing::core_of(pool));
    for (const long call : {0L, 1L, 2L}) {
        faults broken;
        broken.fail_call(call, EMFILE);
        peer_watch watch{places, {1, places.was(1)}};
        CHECK_FALSE(watch.is_gone());
    }
    CHECK_FALSE(peer_watch{}.is_gone());
}

}  // namespace
