// SPDX-License-Identifier: MIT

// Each sink against the bare loop of the same system calls: processor time of the sender a byte.
//
// Both send the same bytes of the same pool through the same socket, so that pages, caches and the
// connection are equal. "against itself" rows show how far two equal loops come apart: the noise.

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <zcpool/sys/pipe.hpp>
#include <zcpool/sys/zerocopy.hpp>
#include <zcpool/zcpool.hpp>
#if defined(ZCPOOL_BENCH_URING)
#include <zcpool/sink/linked_splice.hpp>
#include <zcpool/sink/uring.hpp>
#endif

#include "support/cpu.hpp"
#include "support/paired.hpp"
#include "support/program.hpp"
#include "support/stream.hpp"

using namespace zcpool::literals;

namespace {

using send_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB, 256_KiB, 1_MiB>>;

constexpr std::size_t payloads[] = {4_KiB, 64_KiB, 256_KiB, 1_MiB};

std::string in_words(std::size_t bytes) {
    return bytes >= 1_MiB ? std::to_string(bytes / 1_MiB) + " MiB"
                          : std::to_string(bytes / 1_KiB) + " KiB";
}

/// Messages a run: some milliseconds, so that the two sides of a round meet the same weather.
std::size_t messages_for(std::size_t payload) {
    return bench::amount<std::size_t>(payload < 64_KiB ? 1000 : 16_MiB / payload, 2);
}

/// Processor time a byte of sending `count` messages of `payload` bytes, each by one call of
/// `send`.
template <class Send>
double cost_a_byte(bench::stream& out, std::size_t payload, std::size_t count, Send&& send) {
    const double begin = bench::thread_cpu_ns();
    for (std::size_t i = 0; i < count; ++i) {
        send(i);
    }
    const double spent = bench::thread_cpu_ns() - begin;
    out.wait_drained(payload * count);
    return spent / static_cast<double>(payload * count);
}

// The bare loops.

void bare_sendmsg(int fd, const std::byte* data, std::size_t size) {
    while (size != 0) {
        iovec part{const_cast<std::byte*>(data), size};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        const ssize_t sent = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            bench::require(errno == EAGAIN, "sendmsg");
            bench::wait_writable(fd);
            continue;
        }
        data += sent;
        size -= static_cast<std::size_t>(sent);
    }
}

void bare_sendfile(int fd, int file, std::size_t offset, std::size_t size) {
    while (size != 0) {
        auto position = static_cast<off_t>(offset);
        const ssize_t sent = ::sendfile(fd, file, &position, size);
        if (sent < 0) {
            bench::require(errno == EAGAIN, "sendfile");
            bench::wait_writable(fd);
            continue;
        }
        offset += static_cast<std::size_t>(sent);
        size -= static_cast<std::size_t>(sent);
    }
}

/// One drain of a pipe for each filling of it, as in splice(2)'s own example.
class bare_pipe {
public:
    bare_pipe() : ends_(zcpool::sys::pipe::create().value()) {
        bench::require(ends_.resize(1_MiB)->bytes == 1_MiB, "F_SETPIPE_SZ");
    }

    void splice(int fd, int file, std::size_t offset, std::size_t size) {
        auto position = static_cast<off_t>(offset);
        while (size != 0) {
            const ssize_t put =
                ::splice(file, &position, ends_.write_end.get(), nullptr, size, SPLICE_F_NONBLOCK);
            bench::require(put > 0, "splice from the file");
            drain(fd, static_cast<std::size_t>(put));
            size -= static_cast<std::size_t>(put);
        }
    }

