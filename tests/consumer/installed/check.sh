#!/bin/sh
# SPDX-License-Identifier: MIT
# find_package(), with and without components, from a prefix that was moved.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

install_to "$work/first"
# The same where the optional dependencies are missing: packages are built on bare machines.
without="-DCMAKE_DISABLE_FIND_PACKAGE_liburing=ON"
install_to "$work/bare" "$without"
diff -r "$work/first" "$work/bare" || fail "what is installed depends on the machine's liburing"

move_prefix "$work/first" "$work/prefix"
find_it="-DCMAKE_PREFIX_PATH=$work/prefix"

refused "$version" "$find_it" -DEXPECTED_VERSION=99.0
refused "$version" "$find_it" -DEXPECTED_VERSION=0.0
refused 'no component "telepathy"; it has: uring, fmt, asio' "$find_it" -DCOMPONENTS=telepathy
refused 'zcpool::uring needs liburing' "$find_it" -DCOMPONENTS=uring "$without"

configure "$find_it" "-DOPTIONAL=telepathy;uring" "$without" >"$work/log" ||
  fail "$(cat "$work/log")"
grep -q 'telepathy: FALSE' "$work/log" || fail "an optional component that does not exist was found"
grep -q 'uring: FALSE' "$work/log" || fail "zcpool::uring was found without liburing"
rm -r "$work/build"

# Whatever components this machine can have.
components=
[ ! -e /usr/include/liburing.h ] || components="$components uring"
[ ! -e /usr/include/fmt/format.h ] || components="$components fmt"
[ ! -e /usr/include/asio/registered_buffer.hpp ] || components="$components asio"
configure "$find_it" "-DCOMPONENTS=$(echo "$components" | tr ' ' ';')"
build_and_run
for component in $components; do
  "$work/build/consumer_$component" >/dev/null || fail "the program with zcpool::$component failed"
done
