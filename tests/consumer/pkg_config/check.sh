#!/bin/sh
# SPDX-License-Identifier: MIT
# pkg-config and a compiler, without CMake. A header-only library is not linked, so --cflags are
# enough, beside the standard, which is the consumer's to choose.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

command -v pkg-config >/dev/null || skip "no pkg-config"
install_to "$work/first"
move_prefix "$work/first" "$work/prefix"
# Behind the system's own modules, of which zcpool-uring needs liburing's.
export PKG_CONFIG_PATH="$work/prefix/share/pkgconfig"
[ "$(pkg-config --modversion zcpool)" = "$version" ] || fail "another version than $version"

compile() {
  "$cxx" -std=c++23 -DCONSUMER_EXPECTS_VERSION="\"$version\"" "$@"
}
# shellcheck disable=SC2046 # a list of words
compile $(pkg-config --cflags zcpool) "$here/main.cpp" -o "$work/consumer"
"$work/consumer" || fail "the program failed"

# Who forgets the standard is told so, before the errors that follow from it.
# shellcheck disable=SC2046
if "$cxx" -std=c++17 -fsyntax-only $(pkg-config --cflags zcpool) "$here/main.cpp" \
  2>"$work/log"; then
  fail "C++17 was accepted"
fi
grep -m 1 'error' "$work/log" | grep -qF -e '-std=c++23' || fail "$(head -20 "$work/log")"

if pkg-config --exists liburing; then
  # shellcheck disable=SC2046
  compile $(pkg-config --cflags zcpool-uring) "$here/uring.cpp" -o "$work/uring" \
    $(pkg-config --libs zcpool-uring)
  "$work/uring" || fail "the program with zcpool-uring failed"
fi
