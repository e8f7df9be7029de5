// SPDX-License-Identifier: MIT
// The examples of include/zcpool/ipc/README.md and include/zcpool/adapt/README.md: a channel, a
// stream of bytes, and the same as iostreams, each between two processes.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>

#include <docs/require.hpp>
#include <zcpool/adapt/iostream.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;
using namespace std::chrono_literals;
using namespace zcpool::literals;
namespace adapt = zcpool::adapt;
namespace ipc = zcpool::ipc;

using video_pool = zcpool::pool<zcpool::size_classes<64_KiB>>;
constexpr zcpool::pool_options options{.slots = {16}};
constexpr int count = 100;
std::size_t used = 0;

zcpool::buffer next_frame(const video_pool& pool) {
    auto frame = pool.acquire_for(64_KiB, 5s).value();
    docs::fill(frame.space(), 'f');
    frame.commit(64_KiB);
    return frame;
}

void use(std::span<const std::byte> bytes) {
    require(bytes.size() == 64_KiB && docs::all_are(bytes, 'f'), "the frame");
    ++used;
}

// [snippet: include/zcpool/ipc/README.md]
void one_process(int socket) {
    auto pool = video_pool::create(options).value();
    ipc::send_pool(socket, pool).value();
    auto out = ipc::channel_sender::create(pool, {.capacity = 16}).value();
    ipc::send_channel(socket, out).value();
    for (int i = 0; i < count; ++i) {
        out.send(next_frame(pool).freeze()).value();
    }
    out.finish_for(5s).value();
}

void another_one_of_the_same_user(int socket) {
    auto pool = ipc::receive_pool(socket).value();
    auto in = ipc::receive_channel(socket, pool).value();
    while (auto frame = in.receive()) {
        use(frame->bytes());
    }  // errc::closed at the end
}
// [/snippet]

std::size_t encode_into(std::span<std::byte> room) {
    room[0] = std::byte{1};
    return 1;
}

std::size_t parse(std::span<const std::byte> there) {
    used += there.size();
    return there.size();
}

// [snippet: include/zcpool/ipc/README.md]
void write_messages(int socket) {
    auto out = ipc::stream_writer::create(socket).value();
    for (int i = 0; i < count; ++i) {
        auto room = out.space_for(1, 1s);
        if (!room) {
            return;  // closed, peer_gone, timed_out, corrupt
        }
        out.commit(encode_into(*room));
    }
}

void read_messages(int socket) {  // in the other process
    auto in = ipc::stream_reader::receive(socket).value();
    while (auto there = in.readable_for(1, 1s)) {
        in.consume(parse(*there));
    }
}
// [/snippet]

// [snippet: include/zcpool/adapt/README.md]
void print(int socket) {
    adapt::ostream out{ipc::stream_writer::create(socket).value()};
    out << "frame " << 42 << std::endl;
}

void scan(int socket) {  // in the other process
    adapt::istream in{ipc::stream_reader::receive(socket).value()};
    std::string word;
    int number = 0;
    in >> word >> number;
    require(word == "frame" && number == 42, "what was printed");
}
// [/snippet]

/// `reads` in a child, which must have used so many things.
void run(void (*writes)(int), void (*reads)(int), std::size_t uses) {
    auto sockets = docs::connected();
    const pid_t child = ::fork();
    require(child >= 0, "fork");
    if (child == 0) {
        sockets.ours.reset();
        reads(sockets.theirs.get());
        ::_exit(used == uses ? 0 : 2);
    }
    sockets.theirs.reset();
    writes(sockets.ours.get());
    int status = 0;
    require(::waitpid(child, &status, 0) == child && WIFEXITED(status), "the other process ends");
    require(WEXITSTATUS(status) == 0, "and has got everything");
}

}  // namespace

int main() {
    const auto trial = docs::value_or_end(video_pool::create({.slots = {1}}));
    if (const auto shared = trial.share(); !shared) {
        docs::skip(shared.error().message().c_str());
    }
    run(one_process, another_one_of_the_same_user, count);
    run(write_messages, read_messages, count);
    run(print, scan, 0);
    return 0;
}
