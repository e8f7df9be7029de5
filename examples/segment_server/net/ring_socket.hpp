// SPDX-License-Identifier: MIT
#pragma once

// How a connection gets its input through the io_uring of its loop: one request receives for as
// long as the connection lives, into slots that the loop's connections share; while these have all
// been filled, or where there are none, a request for each time, into the connection's own room.
// Source: io_uring_enter(2), IORING_RECV_MULTISHOT (Linux 6.0), IORING_RECVSEND_POLL_FIRST (5.19).

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/reader.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/source/uring.hpp>
#include <zcpool/sys/unique_fd.hpp>
#include <zcpool/sys/uring.hpp>

#include <segment_server/net/file_table.hpp>
#include <segment_server/net/ready_socket.hpp>

namespace segment_server {

/// What a connection has asked the ring for. The kernel knows its address, and that of the
/// connection's input: both stay until nothing is under way any more. What a source has asked for
/// is not counted: its ring keeps what that needs.
struct alignas(16) ring_link {
    void* owner = nullptr;
    int fd = -1;
    int place = -1;              ///< among the ring's registered files; below 0: it has none
    std::uint8_t under_way = 0;  ///< a bit for each kind of request
    bool has_result = false;     ///< of a receive
    bool is_leaving = false;
    bool was_emptied = true;  ///< the socket, by the last receive
    int result = 0;
    std::size_t room = 0;                           ///< of the receive that is under way
    std::optional<zcpool::source::uring> source{};  ///< while it receives into slots
};

/// The requests of a loop, by the low bits of their names; the others are the address of the link
/// that asked, none for those of the loop itself. The highest bit tells them from those of a
/// send_ring, the next one from those of a receive_ring.
enum class ring_request : std::uint8_t {
    receive,
    ready,
    end_receive,
    end_ready,
    wake,
    accept,
    end
};

[[nodiscard]] inline std::uint64_t name_of(const ring_link* who, ring_request what) noexcept {
    return std::uint64_t{1} << 63 | reinterpret_cast<std::uintptr_t>(who) |
           static_cast<std::uint64_t>(what);
}

/// Prepares a request: `prepare(place)` fills it in. Returns: false when the kernel takes none.
template <class Prepare>
[[nodiscard]] bool ask(zcpool::sys::uring& ring, const ring_link* who, ring_request what,
                       Prepare&& prepare) noexcept {
    io_uring_sqe* const place = ring.next_request();
    if (place == nullptr) {
        return false;
    }
    prepare(place);
    place->user_data = name_of(who, what);
    return true;
}

/// Has a request name its socket by the place that it has in the ring, where it has one.
inline void name_socket(io_uring_sqe& request, const ring_link& who) noexcept {
    if (who.place >= 0) {
        request.fd = who.place;
        request.flags |= IOSQE_FIXED_FILE;
    }
}

/// A socket that is read by requests.
class ring_socket {
public:
    /// `slots`: driven by the loop of `ring`; null: there are none. `place`: of the socket among
    /// the registered files.
    ring_socket(zcpool::sys::unique_fd socket, zcpool::sys::uring& ring,
                zcpool::source::receive_ring* slots, file_place place, ring_link& link) noexcept
        : socket_(std::move(socket)),
          place_(std::move(place)),
          ring_(ring),
          slots_(slots),
          link_(link) {
        link_.place = place_.number();
    }

    [[nodiscard]] int get() const noexcept { return socket_.get(); }
    /// The place of the socket among the ring's registered files; below 0: it has none.
    [[nodiscard]] int registered_place() const noexcept { return place_.number(); }

    /// Expects: while a receive into it is under way, the same place as when it was asked for, or
    /// nobody who wants the octets.
    [[nodiscard]] received receive(char* to, std::size_t room) noexcept {
        if (!is_receiving() && !link_.has_result && receives_into_slots()) {
            const received got = take(to, room);
            if (!got.lacked_slot) {
                return got;
            }
            // Others may hold the slots for long: this one goes on without, and looks for some when
            // something has come. So nobody who does not read keeps anybody from being served.
            link_.source.reset();
            told_calls_ = 0;
            received own = receive_alone(to, room);
            own.lacked_slot = true;
            return own;
        }
        return receive_alone(to, room);
    }

