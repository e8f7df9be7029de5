// SPDX-License-Identifier: MIT
#pragma once

// The ways out that --sink can name. A new one is a line in `sinks`.

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
#include <vector>

#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/lending.hpp>
#include <zcpool/sink/pipe_pool.hpp>
#include <zcpool/sink/piped.hpp>
#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/splice.hpp>
#include <zcpool/sink/vmsplice.hpp>
#include <zcpool/sink/write.hpp>
#include <zcpool/sink/zerocopy.hpp>

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
};

// Lending a slot means replacing its pages when the file is given up, which costs as much as
// copying it about 16 times; and what is sent seldom is given up soon. So the first sends copy.
inline constexpr std::uint32_t copies_before_lending = 16;

/// Makes the sinks of one event loop's connections, with the library's defaults unless there is a
/// reason.
template <class Sink>
class sink_maker {
public:
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
    [[nodiscard]] Sink operator()(int socket) const noexcept {
        return Sink{socket, {.copies_first = copies_before_lending, .pipes = pipes_.get()}};
    }

private:
    std::unique_ptr<zcpool::sink::pipe_pool> pipes_ = std::make_unique<zcpool::sink::pipe_pool>();
};

template <>
class sink_maker<zcpool::sink::automatic> {
public:
    [[nodiscard]] zcpool::sink::automatic operator()(int socket) const noexcept {
        return zcpool::sink::automatic{socket, {.pipes = pipes_.get()}};
    }

private:
    std::unique_ptr<zcpool::sink::pipe_pool> pipes_ = std::make_unique<zcpool::sink::pipe_pool>();
};

using sinks = std::tuple<named_sink<"write", zcpool::sink::write>,        //
                         named_sink<"sendfile", zcpool::sink::sendfile>,  //
                         named_sink<"splice", zcpool::sink::splice>,      //
                         named_sink<"vmsplice", zcpool::sink::vmsplice>,  //
                         named_sink<"zerocopy", zcpool::sink::zerocopy>,  //
                         named_sink<"automatic", zcpool::sink::automatic>>;

/// The names of all sinks.
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
