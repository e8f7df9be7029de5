// SPDX-License-Identifier: MIT
#pragma once

// The ways out that --sink can name. A new one is a line in `sinks`.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/write.hpp>

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

/// A sink for an accepted connection, with the library's defaults unless there is a reason.
template <class Sink>
[[nodiscard]] Sink make_sink(int socket) noexcept {
    return Sink{socket};
}

/// Lending a slot means replacing its pages when the file is given up, which costs as much as
/// copying it about 16 times; and what is sent seldom is given up soon. So the first sends copy.
template <>
[[nodiscard]] inline zcpool::sink::sendfile make_sink(int socket) noexcept {
    return zcpool::sink::sendfile{socket, {.copies_first = 16}};
}

using sinks = std::tuple<named_sink<"write", zcpool::sink::write>,  //
                         named_sink<"sendfile", zcpool::sink::sendfile>>;

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