    void vmsplice(int fd, const std::byte* data, std::size_t size) {
        while (size != 0) {
            const iovec part{const_cast<std::byte*>(data), size};
            const ssize_t put = ::vmsplice(ends_.write_end.get(), &part, 1, SPLICE_F_NONBLOCK);
            bench::require(put > 0, "vmsplice");
            drain(fd, static_cast<std::size_t>(put));
            data += put;
            size -= static_cast<std::size_t>(put);
        }
    }

private:
    void drain(int fd, std::size_t held) {
        while (held != 0) {
            const ssize_t sent =
                ::splice(ends_.read_end.get(), nullptr, fd, nullptr, held, SPLICE_F_NONBLOCK);
            if (sent < 0) {
                bench::require(errno == EAGAIN, "splice to the socket");
                bench::wait_writable(fd);
                continue;
            }
            held -= static_cast<std::size_t>(sent);
        }
    }

    zcpool::sys::pipe ends_;
};

template <class Sink>
void drive(Sink& out, int fd) {
    zcpool::sink::state now = out.flush();
    while (now == zcpool::sink::state::blocked) {
        bench::wait_writable(fd);
        now = out.flush();
    }
    // Pending: what sink::automatic tried by reference, to learn of the way.
    bench::require(now == zcpool::sink::state::done || now == zcpool::sink::state::pending,
                   "flush");
}

/// What the rows of one transport share.
struct surroundings {
    explicit surroundings(bench::transport over)
        : out(over),
          // settle 0: no account of what peers may hold, so that every slot is renewed at once.
          pool(send_pool::create({.slots = {1024, 64, 16, 4},
                                  .lending = zcpool::lending::cached,
                                  .lent_settle_time = std::chrono::milliseconds{0}})
                   .value()) {}

    /// A frozen slice of `bytes`, filled; the same for all rows, which would otherwise leave none
    /// of the largest slots.
    [[nodiscard]] zcpool::slice frozen(std::size_t bytes) {
        zcpool::slice& kept = frozen_[bytes];
        if (kept.empty()) {
            zcpool::buffer fresh = pool.acquire(bytes).value();
            std::memset(fresh.space().data(), 'z', bytes);
            fresh.commit(bytes);
            kept = std::move(fresh).freeze();
        }
        return kept;
    }

    bench::stream out;
    send_pool pool;

private:
    std::map<std::size_t, zcpool::slice> frozen_;
};

// Rows of slices that are sent again and again, as from a cache: no page is replaced on either
// side.

void register_cached(const std::shared_ptr<surroundings>& around, const std::string& where) {
    for (const std::size_t payload : payloads) {
        const std::size_t count = messages_for(payload);
        const zcpool::slice view = around->frozen(payload);
        const auto at = view.lend().value();
        const int fd = around->out.fd();
        const std::string work = in_words(payload) + where;

        const auto bare_write = [=] {
            return cost_a_byte(around->out, payload, count,
                               [&](std::size_t) { bare_sendmsg(fd, view.data(), view.size()); });
        };
        const auto bare_lending = [=] {
            return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                bare_sendfile(fd, at.fd, at.offset, view.size());
            });
        };
        const auto sink_write = [=] {
            zcpool::sink::write out{fd};
            return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                out.push(view);
                drive(out, fd);
            });
        };
        const auto sink_sendfile = [=](std::size_t copy_below) {
            return [=] {
                zcpool::sink::sendfile out{fd, {.copy_below = copy_below}};
                return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                    out.push(view);
                    drive(out, fd);
                });
            };
        };

        bench::register_pair(work, "sink::write", sink_write, "bare sendmsg loop", bare_write);
        if (payload < 16_KiB) {  // below what sink::sendfile lends by itself
            bench::register_pair(work, "sink::sendfile (as it comes: copies)",
                                 sink_sendfile(16_KiB), "bare sendfile loop", bare_lending);
        }
        bench::register_pair(work,
                             payload < 16_KiB ? "sink::sendfile (told to lend)" : "sink::sendfile",
                             sink_sendfile(0), "bare sendfile loop", bare_lending);
        if (payload == 64_KiB || payload == 1_MiB) {
            bench::register_pair(work, "noise: bare sendmsg loop", bare_write, "itself",
                                 bare_write);
            bench::register_pair(work, "noise: bare sendfile loop", bare_lending, "itself",
                                 bare_lending);
        }
    }
}

