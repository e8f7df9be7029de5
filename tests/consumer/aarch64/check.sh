#!/bin/sh
# SPDX-License-Identifier: MIT
# Another processor: the consumer and the unit tests of the lower layers, compiled for aarch64 and
# run by qemu. That shows that they build and what they compute; not the order of memory, which qemu
# takes from the processor that it runs on.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

cross=aarch64-linux-gnu-g++
command -v $cross >/dev/null || skip "no $cross"
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || skip "no qemu-aarch64"
[ -e /usr/include/catch2/catch.hpp ] || skip "no Catch2 of headers alone"

quietly $cross -std=c++23 -O1 -Wall -Wextra -Werror -I"$source/include" -static \
  -DCONSUMER_EXPECTS_VERSION="\"$version\"" "$here/main.cpp" -o "$work/consumer"
"$qemu" "$work/consumer" || fail "the consumer failed"

# Catch2 is headers alone, and not of this machine: behind those of the compiler.
for test in "$source/tests/support/main.cpp" "$source"/tests/ring/*.test.cpp \
  "$source/tests/base/align.test.cpp" "$source/tests/pool/slot_word.test.cpp" \
  "$source/tests/pool/process_registry.test.cpp"; do
  quietly $cross -std=c++23 -O1 -DZCPOOL_ASSERTIONS=1 -I"$source/include" -I"$source/tests" \
    -idirafter /usr/include -c "$test" -o "$work/$(basename "$test").o"
done
quietly $cross -static -pthread "$work"/*.o -o "$work/tests"
"$qemu" "$work/tests" '~[.]' >"$work/log" || fail "$(cat "$work/log")"
