// SPDX-License-Identifier: MIT
// A chain that goes through a socket of Asio's; its slots are free when it is out.
#include <cstddef>
#include <cstdio>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>

#include <zcpool/adapt/asio.hpp>
#include <zcpool/zcpool.hpp>

int main() {
    using namespace zcpool::literals;
    auto pool = zcpool::pool<zcpool::size_classes<4_KiB>>::create({.slots = {4}}).value();
    asio::io_context context;
    asio::local::stream_protocol::socket here{context};
    asio::local::stream_protocol::socket there{context};
    asio::local::connect_pair(here, there);

    zcpool::writer out{pool};
    if (out.write("straight out of a slot") == 0) {
        return 1;
    }
    zcpool::adapt::async_write(here, out.finish(), [](asio::error_code why, std::size_t bytes) {
        std::printf("%zu bytes written: %s\n", bytes, why.message().c_str());
    });
    zcpool::buffer in = pool.try_acquire(4_KiB);
    there.async_read_some(zcpool::adapt::mutable_buffer(in),
                          [&](asio::error_code, std::size_t bytes) { in.commit(bytes); });
    context.run();
    std::printf("%zu bytes read\n", in.size());
    return in.size() == 22 ? 0 : 1;
}
