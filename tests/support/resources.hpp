// SPDX-License-Identifier: MIT
#pragma once

// What a process holds that a library could leak: descriptors and mappings.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace zcpool_test {

/// Open descriptors of this process.
inline long open_descriptors() {
    const std::filesystem::directory_iterator all{"/proc/self/fd"};
    return std::distance(begin(all), end(all));
}

/// Mappings of pool memory in this process.
inline long pool_mappings() {
    std::ifstream maps{"/proc/self/maps"};
    long found = 0;
    for (std::string line; std::getline(maps, line);) {
        found += line.find("zcpool-") != std::string::npos ? 1 : 0;
    }
    return found;
}

/// Anonymous mappings that a forked child sees wiped: thread caches, and a fork guard a pool.
inline long cache_mappings() {
    std::ifstream maps{"/proc/self/smaps"};
    long found = 0;
    for (std::string line; std::getline(maps, line);) {
        found += line.starts_with("VmFlags:") && line.find(" wf") != std::string::npos ? 1 : 0;
    }
    return found;
}

/// What was held when it was made, to be compared with later.
struct held {
    long descriptors = open_descriptors();
    long mappings = pool_mappings();
    friend bool operator==(const held&, const held&) = default;
};

}  // namespace zcpool_test