/// Rows of the sinks with a pipe, beside the loop that they stand for and beside copying.
void register_piped(const std::shared_ptr<surroundings>& around, const std::string& where) {
    const auto bare = std::make_shared<bare_pipe>();
    const auto pipes = std::make_shared<zcpool::sink::pipe_pool>();
    for (const std::size_t payload : payloads) {
        const std::size_t count = messages_for(payload);
        const zcpool::slice view = around->frozen(payload);
        const auto at = view.lend().value();
        const int fd = around->out.fd();
        const std::string work = in_words(payload) + where;

        const auto cost = [=](auto send) {
            return [=] { return cost_a_byte(around->out, payload, count, send); };
        };
        const auto bare_write =
            cost([=](std::size_t) { bare_sendmsg(fd, view.data(), view.size()); });
        const auto bare_splice =
            cost([=](std::size_t) { bare->splice(fd, at.fd, at.offset, view.size()); });
        const auto bare_vmsplice =
            cost([=](std::size_t) { bare->vmsplice(fd, view.data(), view.size()); });
        const auto with = [=]<class Sink>(std::type_identity<Sink>,
                                          zcpool::sink::pipe_options options) {
            options.copy_below = 0;
            return [=, kept = pipes] {
                Sink out{fd, options};
                return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                    out.push(view);
                    drive(out, fd);
                });
            };
        };
        /// A connection a message, as far as the sink is concerned.
        const auto each_with = [=](zcpool::sink::pipe_options options) {
            options.copy_below = 0;
            return [=, kept = pipes] {
                return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                    zcpool::sink::splice out{fd, options};
                    out.push(view);
                    drive(out, fd);
                });
            };
        };

        constexpr std::type_identity<zcpool::sink::splice> splicing;
        constexpr std::type_identity<zcpool::sink::vmsplice> vmsplicing;
        bench::register_pair(work, "sink::splice", with(splicing, {}), "bare splice loop",
                             bare_splice);
        bench::register_pair(work, "sink::vmsplice", with(vmsplicing, {}), "bare vmsplice loop",
                             bare_vmsplice);
        bench::register_pair(work, "bare splice loop", bare_splice, "bare sendmsg loop",
                             bare_write);
        bench::register_pair(work, "bare vmsplice loop", bare_vmsplice, "bare sendmsg loop",
                             bare_write);
        bench::register_pair(work, "sink::splice with a pipe_pool",
                             with(splicing, {.pipes = pipes.get()}), "bare splice loop",
                             bare_splice);
        bench::register_pair(work, "a sink::splice a message, from a pipe_pool",
                             each_with({.pipes = pipes.get()}), "a pipe each", each_with({}));
    }
}

/// Rows of the sink that chooses, beside each of those that it might have chosen: as it comes, of
/// slices that are sent again and again.
void register_automatic(const std::shared_ptr<surroundings>& around, const std::string& where) {
    const auto pipes = std::make_shared<zcpool::sink::pipe_pool>();
    for (const std::size_t payload : payloads) {
        const std::size_t count = messages_for(payload);
        const zcpool::slice view = around->frozen(payload);
        const auto with = [=](auto make) {
            return [=, kept = pipes] {
                auto out = make(around->out.fd());
                return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                    out.push(view);
                    drive(out, around->out.fd());
                });
            };
        };
        const auto automatic =
            with([pipes](int fd) { return zcpool::sink::automatic{fd, {.pipes = pipes.get()}}; });
        const std::string work = "sent again and again, " + in_words(payload) + where;
        const std::string subject = "sink::automatic";
        bench::register_pair(work, subject, automatic, "sink::write",
                             with([](int fd) { return zcpool::sink::write{fd}; }));
        bench::register_pair(
            work, subject, automatic, "sink::sendfile, told to lend",
            with([](int fd) { return zcpool::sink::sendfile{fd, {.copy_below = 0}}; }));
        bench::register_pair(
            work, subject, automatic, "sink::vmsplice, told to lend", with([pipes](int fd) {
                return zcpool::sink::vmsplice{fd, {.copy_below = 0, .pipes = pipes.get()}};
            }));
    }
}

