#!/bin/sh
# SPDX-License-Identifier: MIT
# add_subdirectory().
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

configure -DZCPOOL_SOURCE="$source"
build_and_run
nothing_of_ours
# Its dependency was found in the directory of ours, and is linked in the parent.
if [ -e /usr/include/liburing.h ]; then
  "$cmake" --build "$work/build" --target consumer_uring
  "$work/build/consumer_uring" || fail "the program with zcpool::uring failed"
fi
