#!/bin/sh
# SPDX-License-Identifier: MIT
# with_memlock.sh BYTES BINARY [ARGUMENT...]
#
# Runs BINARY as a user who may lock BYTES bytes of memory. Root and CAP_IPC_LOCK never meet the
# limit, so root becomes uid 65534 first. That user may be unable to read the build directory, for
# a clone under /root: what runs is a copy. ZCPOOL_TEST_MEMLOCK tells the tests the limit.
set -eu

bytes=$1
binary=$2
shift 2

work=$(mktemp -d)
# A shell that is killed while it waits runs its EXIT trap only when the signals have a trap too.
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"
install -m 755 "$binary" "$work/tests"

ZCPOOL_TEST_MEMLOCK=$bytes
export ZCPOOL_TEST_MEMLOCK

if [ "$(id -u)" -eq 0 ]; then
  set -- setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
    "$work/tests" "$@"
else
  set -- "$work/tests" "$@"
  if ! prlimit --memlock="$bytes:$bytes" true; then
    echo "skipped: the hard limit is below $bytes bytes, and only root may raise it" >&2
    exit 77
  fi
fi

cd "$work"
status=0
prlimit --memlock="$bytes:$bytes" "$@" || status=$?
exit "$status"