// Rows of MSG_ZEROCOPY. The kernel numbers the sends of a socket, so that the sink and the bare
// loop have each their own. Over loopback the kernel copies after all.

struct zerocopy_end {
    bench::stream out{bench::transport::tcp};
    zcpool::sink::zerocopy sink{out.fd(), {.copy_below = 0}};
};

class bare_zerocopy {
public:
    bare_zerocopy() {
        bench::require(zcpool::sys::enable_zerocopy(out.fd()).has_value(), "SO_ZEROCOPY");
    }

    void send(const std::byte* data, std::size_t size) {
        read_notices();
        while (size != 0) {
            iovec part{const_cast<std::byte*>(data), size};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            const ssize_t sent =
                ::sendmsg(out.fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_ZEROCOPY);
            if (sent < 0) {
                bench::require(errno == EAGAIN || errno == ENOBUFS, "sendmsg");
                bench::wait_writable(out.fd());
                read_notices();
                continue;
            }
            ++in_flight_;
            data += sent;
            size -= static_cast<std::size_t>(sent);
        }
    }

    bench::stream out{bench::transport::tcp};

private:
    void read_notices() {
        while (in_flight_ != 0) {
            const auto told = zcpool::sys::read_notice(out.fd());
            if (!told) {
                return;
            }
            in_flight_ -= (*told)->last - (*told)->first + 1;
        }
    }

    std::uint32_t in_flight_ = 0;
};

void register_zerocopy(const std::shared_ptr<surroundings>& around) {
    for (const std::size_t payload : payloads) {
        const std::size_t count = messages_for(payload);
        const zcpool::slice view = around->frozen(payload);
        const std::string work = in_words(payload);
        const auto sink_zerocopy = [=] {
            const auto end = std::make_unique<zerocopy_end>();
            return cost_a_byte(end->out, payload, count, [&](std::size_t) {
                end->sink.push(view);
                while (end->sink.flush() == zcpool::sink::state::blocked) {
                    bench::wait_writable(end->out.fd());
                }
                bench::require(!end->sink.error(), "sink::zerocopy");
            });
        };
        const auto bare_sends = [=] {
            const auto bare = std::make_unique<bare_zerocopy>();
            return cost_a_byte(bare->out, payload, count,
                               [&](std::size_t) { bare->send(view.data(), view.size()); });
        };
        const auto bare_write = [=] {
            return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                bare_sendmsg(around->out.fd(), view.data(), view.size());
            });
        };
        bench::register_pair(work, "sink::zerocopy", sink_zerocopy, "bare MSG_ZEROCOPY loop",
                             bare_sends);
        bench::register_pair(work, "bare MSG_ZEROCOPY loop", bare_sends, "bare sendmsg loop",
                             bare_write);
    }
}

#if defined(ZCPOOL_BENCH_URING)

// Rows through an io_uring: a request, its result, and the notification when it comes.

enum class ring_way { copy, reference, registered };

class bare_ring {
public:
    bare_ring() {
        bench::require(::io_uring_queue_init(64, &ring_, 0) == 0, "io_uring_queue_init");
    }
    bare_ring(const bare_ring&) = delete;
    bare_ring& operator=(const bare_ring&) = delete;
    ~bare_ring() { ::io_uring_queue_exit(&ring_); }

    /// Registers memory for sends of the kind `registered`.
    void own(const std::byte* data, std::size_t size) {
        const iovec all{const_cast<std::byte*>(data), size};
        bench::require(::io_uring_register_buffers(&ring_, &all, 1) == 0, "registering");
    }

