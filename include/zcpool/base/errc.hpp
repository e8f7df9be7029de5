// SPDX-License-Identifier: MIT
#pragma once

// The conditions of our own that a call can end in. What the system refused keeps its errno
// (std::system_category).

#include <string>
#include <system_error>

namespace zcpool {

/// Why a call could not do what it was asked.
enum class errc {
    exhausted = 1,  ///< every slot that would fit is in use; try later, wait, or release something
    too_large,      ///< more bytes than the largest size class holds; use a writer and a chain
    closed,     ///< the pool or the stream was closed, or belongs to the process that this one was
                ///< forked from
    timed_out,  ///< the deadline passed before a slot came free
    invalid_options,      ///< a pool option is out of its range; creation_report names it
    unsupported,          ///< this kernel or page size cannot do what was required
    renewal_ineffective,  ///< replacing pages does not detach them here: lending would corrupt,
                          ///< and so would recovering the dead of a shared pool
    out_of_memory,        ///< the system had no memory for a book-keeping block
    out_of_range,         ///< a read past the end of a chain
    not_a_pool,           ///< the descriptors are not the two files of a pool
    not_sealed,           ///< the files could shrink or grow, or their pages not be replaced
    wrong_access,         ///< the files are open otherwise, or to others, than a pool's are
    wrong_version,        ///< the pool was made by another version of this library
    too_many_processes,   ///< 31 processes have the pool already
    other_namespace,      ///< the pool's processes are in another pid or time namespace
    bad_message,          ///< a message without exactly the descriptors of a pool
    pages_registered,     ///< an io_uring has the pool's pages, which so cannot be replaced
    pages_replaceable,  ///< the pool lends, is shared or checked, or was trimmed: its pages cannot
                        ///< be registered
    corrupt,            ///< a peer wrote what cannot be into memory that it shares with us
    peer_gone,          ///< the process at the other end has ended
    full,               ///< the channel has no room: its reader is slow
    foreign_slice,      ///< the slice lies in no slot of this pool, or is empty
    not_a_stream,       ///< the descriptor is not the file of a byte stream
};

/// The category of `errc`.
class error_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "zcpool"; }

    [[nodiscard]] std::string message(int condition) const override {
        switch (static_cast<errc>(condition)) {
            case errc::exhausted: return "all slots that would fit are in use";
            case errc::too_large: return "larger than the largest size class";
            case errc::closed: return "the pool or the stream is closed";
            case errc::timed_out: return "no slot came free before the deadline";
            case errc::invalid_options: return "a pool option is out of range";
            case errc::unsupported: return "not supported by this kernel";
            case errc::renewal_ineffective:
                return "replaced pages are still shared with the kernel";
            case errc::out_of_memory: return "no memory for book-keeping";
            case errc::out_of_range: return "past the end of the chain";
            case errc::not_a_pool: return "not the files of a pool";
            case errc::not_sealed: return "the files of the pool are not sealed as they must be";
            case errc::wrong_access: return "the files of the pool have another user or mode";
            case errc::wrong_version: return "a pool of another version";
            case errc::too_many_processes: return "31 processes have the pool already";
            case errc::other_namespace:
                return "the pool's processes are in another pid or time namespace";
            case errc::bad_message: return "a message without the descriptors of a pool";
            case errc::pages_registered: return "an io_uring has the pool's pages registered";
            case errc::pages_replaceable:
                return "a pool that lends, is shared, checked or was trimmed cannot be registered";
            case errc::corrupt: return "the peer wrote what cannot be into shared memory";
            case errc::peer_gone: return "the process at the other end has ended";
            case errc::full: return "the channel is full";
            case errc::foreign_slice: return "the slice lies in no slot of this pool";
            case errc::not_a_stream: return "not the file of a byte stream";
        }
        return "unknown zcpool error";
    }

    [[nodiscard]] std::error_condition default_error_condition(
        int condition) const noexcept override {
        switch (static_cast<errc>(condition)) {
            case errc::exhausted: return std::errc::resource_unavailable_try_again;
            case errc::too_large: return std::errc::message_size;
            case errc::timed_out: return std::errc::timed_out;
            case errc::invalid_options: return std::errc::invalid_argument;
            case errc::unsupported: return std::errc::not_supported;
            case errc::out_of_memory: return std::errc::not_enough_memory;
            case errc::out_of_range: return std::errc::result_out_of_range;
            case errc::peer_gone: return std::errc::broken_pipe;
            case errc::closed:
            case errc::renewal_ineffective:
            case errc::not_a_pool:
            case errc::not_sealed:
            case errc::wrong_access:
            case errc::wrong_version:
            case errc::too_many_processes:
            case errc::other_namespace:
            case errc::bad_message:
            case errc::pages_registered:
            case errc::pages_replaceable:
            case errc::corrupt:
            case errc::full:
            case errc::foreign_slice:
            case errc::not_a_stream: break;
        }
        return {condition, *this};
    }
};

/// The one object of `error_category`.
[[nodiscard]] inline const std::error_category& category() noexcept {
    static const error_category instance;
    return instance;
}

/// Makes `errc` usable wherever a std::error_code is expected.
[[nodiscard]] inline std::error_code make_error_code(errc condition) noexcept {
    return {static_cast<int>(condition), category()};
}

}  // namespace zcpool

template <>
struct std::is_error_code_enum<zcpool::errc> : std::true_type {};
