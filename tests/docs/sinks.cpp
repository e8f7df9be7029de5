// SPDX-License-Identifier: MIT
// The example of cmake/docs/sinks.md: one loop for every sink, to peers that read slowly.
#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;
using namespace zcpool::literals;

// [snippet: cmake/docs/sinks.md]
/// Sends all that was pushed, waiting as the sink says. An event loop does the same in pieces.
bool send_all(zcpool::chain_sink auto& out, int socket) {
    using enum zcpool::sink::state;
    for (;;) {
        const zcpool::sink::state now = out.flush();  // moves what it can; never blocks
        if (now == done || now == failed) {
            return now == done;  // done: no memory is held; failed: out.error()
        }
        pollfd wanted{socket, 0, 0};  // pending: POLLERR, which comes without being asked for
        if (out.interest() == zcpool::sink::interest::writable) {
            wanted.events = POLLOUT;
        }
        ::poll(&wanted, 1, -1);
    }
}

template <zcpool::chain_sink Sink>
zcpool::sink::stats send_many_times(const zcpool::slice& segment, int times, int socket) {
    Sink out{socket};
    for (int i = 0; i < times; ++i) {
        out.push(segment);  // shares the bytes
        require(send_all(out, socket), "sent");
    }
    return out.stats();  // copied_bytes + lent_bytes went out
}
// [/snippet]

template <zcpool::chain_sink Sink>
void measure(const char* name, const zcpool::slice& segment) {
    constexpr int times = 40;
    const auto sockets = docs::connected();
    std::jthread reader{[&] {
        std::vector<std::byte> got(segment.size());
        for (int i = 0; i < times; ++i) {
            require(::recv(sockets.theirs.get(), got.data(), got.size(), MSG_WAITALL) ==
                        static_cast<ssize_t>(got.size()),
                    "a whole segment");
            require(docs::all_are(got, 's'), "as it was sent");
        }
    }};
    const auto did = send_many_times<Sink>(segment, times, sockets.ours.get());
    require(did.copied_bytes + did.lent_bytes == times * segment.size(), "all is counted");
    std::printf("%-10s %8llu copied %8llu lent\n", name,
                static_cast<unsigned long long>(did.copied_bytes),
                static_cast<unsigned long long>(did.lent_bytes));
}

}  // namespace

int main() {
    std::signal(SIGPIPE, SIG_IGN);
    auto pool = docs::value_or_end(zcpool::pool<zcpool::size_classes<64_KiB>>::create(
        {.slots = {8}, .lending = zcpool::lending::cached}));
    zcpool::buffer made = pool.try_acquire(64_KiB);
    docs::fill(made.space(), 's');
    made.commit(64_KiB);
    const zcpool::slice segment = std::move(made).freeze();
    measure<zcpool::sink::write>("write", segment);
    measure<zcpool::sink::sendfile>("sendfile", segment);
    measure<zcpool::sink::splice>("splice", segment);
    measure<zcpool::sink::vmsplice>("vmsplice", segment);
    measure<zcpool::sink::zerocopy>("zerocopy", segment);
    measure<zcpool::sink::automatic>("automatic", segment);
    return 0;
}
