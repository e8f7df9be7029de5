// SPDX-License-Identifier: MIT
#pragma once

// A tree that stands for /proc and /sys, with the settings that a test wants.

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <support/catch.hpp>

namespace zcpool_test {

/// An empty tree in a directory of its own, gone with the object.
class system_tree {
public:
    system_tree() { REQUIRE(::mkdtemp(root_.data()) != nullptr); }
    system_tree(const system_tree&) = delete;
    system_tree& operator=(const system_tree&) = delete;
    ~system_tree() {
        std::error_code ignored;
        std::filesystem::remove_all(root_, ignored);
    }

    [[nodiscard]] const char* root() const noexcept { return root_.c_str(); }

    /// Makes a file with a text, or gives it another one.
    void set(std::string_view path, std::string_view text) const {
        const std::string whole = root_ + std::string{path};
        std::filesystem::create_directories(std::filesystem::path{whole}.parent_path());
        std::ofstream{whole, std::ios::trunc} << text << '\n';
    }

private:
    std::string root_ = (std::filesystem::temp_directory_path() / "zcpool-system-XXXXXX").string();
};

}  // namespace zcpool_test
