#!/bin/sh
# SPDX-License-Identifier: MIT
# undefined.sh BINARY
#
# Whether BINARY does without libatomic: an atomic that is not lock-free is a call of __atomic_*,
# whose lock no other process would see.
set -eu

undefined=$(nm -u "$1")
[ -n "$undefined" ] || { echo "$1: nm shows nothing undefined, not even libc" >&2; exit 2; }
! printf '%s\n' "$undefined" | grep __atomic_
