// SPDX-License-Identifier: MIT
#pragma once

// The ways out that --sink can name. A new one is a line in `sinks`.
// SEGMENT_SERVER_URING says whether the build has liburing.

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <zcpool/base/result.hpp>
#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/lending.hpp>
#include <zcpool/sink/piped.hpp>
#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/splice.hpp>
#include <zcpool/sink/vmsplice.hpp>
#include <zcpool/sink/write.hpp>
#include <zcpool/sink/zerocopy.hpp>
#if SEGMENT_SERVER_URING
#include <zcpool/sink/linked_splice.hpp>
#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/uring.hpp>
#include <zcpool/sys/uring.hpp>
#endif

namespace segment_server {

/// A name that can be a template argument.
template <std::size_t Length>
struct fixed_name {
    consteval fixed_name(const char (&text)[Length]) {
        std::copy_n(text, Length, characters.begin());
    }
    [[nodiscard]] constexpr std::string_view view() const noexcept {
        return {characters.data(), Length - 1};
    }
    std::array<char, Length> characters{};
};

/// A sink by its name. One that gets no receipt from the kernel needs a pool that lends.
template <fixed_name Name, class Sink>
struct named_sink {
    using type = Sink;
    static constexpr std::string_view name = Name.view();
    static constexpr bool needs_lending = Sink::receipts == zcpool::sink::receipt::none;
    /// Whether it lends from the pool's file, not from addresses.
    static constexpr bool needs_file =
#if SEGMENT_SERVER_URING
        std::same_as<Sink, zcpool::sink::linked_splice> ||
#endif
        std::same_as<Sink, zcpool::sink::sendfile> || std::same_as<Sink, zcpool::sink::splice>;
};

// Lending a slot means replacing its pages when the file is given up, which costs as much as
// copying it about 16 times; and what is sent seldom is given up soon. So the first sends copy.
inline constexpr std::uint32_t copies_before_lending = 16;

/// Makes the sinks of one event loop's connections, with the library's defaults unless there is a
/// reason.
template <class Sink>
class sink_maker {
public:
    [[nodiscard]] static zcpool::result<sink_maker> create() { return sink_maker{}; }
    [[nodiscard]] Sink operator()(int socket) const noexcept {
        if constexpr (std::is_constructible_v<Sink, int, zcpool::sink::lending_options>) {
            return Sink{socket, {.copies_first = copies_before_lending}};
        } else {
            return Sink{socket};
        }
    }
};

/// Connections have a pipe only while they are blocked with something in it.
template <std::derived_from<zcpool::sink::piped_outbox> Sink>
class sink_maker<Sink> {
public:
    [[nodiscard]] static zcpool::result<sink_maker> create() { return sink_maker{}; }
    [[nodiscard]] Sink operator()(int socket) const noexcept {
        return Sink{socket, {.copies_first = copies_before_lending, .pipes = pipes_.get()}};
    }

private:
    std::unique_ptr<zcpool::sys::pipe_pool> pipes_ = std::make_unique<zcpool::sys::pipe_pool>();
};

template <>
class sink_maker<zcpool::sink::automatic> {
public:
    [[nodiscard]] static zcpool::result<sink_maker> create() { return sink_maker{}; }
    [[nodiscard]] zcpool::sink::automatic operator()(int socket) const noexcept {
        return zcpool::sink::automatic{socket, {.pipes = pipes_.get()}};
    }

private:
    std::unique_ptr<zcpool::sys::pipe_pool> pipes_ = std::make_unique<zcpool::sys::pipe_pool>();
};

#if SEGMENT_SERVER_URING
/// Connections of a loop send through one ring, which is the loop's where that has one.
template <class Sink>
class ring_sink_maker {
public:
    /// Errors: those of send_ring::create: EPERM and ENOSYS where io_uring is forbidden or missing.
    [[nodiscard]] static zcpool::result<sink_maker<Sink>> create(
        std::unique_ptr<zcpool::sys::uring> of_loop = {}) {
        auto ring = of_loop ? zcpool::sink::send_ring::create_driven(std::move(of_loop))
                            : zcpool::sink::send_ring::create(entries);
        if (!ring) {
            return std::unexpected{ring.error()};
        }
        return sink_maker<Sink>{std::move(*ring)};
    }
    /// What the loop has to watch.
    [[nodiscard]] zcpool::sink::send_ring& ring() const noexcept { return *ring_; }

protected:
    explicit ring_sink_maker(std::unique_ptr<zcpool::sink::send_ring> ring) noexcept
        : ring_(std::move(ring)) {}

private:
    static constexpr unsigned entries = 256;

    std::unique_ptr<zcpool::sink::send_ring> ring_;
};

template <>
class sink_maker<zcpool::sink::uring> : public ring_sink_maker<zcpool::sink::uring> {
public:
    using ring_sink_maker::ring_sink_maker;
    [[nodiscard]] zcpool::sink::uring operator()(int socket, int place = -1) const noexcept {
        return zcpool::sink::uring{socket, ring(), {.registered_file = place}};
    }
};

template <>
class sink_maker<zcpool::sink::linked_splice>
    : public ring_sink_maker<zcpool::sink::linked_splice> {
public:
    using ring_sink_maker::ring_sink_maker;
    [[nodiscard]] zcpool::sink::linked_splice operator()(int socket) const noexcept {
        return zcpool::sink::linked_splice{
            socket, ring(), {.copies_first = copies_before_lending, .pipes = pipes_.get()}};
    }

private:
    std::unique_ptr<zcpool::sys::pipe_pool> pipes_ = std::make_unique<zcpool::sys::pipe_pool>();
};
#endif

using write_sink = named_sink<"write", zcpool::sink::write>;
using sinks = std::tuple<write_sink,                                      //
                         named_sink<"sendfile", zcpool::sink::sendfile>,  //
                         named_sink<"splice", zcpool::sink::splice>,      //
                         named_sink<"vmsplice", zcpool::sink::vmsplice>,  //
#if SEGMENT_SERVER_URING
                         named_sink<"uring", zcpool::sink::uring>,                  //
                         named_sink<"linked_splice", zcpool::sink::linked_splice>,  //
#endif
                         named_sink<"zerocopy", zcpool::sink::zerocopy>,  //
                         named_sink<"automatic", zcpool::sink::automatic>>;

/// The names of all sinks that this build has.
[[nodiscard]] inline std::vector<std::string> sink_names() {
    return []<class... Named>(std::tuple<Named...>*) {
        return std::vector<std::string>{std::string{Named::name}...};
    }(static_cast<sinks*>(nullptr));
}

/// Calls `act` with a value of the named_sink type of that name. Returns: what it returned, or
/// `otherwise`.
template <class Act, class Result>
Result with_sink(std::string_view name, Act&& act, Result otherwise) {
    return [&]<class... Named>(std::tuple<Named...>*) {
        Result result = otherwise;
        static_cast<void>(((Named::name == name && (result = act(Named{}), true)) || ...));
        return result;
    }(static_cast<sinks*>(nullptr));
}

}  // namespace segment_server