    void send(int fd, const std::byte* data, std::size_t size, ring_way way) {
        while (size != 0) {
            io_uring_sqe* const place = ::io_uring_get_sqe(&ring_);
            iovec part{const_cast<std::byte*>(data), size};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            if (way == ring_way::registered) {
                ::io_uring_prep_send_zc_fixed(place, fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, 0,
                                              0);
            } else {
                ::io_uring_prep_sendmsg(place, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (way == ring_way::reference) {
                    place->opcode = IORING_OP_SENDMSG_ZC;
                }
            }
            bench::require(::io_uring_submit(&ring_) == 1, "io_uring_submit");
            const int sent = result();
            if (sent < 0) {
                bench::require(sent == -EAGAIN, "sendmsg through the ring");
                bench::wait_writable(fd);
                continue;
            }
            data += sent;
            size -= static_cast<std::size_t>(sent);
        }
    }

private:
    /// The next result; notifications are passed over.
    int result() {
        for (;;) {
            io_uring_cqe* completion = nullptr;
            bench::require(::io_uring_wait_cqe(&ring_, &completion) == 0, "io_uring_wait_cqe");
            const int said = completion->res;
            const bool notifies = (completion->flags & IORING_CQE_F_NOTIF) != 0;
            ::io_uring_cqe_seen(&ring_, completion);
            if (!notifies) {
                return said;
            }
        }
    }

    io_uring ring_{};
};

void register_uring(const std::shared_ptr<surroundings>& around) {
    auto made = zcpool::sink::send_ring::create(64);
    if (!made || !(*made)->can_refer()) {
        bench::left_out("io_uring", "not to be had, or without SENDMSG_ZC");
        return;
    }
    const std::shared_ptr<zcpool::sink::send_ring> ring = std::move(*made);
    // What is renewed is not registered: a pool that does not lend.
    const auto fixed_pool =
        std::make_shared<send_pool>(send_pool::create({.slots = {1, 1, 1, 1}}).value());
    zcpool::sink::registration_report report;
    if (!ring->register_pool(*fixed_pool, &report)) {
        bench::left_out("SEND_ZC, registered", report.text);
    }
    for (const std::size_t payload : payloads) {
        const std::size_t count = messages_for(payload);
        const int fd = around->out.fd();
        for (const auto way : {ring_way::copy, ring_way::reference, ring_way::registered}) {
            zcpool::slice view = around->frozen(payload);
            const auto bare = std::make_shared<bare_ring>();
            if (way == ring_way::registered) {
                zcpool::buffer fresh = fixed_pool->acquire(payload).value();
                std::memcpy(fresh.data(), view.data(), payload);
                fresh.commit(payload);
                view = std::move(fresh).freeze();
                bare->own(view.data(), view.size());
                if (!ring->registered_place(view.data(), view.size())) {
                    continue;
                }
            }
            const bool by_reference = way != ring_way::copy;
            // `fixed_pool`: kept as long as the row.
            const auto sink_uring = [=] {
                static_cast<void>(fixed_pool);
                zcpool::sink::uring out{fd, *ring, {.copy_below = by_reference ? 0 : SIZE_MAX}};
                const double cost = cost_a_byte(around->out, payload, count, [&](std::size_t) {
                    out.push(view);
                    while (out.flush() == zcpool::sink::state::blocked) {
                        bench::wait_writable(fd);
                    }
                    bench::require(!out.error(), "sink::uring");
                });
                bench::require(!by_reference || out.stats().copied_bytes == 0, "it copied");
                return cost;
            };
            const auto bare_sends = [=] {
                return cost_a_byte(around->out, payload, count, [&](std::size_t) {
                    bare->send(fd, view.data(), view.size(), way);
                });
            };
            const std::string how = way == ring_way::copy        ? "SENDMSG"
                                    : way == ring_way::reference ? "SENDMSG_ZC"
                                                                 : "SEND_ZC, registered";
            bench::register_pair(in_words(payload), "sink::uring, " + how, sink_uring,
                                 "bare io_uring loop, " + how, bare_sends);
        }
    }
}

/// Two linked splices for each filling of a pipe. What is left in it goes by one, when the socket
/// takes more.
class bare_linked_splice {
public:
    bare_linked_splice() : ends_(zcpool::sys::pipe::create().value()) {
        bench::require(::io_uring_queue_init(64, &ring_, 0) == 0, "io_uring_queue_init");
        bench::require(ends_.resize(1_MiB)->bytes == 1_MiB, "F_SETPIPE_SZ");
    }
    bare_linked_splice(const bare_linked_splice&) = delete;
    bare_linked_splice& operator=(const bare_linked_splice&) = delete;
    ~bare_linked_splice() { ::io_uring_queue_exit(&ring_); }

