// SPDX-License-Identifier: MIT
#pragma once

// What a plugin of the tests exports. C names, so that dlsym finds them.

#include <zcpool/pool/pool.hpp>

#define ZCPOOL_PLUGIN_EXPORT [[gnu::visibility("default")]]

extern "C" {

/// Creates the plugin's own pool.
ZCPOOL_PLUGIN_EXPORT bool zcpool_plugin_begin();
/// Uses both pools in this thread. Returns: mismatches.
ZCPOOL_PLUGIN_EXPORT long zcpool_plugin_call(const zcpool::pool_view* handed, unsigned thread,
                                             long rounds);
/// Likewise in threads of its own.
ZCPOOL_PLUGIN_EXPORT long zcpool_plugin_threads(const zcpool::pool_view* handed, unsigned threads,
                                                long rounds);
/// Takes a slot of the program's pool for the program.
ZCPOOL_PLUGIN_EXPORT bool zcpool_plugin_take(const zcpool::pool_view* handed, zcpool::buffer* into);
/// Releases a buffer of the program's.
ZCPOOL_PLUGIN_EXPORT void zcpool_plugin_release(zcpool::buffer* held);
/// Destroys the plugin's own pool. Returns: slots of it that were still in use.
ZCPOOL_PLUGIN_EXPORT long zcpool_plugin_end();

}  // extern "C"