    /// Whether something has arrived that receive() has not been given yet.
    [[nodiscard]] bool has_more() const noexcept {
        char octet = 0;
        return link_.has_result || !kept_.empty() ||
               (link_.source && link_.source->available() != 0) ||
               ::recv(get(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    }

private:
    static constexpr std::uint8_t bit = 1U << static_cast<unsigned>(ring_request::receive);
    // What it holds when it is not asked, its output being blocked: as much as a head may be.
    static constexpr std::size_t most_slots = 4;

    [[nodiscard]] bool is_receiving() const noexcept { return (link_.under_way & bit) != 0; }

    [[nodiscard]] bool receives_into_slots() noexcept {
        if (!link_.source && slots_ != nullptr && slots_->with_kernel() != 0) {
            link_.source.emplace(get(), *slots_,
                                 zcpool::source::receive_options{.most_slots = most_slots,
                                                                 .registered_file = link_.place});
            link_.source->set_owner(&link_);
        }
        return link_.source.has_value();
    }

    /// Takes what has come into slots.
    [[nodiscard]] received take(char* to, std::size_t room) noexcept {
        received got;
        if (kept_.empty()) {
            const auto state = link_.source->pull();
            kept_ = link_.source->take();
            const auto calls = link_.source->stats().calls;
            got.calls = calls - std::exchange(told_calls_, calls);
            if (kept_.empty()) {
                switch (state) {
                    case zcpool::source::state::data:
                    case zcpool::source::state::full: break;
                    case zcpool::source::state::blocked:
                        // Where the kernel takes no request, nothing will tell.
                        got.what = link_.source->interest() == zcpool::source::interest::completion
                                       ? received::kind::nothing
                                       : received::kind::end;
                        break;
                    case zcpool::source::state::exhausted: got.lacked_slot = true; break;
                    case zcpool::source::state::ended:
                    case zcpool::source::state::failed: got.what = received::kind::end; break;
                }
                return got;
            }
        }
        got.what = received::kind::octets;
        got.count = std::min(room, kept_.size());
        got.ask_again = true;
        static_cast<void>(
            zcpool::reader{kept_}.copy(std::as_writable_bytes(std::span<char>{to, got.count})));
        kept_.consume(got.count);
        return got;
    }

    /// Receives into the connection's own room.
    [[nodiscard]] received receive_alone(char* to, std::size_t room) noexcept {
        if (std::exchange(link_.has_result, false)) {
            if (link_.result > 0) {
                const auto count = static_cast<std::size_t>(link_.result);
                link_.was_emptied = count < link_.room;
                return {.what = received::kind::octets, .count = count, .ask_again = true};
            }
            if (link_.result != -EAGAIN && link_.result != -EINTR) {
                return {.what = received::kind::end};
            }
            link_.was_emptied = true;
        }
        if (is_receiving()) {
            return {};
        }
        return start(to, room) ? received{.calls = 1} : received{.what = received::kind::end};
    }

    [[nodiscard]] bool start(char* to, std::size_t room) noexcept {
        link_.room = room;
        const bool asked = ask(ring_, &link_, ring_request::receive, [&](io_uring_sqe* place) {
            ::io_uring_prep_recv(place, get(), to, room, 0);
            name_socket(*place, link_);
            place->ioprio |= link_.was_emptied ? IORING_RECVSEND_POLL_FIRST : 0;
        });
        link_.under_way |= asked ? bit : std::uint8_t{0};
        return asked;
    }

    zcpool::sys::unique_fd socket_;
    file_place place_;  // given up before the socket is closed, which else would stay open
    zcpool::sys::uring& ring_;
    zcpool::source::receive_ring* slots_;
    ring_link& link_;
    zcpool::chain kept_;  ///< what came into slots and was not asked for yet
    std::uint64_t told_calls_ = 0;
};

}  // namespace segment_server