    void send(int fd, int file, std::size_t offset, std::size_t size) {
        while (size != 0) {
            io_uring_sqe* const fill = ::io_uring_get_sqe(&ring_);
            ::io_uring_prep_splice(fill, file, static_cast<std::int64_t>(offset),
                                   ends_.write_end.get(), -1, static_cast<unsigned>(size),
                                   SPLICE_F_NONBLOCK);
            fill->flags |= IOSQE_IO_LINK;
            fill->user_data = 1;
            drain(fd, size);
            take_results(2);
            bench::require(results_[1] > 0, "splice from the file");
            std::size_t held = static_cast<std::size_t>(results_[1]);
            offset += held;
            size -= held;
            for (;;) {
                bench::require(
                    results_[0] > 0 || results_[0] == -EAGAIN || results_[0] == -ECANCELED,
                    "splice to the socket");
                held -= results_[0] > 0 ? static_cast<std::size_t>(results_[0]) : 0;
                if (held == 0) {
                    break;
                }
                bench::wait_writable(fd);
                drain(fd, held);
                take_results(1);
            }
        }
    }

private:
    void drain(int fd, std::size_t bytes) {
        io_uring_sqe* const place = ::io_uring_get_sqe(&ring_);
        ::io_uring_prep_splice(place, ends_.read_end.get(), -1, fd, -1,
                               static_cast<unsigned>(bytes), SPLICE_F_NONBLOCK);
        place->user_data = 0;
    }
    /// Submits, and waits as an event loop does: until the ring's descriptor is readable.
    void take_results(int count) {
        bench::require(::io_uring_submit(&ring_) == count, "io_uring_submit");
        while (count != 0) {
            io_uring_cqe* completion = nullptr;
            if (::io_uring_peek_cqe(&ring_, &completion) == 0) {
                results_[completion->user_data] = completion->res;
                ::io_uring_cqe_seen(&ring_, completion);
                --count;
            } else {
                pollfd readable{ring_.ring_fd, POLLIN, 0};
                ::poll(&readable, 1, -1);
            }
        }
    }

