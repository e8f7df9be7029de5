// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace bench {

/// The rows of whole frames, beside those of bytes.
void register_frames();

/// The rows of iceoryx for a size; nothing where it is not installed.
void register_iceoryx(const char* size_name, std::size_t bytes);

}  // namespace bench
