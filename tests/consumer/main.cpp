// SPDX-License-Identifier: MIT

// A program of somebody else's. It is compiled with what zcpool::zcpool brings and nothing more,
// and ends well when the headers it found are those of the version that CMake found.

#include <cstdio>
#include <string>

#include <zcpool/version.hpp>
#include <zcpool/zcpool.hpp>

#if defined(ZCPOOL_SYSCALL_PROVIDER_HEADER)
#error "a definition of the tests reached a consumer"
#endif

int main() {
    const std::string headers = std::to_string(ZCPOOL_VERSION_MAJOR) + '.' +
                                std::to_string(ZCPOOL_VERSION_MINOR) + '.' +
                                std::to_string(ZCPOOL_VERSION_PATCH);
    if (headers != CONSUMER_EXPECTS_VERSION) {
        std::printf("headers %s, package %s\n", headers.c_str(), CONSUMER_EXPECTS_VERSION);
        return 1;
    }
    return 0;
}