    io_uring ring_{};
    zcpool::sys::pipe ends_;
    int results_[2]{};  ///< of the drain, of the fill
};

/// As cost_a_byte(), with the threads in which the kernel works for a ring: all but the reader.
template <class Send>
double cost_a_byte_of_all(bench::stream& out, std::size_t payload, std::size_t count, Send&& send) {
    const double begin = bench::process_cpu_ns() - out.reader_cpu_ns();
    for (std::size_t i = 0; i < count; ++i) {
        send(i);
    }
    const double spent = bench::process_cpu_ns() - out.reader_cpu_ns() - begin;
    out.wait_drained(payload * count);
    return spent / static_cast<double>(payload * count);
}

/// Rows of splices by requests, beside the loop that they stand for and beside direct calls.
void register_linked(const std::shared_ptr<surroundings>& around) {
    auto made = zcpool::sink::send_ring::create(64);
    if (!made) {
        return;  // said above
    }
    const std::shared_ptr<zcpool::sink::send_ring> ring = std::move(*made);
    const auto linked = std::make_shared<bare_linked_splice>();
    const auto direct = std::make_shared<bare_pipe>();
    for (const std::size_t payload : payloads) {
        const std::size_t count = messages_for(payload);
        const zcpool::slice view = around->frozen(payload);
        const auto at = view.lend().value();
        const int fd = around->out.fd();
        const auto cost = [=](auto send) {
            return [=] { return cost_a_byte_of_all(around->out, payload, count, send); };
        };
        const auto bare =
            cost([=](std::size_t) { linked->send(fd, at.fd, at.offset, view.size()); });
        const auto sink_linked = [=] {
            zcpool::sink::linked_splice out{fd, *ring, {.copy_below = 0}};
            const double spent = cost_a_byte_of_all(around->out, payload, count, [&](std::size_t) {
                out.push(view);
                while (out.flush() == zcpool::sink::state::blocked) {
                    pollfd readable{ring->fd(), POLLIN, 0};
                    ::poll(&readable, 1, -1);
                }
                bench::require(!out.error(), "sink::linked_splice");
            });
            bench::require(out.stats().copied_bytes == 0, "it copied");
            return spent;
        };
        bench::register_pair(in_words(payload), "sink::linked_splice", sink_linked,
                             "bare loop of linked splices", bare);
        bench::register_pair(
            in_words(payload), "bare loop of linked splices", bare, "bare splice loop",
            cost([=](std::size_t) { direct->splice(fd, at.fd, at.offset, view.size()); }));
    }
}

#endif

// Rows of memory that is filled anew for each message.

void fill(std::byte* data, std::size_t bytes, std::size_t message) {
    std::memset(data, static_cast<int>(message & 0xFF), bytes);
}

/// Acquires, fills, freezes and sends: what a program does with each frame.
template <class Sink>
void send_fresh(const send_pool& pool, Sink& out, int fd, std::size_t payload, std::size_t i) {
    zcpool::buffer fresh = pool.try_acquire(payload);
    bench::require(static_cast<bool>(fresh), "try_acquire");
    fill(fresh.space().data(), payload, i);
    fresh.commit(payload);
    out.push(std::move(fresh).freeze());
    drive(out, fd);
}

/// A pool whose slots are renewed together, by the huge page; null, and said, where there is none.
std::shared_ptr<send_pool> make_arenas(zcpool::arena_backing backing) {
    auto made = send_pool::create({.slots = {1, 128, 32, 8},
                                   .lending = zcpool::lending::arena,
                                   .arenas = backing,
                                   .lent_settle_time = std::chrono::milliseconds{0}})
                    .value();
    if (made.report().lending != zcpool::lending::arena) {
        bench::left_out("arenas", made.report().arenas.text);
        return nullptr;
    }
    return std::make_shared<send_pool>(std::move(made));
}

/// A row of a sink without a receipt, whose pool renews what it lent.
template <class Sink, class Bare>
void register_renewing(const std::shared_ptr<surroundings>& around,
                       const std::shared_ptr<send_pool>& pool, std::size_t payload,
                       const std::string& work, const std::string& subject, Bare bare) {
    if (pool == nullptr) {
        return;
    }
    const auto renewing = [=, count = messages_for(payload)] {
        Sink out{around->out.fd()};
        const double cost = cost_a_byte(around->out, payload, count, [&](std::size_t i) {
            send_fresh(*pool, out, around->out.fd(), payload, i);
        });
        // What is left of a message after a short count may be too little to lend.
        bench::require(out.stats().copied_bytes <= out.stats().lent_bytes / 8,
                       "the sink copied instead of lending");
        return cost;
    };
    bench::register_pair(work, subject, renewing,
                         "write (the copying way), bare loop over one block", bare);
}

void register_fresh(const std::shared_ptr<surroundings>& around) {
    const auto anonymous = make_arenas(zcpool::arena_backing::anonymous);
    const auto in_file = make_arenas(zcpool::arena_backing::memfd);
    auto copying_pool =
        std::make_shared<send_pool>(send_pool::create({.slots = {1024, 64, 16, 4}}).value());
    // What "without renewal" overwrites while the peer may still read it.
    auto unsafe_pool = std::make_shared<send_pool>(
        send_pool::create({.slots = {1, 64, 16, 4}, .lending = zcpool::lending::cached}).value());

    for (const std::size_t payload : payloads) {
        if (payload < 64_KiB) {
            continue;
        }
        const std::size_t count = messages_for(payload);
        const int fd = around->out.fd();
        const std::string work = "fill + send + recycle, one receiver, " + in_words(payload);
        const auto memory = std::make_shared<std::vector<std::byte>>(payload);

        const auto bare = [=] {
            return cost_a_byte(around->out, payload, count, [&](std::size_t i) {
                fill(memory->data(), payload, i);
                bare_sendmsg(fd, memory->data(), payload);
            });
        };
        const auto writing = [=] {
            zcpool::sink::write out{fd};
            return cost_a_byte(around->out, payload, count, [&](std::size_t i) {
                send_fresh(*copying_pool, out, fd, payload, i);
            });
        };
        const auto renewing = [=] {
            zcpool::sink::sendfile out{fd};
            const double cost = cost_a_byte(around->out, payload, count, [&](std::size_t i) {
                send_fresh(around->pool, out, fd, payload, i);
            });
            // What is left of a message after a short count may be too little to lend.
            bench::require(out.stats().copied_bytes <= out.stats().lent_bytes / 8,
                           "sink::sendfile copied instead of lending");
            return cost;
        };
        // As many slots as the pool above goes round in, each filled again without any care.
        std::vector<zcpool::slice> slots;
        for (zcpool::buffer next; (next = unsafe_pool->try_acquire(payload));) {
            next.commit(payload);
            slots.push_back(std::move(next).freeze());
        }
        const auto corrupting = [=] {
            return cost_a_byte(around->out, payload, count, [&](std::size_t i) {
                const zcpool::slice& slot = slots[i % slots.size()];
                fill(const_cast<std::byte*>(slot.data()), payload, i);
                const auto at = slot.lend().value();
                bare_sendfile(fd, at.fd, at.offset, payload);
            });
        };

        const std::string baseline = "write (the copying way), bare loop over one block";
        bench::register_pair(work, "acquire, fill, freeze, sink::write", writing, baseline, bare);
        bench::register_pair(work, "sendfile, then punch 4 KiB pages", renewing, baseline, bare);
        bench::register_pair(work, "sendfile without renewal (corrupts)", corrupting, baseline,
                             bare);
        register_renewing<zcpool::sink::vmsplice>(around, anonymous, payload, work,
                                                  "vmsplice from anonymous arenas, renewed whole",
                                                  bare);
        register_renewing<zcpool::sink::vmsplice>(
            around, in_file, payload, work, "vmsplice from arenas in a memfd, renewed whole", bare);
        register_renewing<zcpool::sink::sendfile>(
            around, in_file, payload, work, "sendfile from arenas in a memfd, renewed whole", bare);
        register_renewing<zcpool::sink::automatic>(around, anonymous, payload, work,
                                                   "automatic, from anonymous arenas", bare);
        // Without arenas it is to be the copying way: what is sent once is not worth new pages.
        const auto choosing = [=] {
            zcpool::sink::automatic out{fd};
            return cost_a_byte(around->out, payload, count, [&](std::size_t i) {
                send_fresh(around->pool, out, fd, payload, i);
            });
        };
        bench::register_pair(work, "automatic, from slots of 4 KiB pages", choosing, "sink::write",
                             writing);
    }
}

}  // namespace

void bench::register_benchmarks() {
    // Google Benchmark keeps the rows, and they their surroundings, until the end.
    const auto tcp = std::make_shared<surroundings>(transport::tcp);
    const auto local = std::make_shared<surroundings>(transport::unix_socket);
    register_cached(tcp, "");
    register_cached(local, ", AF_UNIX");
    register_piped(tcp, "");
    register_piped(local, ", AF_UNIX");
    register_automatic(tcp, "");
    register_automatic(local, ", AF_UNIX");
    register_zerocopy(tcp);
#if defined(ZCPOOL_BENCH_URING)
    register_uring(tcp);
    register_linked(tcp);
#endif
    register_fresh(tcp);
}
