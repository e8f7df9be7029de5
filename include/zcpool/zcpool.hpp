// SPDX-License-Identifier: MIT
#pragma once

// Everything of zcpool that needs only libc and the kernel.

// First, so that what it says of platform and compiler is the first error.
#include <zcpool/base/config.hpp>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/reader.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/writer.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/ipc/audit.hpp>
#include <zcpool/ipc/byte_stream.hpp>
#include <zcpool/ipc/channel.hpp>
#include <zcpool/ipc/feed.hpp>
#include <zcpool/ipc/feed_reader.hpp>
#include <zcpool/ipc/handover.hpp>
#include <zcpool/ipc/observer.hpp>
#include <zcpool/ipc/pool_search.hpp>
#include <zcpool/ipc/publisher.hpp>
#include <zcpool/ipc/reaper.hpp>
#include <zcpool/pool/async_acquire.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/size_classes.hpp>
#include <zcpool/pool/slot_event.hpp>
#include <zcpool/pool/slot_watch.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/linger_list.hpp>
#include <zcpool/sink/sendfile.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/splice.hpp>
#include <zcpool/sink/vmsplice.hpp>
#include <zcpool/sink/write.hpp>
#include <zcpool/sink/zerocopy.hpp>
#include <zcpool/source/read.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/source/splice.hpp>
#include <zcpool/sys/pipe_pool.hpp>
#include <zcpool/sys/preflight.hpp>
#include <zcpool/version.hpp>
